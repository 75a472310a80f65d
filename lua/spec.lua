-- The job spec, as the functions use it. It is kept once, as it was given, in `spec:<n>`; what a function needs later
-- (retries, recovery, keep_last) is read from there at the time. "Values" are those of spec_walk: by path, in ms and
-- bytes, with the defaults filled in.

-- The values of a stored spec. It was checked when it came in, so nothing fails here: should a stranger have changed
-- it, the defaults hold.
local function spec_of_job(q, n)
    local text = call('GET', key_of(q, 'spec:' .. n)) or '{}'
    local ok, values = pcall(spec_walk, select(2, pcall(cjson.decode, text)))
    return ok and values or spec_walk({command = 'x'})
end

local function spec_backoff(values, section)
    return {base_ms = values[section .. '.backoff'], growth = values[section .. '.growth'],
            most_ms = values[section .. '.max_backoff'], jitter = values[section .. '.jitter']}
end

-- What decides over the life of a job after its submit.
local function spec_policy(q, n)
    local values = spec_of_job(q, n)
    return {
        max_errors = values['retry.max_attempts'],
        max_lost = values['retry.max_lost'],
        retry = spec_backoff(values, 'retry'),
        recover = values['recovery.enabled'],
        max_corrupted = values['recovery.max_attempts'],
        recovery = spec_backoff(values, 'recovery'),
        checkpoint = values['recovery.checkpoint'],
        may_restart = values['recovery.no_checkpoint'] == 'restart',
        keep_last = values['checkpoint.keep_last'],
    }
end
