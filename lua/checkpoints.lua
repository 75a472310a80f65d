-- The records of checkpoints, `checkpoints:<n>`: id → summary. Only what is committed here exists. Their order is
-- (attempt, seq); attempt 0 are those that another job lent (lua/lend.lua).

local CHECKPOINT_ID = '^(%d+)-(%d+)$'

function checkpoints.want_id(text)
    return want_match(text, 'checkpoint', CHECKPOINT_ID, 33, '<attempt>-<sequence>')
end

-- A record as a table; nil: there is none, or a stranger's.
function checkpoints.decoded(text)
    local ok, record = pcall(cjson.decode, text)
    return ok and type(record) == 'table' and record or nil
end

-- Of texts by id, oldest first: {id, attempt, seq, record}.
function checkpoints.listed(texts)
    local list = {}
    for id, text in pairs(texts) do
        local attempt, seq = id:match(CHECKPOINT_ID)
        local record = checkpoints.decoded(text)
        if attempt and record then
            list[#list + 1] = {id = id, attempt = tonumber(attempt), seq = tonumber(seq), record = record}
        end
    end
    table.sort(list, function(a, b)
        if a.attempt ~= b.attempt then
            return a.attempt < b.attempt
        end
        return a.seq < b.seq
    end)
    return list
end

-- Those of a job. ids: those alone; nil: all.
function checkpoints.load(q, n, ids)
    local texts, key = {}, key_of(q, 'checkpoints:' .. n)
    if not ids then
        return checkpoints.listed(pairs_table(call('HGETALL', key)))
    end
    for i, text in ipairs(call('HMGET', key, unpack(ids))) do
        texts[ids[i]] = text or nil
    end
    return checkpoints.listed(texts)
end

function checkpoints.find(list, id)
    for i, c in ipairs(list) do
        if c.id == id then
            return c, i
        end
    end
end

function checkpoints.put(q, n, c)
    call('HSET', key_of(q, 'checkpoints:' .. n), c.id, cjson.encode(c.record))
end

function checkpoints.mark(q, j, c, state)
    c.record.state = state
    checkpoints.put(q, j.n, c)
end

function checkpoints.committed(list)
    local good = {}
    for _, c in ipairs(list) do
        if c.record.state == 'committed' then
            good[#good + 1] = c
        end
    end
    return good
end

-- Notes the newest good one in the job, from where the next attempt resumes.
function checkpoints.note_newest(j, list)
    local good = checkpoints.committed(list)
    local newest = good[#good]
    job_set(j, 'checkpoint', newest and newest.id)
    job_set(j, 'checkpoint_step', newest and newest.record.step)
    return newest
end

-- Takes those out of use for which `suspect` is true; they are kept.
function checkpoints.quarantine(q, j, list, suspect, reason)
    for _, c in ipairs(checkpoints.committed(list)) do
        if suspect(c) then
            checkpoints.mark(q, j, c, 'quarantined')
            event_note(q, j, 'checkpoint.quarantined', 'checkpoint', c.id, 'step', c.record.step, 'reason', reason)
        end
    end
    return checkpoints.note_newest(j, list)
end

-- Whether it surely lies before this step. Its own step may be counted otherwise than that of the reports (in epochs,
-- say): `seen` is what had been reported when it was shipped, where that is more.
function checkpoints.is_before(record, step)
    local own, seen = tonumber(record.step), tonumber(record.seen)
    return own ~= nil and math.max(own, seen or own) < step
end
