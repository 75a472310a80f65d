-- The job spec, as the functions read it. A spec is kept once, as it was given, in `spec:<n>`; what a function needs
-- later (retries, recovery, keep_last) is read from there at the time.

local SPEC_MAX_BYTES = 262144

local UNITS_MS = {ms = 1, s = 1000, m = 60000, min = 60000, h = 3600000, d = 86400000}
local UNITS_BYTES = {[''] = 1, B = 1, KiB = 1024, MiB = 1048576, GiB = 1073741824, TiB = 1099511627776}

local function spec_duration_ms(value)
    if type(value) == 'number' then
        return value * 1000
    end
    local number, unit = value:match('^([%d.]+)%s*(%a+)$')
    return tonumber(number) * UNITS_MS[unit]
end

local function spec_size_bytes(value)
    if type(value) == 'number' then
        return value
    end
    local number, unit = value:match('^([%d.]+)%s*(%a*)$')
    return tonumber(number) * UNITS_BYTES[unit]
end

-- The value at a path of a decoded spec, or the default.
local function spec_value(tree, path, default)
    for name in path:gmatch('[^.]+') do
        tree = type(tree) == 'table' and tree[name] or nil
        if tree == nil or tree == cjson.null then
            return default
        end
    end
    return tree
end

local function spec_check(q, text)
    if #text > SPEC_MAX_BYTES then
        fail('INVALID', 'the spec has %d bytes, at most %d are allowed', #text, SPEC_MAX_BYTES)
    end
    local tree = want_object(text, 'spec', SPEC_MAX_BYTES)
    local queue = spec_value(tree, 'queue')
    if queue and queue ~= q.name then
        fail('INVALID', 'queue: the spec says %s, but it was submitted to queue %s', quoted(queue), q.name)
    end
    return tree
end

-- The class and the requirement of a spec.
local function spec_class(tree)
    return class_of(spec_value(tree, 'resources.cpus', 1), spec_value(tree, 'resources.gpus', 0),
                    spec_size_bytes(spec_value(tree, 'resources.memory', 0)), spec_value(tree, 'resources.labels', {}))
end

-- The spec of a job, decoded; empty if a stranger took it away.
local function spec_load(q, n)
    local text = call('GET', key_of(q, 'spec:' .. n))
    return text and cjson.decode(text) or {}
end

-- What decides over the life of a job after its submit.
local function spec_policy(q, n)
    local tree = spec_load(q, n)
    local function backoff(section)
        return {
            base_ms = spec_duration_ms(spec_value(tree, section .. '.backoff', 5)),
            most_ms = spec_duration_ms(spec_value(tree, section .. '.max_backoff', 60)),
            jitter = spec_value(tree, section .. '.jitter', 0.25),
        }
    end
    local enabled = spec_value(tree, 'recovery.enabled', true)
    return {
        max_errors = spec_value(tree, 'retry.max_attempts', 3),
        max_lost = spec_value(tree, 'retry.max_lost', 3),
        retry = backoff('retry'),
        recover = enabled,
        max_corrupted = spec_value(tree, 'recovery.max_attempts', 3),
        recovery = backoff('recovery'),
        checkpoint = spec_value(tree, 'recovery.checkpoint', 'latest'),
        may_restart = spec_value(tree, 'recovery.no_checkpoint', 'restart') == 'restart',
        keep_last = spec_value(tree, 'checkpoint.keep_last', 3),
    }
end
