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

-- What decides over the life of a job after its submit: of the values of a spec, and of a job.
local spec_policy_of, spec_policy
do
    local function backoff(values, section)
        return {base_ms = values[section .. '.backoff'], growth = values[section .. '.growth'],
                most_ms = values[section .. '.max_backoff'], jitter = values[section .. '.jitter']}
    end

    -- Which checkpoint is the best one: as the recovery says, else as keep_best does.
    local function best(values)
        local keep = values['checkpoint.keep_best']
        local metric, mode = rawget(values, 'recovery.best_metric'), rawget(values, 'recovery.best_mode')
        if values['recovery.checkpoint'] == 'best_loss' then
            return {metric = 'loss', mode = 'min'}
        elseif metric or not keep then
            return {metric = metric or values['recovery.best_metric'], mode = mode or values['recovery.best_mode']}
        end
        return {metric = keep.metric, mode = mode or keep.mode}
    end

    function spec_policy_of(values)
        return {
            max_errors = values['retry.max_attempts'],
            max_lost = values['retry.max_lost'],
            retry = backoff(values, 'retry'),
            recover = values['recovery.enabled'],
            max_corrupted = values['recovery.max_attempts'],
            recovery = backoff(values, 'recovery'),
            checkpoint = values['recovery.checkpoint'],
            quarantine = values['recovery.quarantine'],
            best = best(values),
            may_restart = values['recovery.no_checkpoint'] == 'restart',
            keep_last = values['checkpoint.keep_last'],
            keep_best = values['checkpoint.keep_best'],
            keep_every = values['checkpoint.keep_every'],
            keep_for = values['checkpoint.keep_for'],
            resume = as_text(values.resume),
        }
    end

    function spec_policy(q, n)
        return spec_policy_of(spec_of_job(q, n))
    end
end
