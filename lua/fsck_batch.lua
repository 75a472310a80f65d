-- A batch: its counts are those of its jobs, as long as they are kept.
do
    local COUNTED = 2000 -- members of a batch that are counted in one step; of a larger one only what is cheap
    local FINAL = {'succeeded', 'failed', 'cancelled'}
    local OPEN = {'waiting', 'queued', 'running'}

    -- How many of its jobs are in each state; nil: too many to count in one moment.
    local function count(q, batch)
        local members = 'members:' .. batch
        if call('ZCARD', key_of(q, members)) > COUNTED then
            return nil
        end
        local counts, all = {total = 0}, call('ZRANGE', key_of(q, members), 0, -1)
        for i = 1, #all do
            local f = fsck.job_fields(q, all[i], 'batch')
            if f and f.batch == batch then
                counts[f.state] = (counts[f.state] or 0) + 1
                counts.total = counts.total + 1
            end
        end
        return counts
    end

    -- What a stranger wrote there is no count, and never right.
    local function said_of(batch, field)
        return tonumber(batch[field] or '0') or -1
    end

    -- What must be written to make the counts right: {field, value, …}. Jobs that were dropped had ended, and only the
    -- batch knows of them.
    local function changes_of(batch, counts)
        local list, sum = {}, 0
        for i = 1, #OPEN do
            local said, there = said_of(batch, OPEN[i]), counts[OPEN[i]] or 0
            append(list, said ~= there and OPEN[i] or nil, said ~= there and integer_text(there) or nil)
            sum = sum + there
        end
        for i = 1, #FINAL do
            local said, there = said_of(batch, FINAL[i]), counts[FINAL[i]] or 0
            append(list, said < there and FINAL[i] or nil, said < there and integer_text(there) or nil)
            sum = sum + math.max(said, there)
        end
        if sum ~= said_of(batch, 'total') then
            append(list, 'total', integer_text(sum))
        end
        return list
    end

    local function judge(q, at, id, batch)
        local ended = 0
        for i = 1, #FINAL do
            ended = ended + (tonumber(batch[FINAL[i]]) or 0)
        end
        local total = tonumber(batch.total) or 0
        local is_done = ended == total and total >= (tonumber(batch.size) or 1)
        if is_done ~= (batch.done_ms ~= nil) then
            fsck.found(at, 'batch-done', function()
                batching.judge(q, id)
            end, 'batch %s: %d of %d jobs have ended, done_ms is %s', id, ended, total, batch.done_ms or 'not there')
        end
    end

    function fsck.steps.batch(q, at, id)
        if not (fsck.type_holds(q, at, 'batch:' .. id, 'hash') and
                fsck.type_holds(q, at, 'members:' .. id, 'zset')) then
            return {}
        end
        local batch = pairs_table(call('HGETALL', key_of(q, 'batch:' .. id)))
        local counts = count(q, id)
        at.left = at.left - (counts and counts.total or 0) / 10
        if not batch.created_ms then
            if counts and counts.total > 0 then
                fsck.found(at, 'batch-lost', function()
                    call('HSET', key_of(q, 'batch:' .. id), 'created_ms', q.now_text, unpack(changes_of(batch, counts)))
                    call('ZADD', key_of(q, 'batches'), q.now_text, id)
                    batching.judge(q, id)
                end, 'batch %s has %d jobs and no record', id, counts.total)
            end
            return {}
        end
        if not fsck.score(q, 'batches', id) then
            fsck.found(at, 'batch-unlisted', fsck.into(q, 'batches', batch.created_ms, id),
                       'batch %s is not in batches', id)
        end
        local changes = counts and changes_of(batch, counts) or {}
        if batch.size and not batch.size:find('^%d+$') then
            fsck.found(at, 'batch-size', nil, 'batch %s is to have %s jobs', id, quoted(batch.size))
        elseif changes[1] then
            fsck.found(at, 'batch-counts', function()
                call('HSET', key_of(q, 'batch:' .. id), unpack(changes))
                batching.judge(q, id)
            end, 'batch %s counts wrong: should be %s', id, table.concat(changes, ' '))
        else
            judge(q, at, id, batch)
        end
        return {'members ' .. id .. ' 0'}
    end

    function fsck.steps.member(q, at, id, n)
        local f = fsck.job_fields(q, n, 'batch')
        if fsck.score(q, 'members:' .. id, n) and (f or {}).batch ~= id then
            fsck.found(at, 'member-ghost', fsck.out_of(q, 'members:' .. id, n),
                       'batch %s has the member %s, which is none', id, n)
        end
        return {}
    end
end
