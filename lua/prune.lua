-- stoker_prune [limit] [store or none]: what is past its bound goes: final jobs beyond max_finished, oldest first,
-- unless they are archived (lua/archive.lua); workers unseen for a day; resource classes that nothing uses, when there
-- are many.
do
    local WORKER_KEPT_MS = 86400000
    local CLASSES_KEPT = 64
    local SAMPLE = 8
    local TENANTS = {'-', '!front', '!held', '!given'}

    local function drop_jobs(q, kept, limit)
        local dropped = {}
        if call('ZCARD', key_of(q, 'releases')) > 0 then
            return 0 -- their children are told first
        end
        for i, one in ipairs(records.oldest(q, math.min(limit, kept - q.meta.max_finished))) do
            local ties = redis.pcall('HMGET', key_of(q, 'job:' .. one.n), 'batch', 'lender')
            records.drop(q, one.n, one.state, ties[1] or nil, ties[2] or nil)
            dropped[i] = job_id(q, one.n)
        end
        if #dropped > 0 then
            event_of_queue(q, 'retention.dropped', 'ids', table.concat(dropped, ' '), 'count', #dropped, 'reason',
                           ('more than max_finished (%d) finished jobs'):format(q.meta.max_finished))
        end
        return #dropped
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
        redis.pcall('ZREM', key_of(q, 'idle'), id)
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
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        local is_able = want_match(optional(args[2]) or 'none', 'archive', '^%l+$', 5, 'store or none') == 'store'
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'workers')
        expect_type(q, 'hash', 'classes')
        expect_type(q, 'zset', 'lanes')
        expect_type(q, 'zset', 'batches')
        expect_type(q, 'set', 'webhooks:jobs')
        local dropped, over = 0, 0
        local kept = records.count_final(q) -- reads, and so checks, every index before the first write
        if records.archive_look(q, kept, is_able) then
            over = math.max(kept - q.meta.max_finished, 0)
        else
            dropped = drop_jobs(q, kept, limit)
        end
        stores.remember(q, optional(args[3]))
        drop_workers(q)
        drop_classes(q)
        batching.drop_empty(q)
        event_flush(q)
        return {dropped, kept - dropped, over}
    end

    register('prune', prune, 'allow-oom')
end
