-- The index of the archive: what a list shows of each job that has left Redis, by the time of its end.
--   stoker_reindex <who> begin                  it is made anew, by who: what there was goes
--   stoker_reindex <who> add (<n> <fields>)…    what the archive has of these jobs; the first of a number counts
--   stoker_reindex <who> end                    it is whole
-- The field `index` of meta says "whole"; `index_past`, when the oldest had to go, before when it knows nothing;
-- `lost_next`, of a Redis that was lost, the newest number that the archive has of it.
do
    local KEPT = 100000
    local SHOWN = {'name', 'state', 'reason', 'cause', 'error', 'exit', 'signal', 'stop_reason', 'uid', 'tags', 'batch',
                   'experiment', 'tenant', 'priority', 'attempt', 'errors', 'submitted_ms', 'claimed_ms', 'started_ms',
                   'ended_ms', 'ran_ms', 'worker', 'step', 'total', 'loss', 'retry_of', 'schedule'}

    local function check(q)
        expect_type(q, 'zset', 'archived')
        expect_type(q, 'hash', 'summaries')
    end
    records.index_check = check

    local function summary(fields)
        local shown = {}
        for _, name in ipairs(SHOWN) do
            shown[name] = fields[name]
        end
        return records.json(shown)
    end

    local function trim(q)
        local over = call('ZCARD', key_of(q, 'archived')) - KEPT
        if over <= 0 then
            return
        end
        local gone = call('ZRANGE', key_of(q, 'archived'), 0, math.min(over, 1000) - 1)
        local past = tonumber(call('ZSCORE', key_of(q, 'archived'), gone[#gone])) + 1
        call('ZREM', key_of(q, 'archived'), unpack(gone))
        call('HDEL', key_of(q, 'summaries'), unpack(gone))
        call('HSET', q.meta_key, 'index_past', integer_text(past))
    end

    -- Those of list, {n, fields}, which are in no index yet; at most a hundred.
    function records.index(q, list)
        local scores, texts = {}, {}
        for _, one in ipairs(list) do
            append(scores, one.fields.ended_ms or '0', one.n)
            append(texts, one.n, summary(one.fields))
        end
        if scores[1] then
            call('ZADD', key_of(q, 'archived'), unpack(scores))
            call('HSET', key_of(q, 'summaries'), unpack(texts))
            trim(q)
        end
    end

    -- As stoker_list has jobs.
    function records.indexed(q, members)
        local parts = {}
        for i, text in ipairs(members[1] and call('HMGET', key_of(q, 'summaries'), unpack(members)) or {}) do
            if text then
                parts[#parts + 1] = '{"id":' .. cjson.encode(job_id(q, members[i])) .. ',' .. text:sub(2)
            end
        end
        return parts
    end

    local function want_jobs(args)
        local list = {}
        if #args < 4 or #args % 2 ~= 0 or #args > 2 + 2 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <who> add and 1 to %d times <n> <fields>', MAX_JOBS_A_CALL)
        end
        for i = 3, #args, 2 do
            local fields = want_object(args[i + 1], 'fields', 65536)
            if not STATE_FINAL[fields.state or ''] or not tostring(fields.ended_ms):find('^%d+$') then
                fail('INVALID', 'fields: those of job %s are of none that has ended', quoted(args[i]))
            end
            list[#list + 1] = {n = integer_text(want_integer(args[i], 'n', 1, LARGEST)), fields = fields}
        end
        return list
    end

    local function add(q, list)
        local new, most, seen = {}, q.meta.next, {}
        for _, one in ipairs(list) do
            most = math.max(most, tonumber(one.n))
            if not seen[one.n] and call('EXISTS', key_of(q, 'job:' .. one.n)) == 0 and
                not call('ZSCORE', key_of(q, 'archived'), one.n) then
                seen[one.n] = true
                new[#new + 1] = one
            end
        end
        if most > q.meta.next then -- of a Redis that was lost: no number is given out twice
            call('HSET', q.meta_key, 'next', integer_text(most), 'lost_next', integer_text(most))
        end
        records.index(q, new)
        return #new
    end

    local function reindex(keys, args)
        local q = queue_open(keys)
        local who = want_match(args[1], 'who', '^[%w._-]+$', 64, '1 to 64 letters, digits, dots, hyphens, underscores')
        local verb, by = args[2], 'by:' .. who
        check(q)
        if verb == 'begin' then
            no_more_arguments(args, 2)
            call('UNLINK', key_of(q, 'archived'), key_of(q, 'summaries'))
            call('HDEL', q.meta_key, 'index_past')
            call('HSET', q.meta_key, 'index', by)
            return 0
        elseif verb ~= 'add' and verb ~= 'end' then
            fail('INVALID', 'expected begin, add or end, got %s', quoted(verb))
        elseif call('HGET', q.meta_key, 'index') ~= by then
            fail('CONFLICT', 'queue %s: the index is made anew by somebody else | begin once more, if they do not',
                 q.name)
        elseif verb == 'add' then
            return add(q, want_jobs(args))
        end
        no_more_arguments(args, 2)
        call('HSET', q.meta_key, 'index', 'whole')
        return call('ZCARD', key_of(q, 'archived'))
    end

    register('reindex', reindex)
end
