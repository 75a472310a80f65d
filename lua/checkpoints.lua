-- The records of checkpoints, `checkpoints:<n>`: id → summary. Only what is committed here exists. Their order is
-- (attempt, seq); attempt 0 are those that a retried job took over from the one before it.

local CHECKPOINT_ID = '^(%d+)-(%d+)$'
local SUMMARY_MAX_BYTES = 4096

-- All of a job, oldest first: {id, attempt, seq, record}.
local function checkpoints_load(q, n)
    local list = {}
    for id, text in pairs(pairs_table(call('HGETALL', key_of(q, 'checkpoints:' .. n)))) do
        local attempt, seq = id:match(CHECKPOINT_ID)
        local ok, record = pcall(cjson.decode, text)
        if attempt and ok and type(record) == 'table' then
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

local function checkpoints_put(q, n, c)
    call('HSET', key_of(q, 'checkpoints:' .. n), c.id, cjson.encode(c.record))
end

local function checkpoints_mark(q, j, c, state)
    c.record.state = state
    checkpoints_put(q, j.n, c)
end

local function checkpoints_committed(list)
    local good = {}
    for _, c in ipairs(list) do
        if c.record.state == 'committed' then
            good[#good + 1] = c
        end
    end
    return good
end

-- Notes the newest good one in the job, from where the next attempt resumes.
local function checkpoints_note_newest(j, list)
    local good = checkpoints_committed(list)
    local newest = good[#good]
    job_set(j, 'checkpoint', newest and newest.id)
    job_set(j, 'checkpoint_step', newest and newest.record.step)
    return newest
end

-- Takes those out of use for which `suspect` is true; they are kept.
local function checkpoints_quarantine(q, j, list, suspect, reason)
    for _, c in ipairs(checkpoints_committed(list)) do
        if suspect(c) then
            checkpoints_mark(q, j, c, 'quarantined')
            event_note(q, j, 'checkpoint.quarantined', 'checkpoint', c.id, 'step', c.record.step, 'reason', reason)
        end
    end
    return checkpoints_note_newest(j, list)
end
