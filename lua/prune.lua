-- stoker_prune [limit]: what is past its bound goes: final jobs beyond max_finished, oldest first; workers unseen for a
-- day; resource classes that nothing uses, when there are many.
do
    local WORKER_KEPT_MS = 86400000
    local CLASSES_KEPT = 64
    local SAMPLE = 8
    local FINAL = {'succeeded', 'failed', 'cancelled'}
    local TENANTS = {'-', '!front', '!held'}

    -- The final state whose oldest job is the oldest of all; its number.
    local function oldest(q)
        local best_state, best_n, best_ms
        for _, state in ipairs(FINAL) do
            local first = call('ZRANGE', final_key(q, state), 0, 0, 'WITHSCORES')
            if first[1] and (not best_ms or tonumber(first[2]) < best_ms) then
                best_state, best_n, best_ms = state, first[1], tonumber(first[2])
            end
        end
        return best_state, best_n
    end

    local function count_final(q)
        local count = 0
        for _, state in ipairs(FINAL) do
            count = count + call('ZCARD', final_key(q, state))
        end
        return count
    end

    local function drop_jobs(q, limit)
        local kept, dropped, numbers = count_final(q), {}, {}
        if call('ZCARD', key_of(q, 'releases')) > 0 then
            return 0, kept -- their children are told first
        end
        while kept > q.meta.max_finished and #dropped < limit do
            local state, n = oldest(q)
            local in_batch = redis.pcall('HGET', key_of(q, 'job:' .. n), 'batch')
            call('ZREM', final_key(q, state), n)
            call('UNLINK', unpack(job_keys(q, n, {})))
            if type(in_batch) == 'string' then
                batching.drop_job(q, in_batch, n)
            end
            kept = kept - 1
            append(dropped, job_id(q, n))
            append(numbers, n)
        end
        if #dropped > 0 then
            call('SREM', key_of(q, 'webhooks:jobs'), unpack(numbers))
            event_of_queue(q, 'retention.dropped', 'ids', table.concat(dropped, ' '), 'count', #dropped, 'reason',
                           ('more than max_finished (%d) finished jobs'):format(q.meta.max_finished))
        end
        return #dropped, kept
    end

    -- Its consumers go with it where nothing is pending for them.
    local function forget_worker(q, id, lanes)
        for _, lane in ipairs(lanes) do
            local key = key_of(q, 'ready:' .. lane)
            local pending = redis.pcall('XPENDING', key, 'workers', '-', '+', 1, id)
            if not pending.err and #pending == 0 then
                call('XGROUP', 'DELCONSUMER', key, 'workers', id)
            end
        end
        call('DEL', key_of(q, 'worker:' .. id))
        call('ZREM', key_of(q, 'workers'), id)
        event_of_queue(q, 'worker.gone', 'worker', id, 'reason', 'not seen for a day')
    end

    local function drop_workers(q)
        local since = integer_text(q.now - WORKER_KEPT_MS)
        local unseen = call('ZRANGEBYSCORE', key_of(q, 'workers'), '-inf', since, 'LIMIT', 0, SAMPLE)
        if #unseen > 0 then
            local lanes = call('ZRANGE', key_of(q, 'lanes'), 0, -1)
            for _, id in ipairs(unseen) do
                forget_worker(q, id, lanes)
            end
        end
    end

    -- A class is in use while one of its lanes holds anything, queued or running; a waiting job makes it again, and so
    -- does one that is queued again in the lane of a tenant.
    local function drop_classes(q)
        local key = key_of(q, 'classes')
        local most = math.min(call('HLEN', key) - CLASSES_KEPT, SAMPLE)
        if most <= 0 then
            return
        end
        local listed = {}
        for _, lane in ipairs(call('ZRANGE', key_of(q, 'lanes'), 0, -1)) do
            listed[lane:match('^[^:]+')] = true
        end
        for _, name in ipairs(call('HRANDFIELD', key, most)) do
            local lanes = {}
            for priority = 0, 9 do
                for _, tenant in ipairs(TENANTS) do
                    append(lanes, key_of(q, 'ready:' .. name .. ':' .. priority .. ':' .. tenant))
                end
            end
            if not listed[name] and call('EXISTS', unpack(lanes)) == 0 then
                call('HDEL', key, name)
                call('DEL', key_of(q, 'wake:' .. name))
            end
        end
    end

    local function prune(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'workers')
        expect_type(q, 'hash', 'classes')
        expect_type(q, 'zset', 'lanes')
        expect_type(q, 'zset', 'batches')
        expect_type(q, 'set', 'webhooks:jobs')
        count_final(q) -- reads, and so checks, every index before the first write
        local dropped, kept = drop_jobs(q, limit)
        drop_workers(q)
        drop_classes(q)
        batching.drop_empty(q)
        event_flush(q)
        return {dropped, kept}
    end

    register('prune', prune, 'allow-oom')
end
