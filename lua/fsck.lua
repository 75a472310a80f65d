-- What must hold of a queue (docs/protocol.md), looked at while it is in use: stoker_fsck in lua/fsck_run.lua.
--
-- The work is a list of steps, each a line of text: "jobs 1" looks at some jobs from 1 on and leaves "jobs 51" to be
-- done. A step reads what it judges in one call, which is one moment for Redis: what it finds was so, whatever runs.
-- A finding names the smaller step that sees it ("job 7"): to mend it, this one is taken again, and only what it still
-- finds then is mended, by the function that stands beside the finding.

fsck.steps = {}      -- by the first word of the line: function (q, at, argument, …) → lines to be done before the rest
fsck.job_rules = {}  -- of each job: function (q, at, j)
fsck.MEMBERS = 100   -- of an index, a lane, a batch: looked at in one step

function fsck.rule(rule)
    fsck.job_rules[#fsck.job_rules + 1] = rule
end

-- at: {where = the step that sees it, found = list}. mend nil: there is no one right answer. Each code has its row in
-- queue/fsck.c.
function fsck.found(at, code, mend, sentence, ...)
    if fsck.mends[code] == nil or (mend and not fsck.mends[code]) then
        bug('fsck: %s has no such row', code)
    end
    append(at.found, {where = at.where, code = code, mend = mend, text = sentence:format(...)})
end

-- Takes one step inside another one: what it finds is its own.
function fsck.take(q, at, kind, ...)
    local outer = at.where
    at.where = table.concat({kind, ...}, ' ')
    local following = fsck.steps[kind](q, at, ...)
    at.where = outer
    return following
end

-- ---------------------------------------------------------------- reading what may be anything

-- nil where the key is of another type, which is a finding of its own.
function fsck.ask(q, command, name, ...)
    local answer = redis.pcall(command, key_of(q, name), ...)
    if type(answer) == 'table' and answer.err then
        return nil
    end
    return answer
end

function fsck.score(q, name, member)
    return fsck.ask(q, 'ZSCORE', name, member) or nil
end

function fsck.type_of(q, name)
    return call('TYPE', key_of(q, name)).ok
end

-- Is the key of this type, or not there, or nothing that this user may see? Says so when it is none of these.
function fsck.key_type_holds(at, key, wanted)
    local is = redis.pcall('TYPE', key).ok
    if not is or is == wanted or is == 'none' then
        return true
    end
    fsck.found(at, 'type', nil, 'the key %s is a %s, not a %s', key, is, wanted)
    return false
end

function fsck.type_holds(q, at, name, wanted)
    return fsck.key_type_holds(at, key_of(q, name), wanted)
end

function fsck.has_key(q, name)
    return call('EXISTS', key_of(q, name)) == 1
end

-- The fields of a job by their names, nil where it is not there. A number that a stranger made up is none.
function fsck.job_fields(q, n, ...)
    local values = tostring(n):find('^[1-9]%d*$') and fsck.ask(q, 'HMGET', 'job:' .. n, 'state', ...)
    if not values or not values[1] then
        return nil
    end
    local fields, names = {state = values[1]}, {...}
    for i = 1, #names do
        fields[names[i]] = values[i + 1] or nil
    end
    return fields
end

-- The next page of a sorted set or a set: its members (with their scores), and the cursor, nil at the end. What is
-- there all the time is met, however much comes and goes meanwhile.
function fsck.page(q, command, name, cursor)
    local answer = fsck.ask(q, command, name, cursor, 'COUNT', fsck.MEMBERS)
    if not answer then
        return {}, nil
    end
    return answer[2], answer[1] ~= '0' and answer[1] or nil
end

-- ---------------------------------------------------------------- mending

-- Out of an index, or into it.
function fsck.out_of(q, name, member)
    return function()
        call('ZREM', key_of(q, name), member)
    end
end

function fsck.into(q, name, score, member)
    if score ~= '+inf' and not tonumber(score) then
        return nil -- who wrote that time into a record?
    end
    return function()
        call('ZADD', key_of(q, name), score, member)
    end
end

function fsck.set_field(q, j, field, value)
    return function()
        job_set(j, field, value)
        job_save(q, j)
    end
end
