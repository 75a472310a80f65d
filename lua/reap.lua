-- stoker_reap [limit] [newest]: ends attempts whose lease ran out. It must not punish a pause of Redis or of the
-- reapers: after a restart (another run_id), or when nobody reaped for over a third of the shortest lease, every lease
-- gets its own length once more to be renewed in, and no less than a runner may need to find Redis again. newest: the
-- number of the newest job that the caller has seen; should Redis not know of it, it has lost writes.
do
    local GRACES_IN_A_ROW = 10  -- a reaper that always comes late still reaps in the end
    local GRACE_LEAST_MS = 3000 -- it looks for Redis at least every 0.63 s (queue/redis.c)

    -- Answers ms of grace that are left to the longest lease, and when the pause ended.
    local function note_reap(q)
        local run_id, last_ms, before_ms, since_ms, resumed_ms = unpack(call(
            'HMGET', q.meta_key, 'redis_run_id', 'last_reap_ms', 'no_reap_before_ms', 'grace_since_ms', 'resumed_ms'))
        local current = call('INFO', 'server'):match('run_id:(%x+)')
        local lease_min = tonumber(q.meta.lease_min_ms) or 0
        local lease_max = math.max(tonumber(q.meta.lease_max_ms) or 0, GRACE_LEAST_MS)
        before_ms, since_ms, resumed_ms = tonumber(before_ms or 0), tonumber(since_ms or 0), tonumber(resumed_ms or 0)
        local restarted = run_id and run_id ~= current
        local gap = q.now - tonumber(last_ms or 0) > lease_min / 3
        if q.now > before_ms + lease_max then
            since_ms = q.now
        end
        if restarted or (gap and q.now - since_ms <= GRACES_IN_A_ROW * lease_max) then
            before_ms, resumed_ms = q.now + lease_max, q.now
        end
        call('HSET', q.meta_key, 'redis_run_id', current, 'last_reap_ms', integer_text(q.now), 'no_reap_before_ms',
             integer_text(before_ms), 'grace_since_ms', integer_text(since_ms), 'resumed_ms', integer_text(resumed_ms))
        return math.max(before_ms - q.now, 0), resumed_ms
    end

    local function has_had_its_grace(q, j, resumed_ms)
        return q.now >= resumed_ms + math.max(job_number(j, 'lease_ms'), GRACE_LEAST_MS)
    end

    local function reap_one(q, j)
        local late_ms = q.now - math.max(job_number(j, 'renewed_ms'), job_number(j, 'claimed_ms'))
        local text = ('worker %s did not renew the lease for %.1f s'):format(j.f.worker, late_ms / 1000)
        attempt_end(q, j, 'lost', {error = text}, 'reaper')
        job_save(q, j)
    end

    local function reap(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        local newest = want_integer(optional(args[2]) or '0', 'newest', 0, LARGEST)
        local leases = key_of(q, 'leases')
        expect_queue_types(q)
        for state in pairs({succeeded = 1, failed = 1, cancelled = 1}) do
            expect_type(q, 'zset', 'jobs:' .. state)
        end
        forgotten.expect(q)
        local over = {}
        for i, n in ipairs(call('ZRANGEBYSCORE', leases, '-inf', integer_text(q.now), 'LIMIT', 0, limit)) do
            over[i] = job_find(q, n) or job_of_fields(n, {})
            if over[i].f.state == 'running' then
                attempt_expect_types(q, over[i])
            end
        end
        local grace_ms, resumed_ms = note_reap(q)
        local reaped = 0
        forgotten.upto(q, newest, 'a scheduler')
        for _, j in ipairs(over) do
            if j.f.state ~= 'running' then
                append(q.batch.unlease, j.n) -- an index entry without its job
            elseif grace_ms == 0 or has_had_its_grace(q, j, resumed_ms) then
                reap_one(q, j)
                reaped = reaped + 1
            end
        end
        queue_flush(q)
        local first = call('ZRANGE', leases, 0, 0, 'WITHSCORES')
        if not first[2] then
            return {reaped, -1, grace_ms, q.meta.next}
        end
        -- Come back soon enough not to look like a pause.
        local next_ms = math.max(tonumber(first[2]) - q.now, grace_ms, 0)
        return {reaped, math.min(next_ms, math.ceil((tonumber(q.meta.lease_min_ms) or 1000) / 6)), grace_ms,
                q.meta.next}
    end

    register('reap', reap, 'allow-oom')
end
