-- The record of a job, `job:<n>`: read once, changed in memory, written back with one HSET and one HDEL.

local records = {} -- what is known of a job as JSON; the rest of it is in lua/archive.lua

-- Everything that Redis keeps of a job besides its places in the indexes; into the list.
records.keys = {'job:', 'spec:', 'log:', 'metrics:', 'checkpoints:', 'history:', 'result:', 'lineage:',
                'parents:', 'children:', 'told:', 'sizes:'}
local function job_keys(q, n, list)
    for i = 1, #records.keys do
        list[#list + 1] = key_of(q, records.keys[i], n)
    end
    return list
end

-- A table of texts, in the order of their names.
function records.json(fields)
    local names, list = {}, {}
    for name in pairs(fields) do
        names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
        append(list, name, fields[name])
    end
    return json_of_pairs(list)
end

-- Fields that a claim, or the end of an attempt, has to act on. A job that ever had one, or more than one attempt, has
-- the field `special`: to look for one field that is not there costs less than for ten.
records.special = {checkpoint = true, links = true, recover_step = true, scheduled_ms = true, slot = true,
                   stop = true, unique = true}

local function job_of_fields(n, fields)
    return {n = n, f = fields, set = {}, gone = {}, was = fields.state}
end

local function job_set(j, field, value)
    if value == nil then
        if j.f[field] ~= nil then
            j.f[field] = nil
            j.set[field] = nil
            j.gone[field] = true
        end
        return
    end
    value = as_text(value)
    if j.f[field] ~= value then
        if records.special[field] and not j.f.special then
            j.f.special, j.set.special = '1', '1'
        end
        j.f[field] = value
        j.set[field] = value
        j.gone[field] = nil
    end
end

local function job_clear(j, ...)
    local fields = {...}
    for i = 1, #fields do
        local field = fields[i]
        if j.f[field] ~= nil then
            job_set(j, field, nil)
        end
    end
end

local function job_number(j, field)
    return tonumber(j.f[field]) or 0
end

local function job_save(q, j)
    local key = key_of(q, 'job:', j.n)
    local set, gone, last = {}, {}, 0
    for field, value in pairs(j.set) do
        set[last + 1], set[last + 2] = field, value
        last = last + 2
    end
    for field in pairs(j.gone) do
        gone[#gone + 1] = field
    end
    call_with('HSET', key, set)
    call_with('HDEL', key, gone)
    j.set, j.gone = {}, {}
    if j.f.batch and j.was ~= j.f.state then
        batching.count(q, j.f.batch, j.was, -1)
        batching.count(q, j.f.batch, j.f.state, 1)
        j.was = j.f.state
    end
end

local function want_job_number(text)
    return integer_text(want_integer(text, 'job number', 1, LARGEST))
end

-- nil when there is no such job.
local function job_find(q, n)
    local fields = pairs_table(call('HGETALL', key_of(q, 'job:', n)))
    return fields.state and job_of_fields(n, fields) or nil
end

-- The same; a call that asks for one job twice gets one record, so that its changes are not lost.
local function job_of_call(q, n)
    local loaded = q.known.loaded
    loaded[n] = loaded[n] or job_find(q, n)
    return loaded[n]
end

local function job_load(q, n)
    local j = job_of_call(q, n)
    if not j then
        if q.meta.next == 0 then
            fail('NOTFOUND', 'no job %s: queue %s has had none yet | stoker ls lists those of every queue',
                 job_id(q, n), q.name)
        end
        fail('NOTFOUND', 'no job %s (the newest is %s) | stoker ls --queue %s', job_id(q, n), job_id(q, q.meta.next),
             q.name)
    end
    return j
end

-- ---------------------------------------------------------------- fencing

-- Why this token may not write, or nil. A job that is gone is stale, too.
local function job_fence_reason(q, j, n, uid, token)
    if not j then
        return ('job %s is gone'):format(job_id(q, n))
    elseif j.f.uid ~= uid then
        return ('job %s is another job than the one of uid %s'):format(job_id(q, n), clip(uid, 32))
    elseif j.f.token ~= token then
        return ('job %s: token %s is not the current one, %s'):format(job_id(q, n), clip(token, 32),
                                                                      j.f.token or 'none')
    end
end

local function want_fence(args, i)
    local n = want_job_number(args[i])
    want_match(args[i + 1], 'uid', '^%x+$', 32, 'the uid of the job, 16 hex digits')
    want_match(args[i + 2], 'token', '^%d+$', 20, 'the token of the attempt, a number')
    return n
end

-- The job of <n> <uid> <token>, whatever its state: log and metric lines may come in after the end.
local function job_fenced(q, args)
    local n = want_fence(args, 1)
    local j = job_find(q, n)
    local reason = job_fence_reason(q, j, n, args[2], args[3])
    if reason then
        fail('STALE', '%s', reason)
    end
    return j
end
