-- Places for what is urgent: in a queue with `preempt` on, a job that has waited for a second, and that no worker has
-- room for, takes the place of running jobs of lower priority. Their runners are asked to give them back: grace, last
-- checkpoint, queued at once in front of their priority; nothing is counted against them.
--
-- The tick looks (stoker_promote). Each waiting job gets one worker, on which the least is lost: the lowest priorities,
-- then the fewest jobs, then those that began last. That worker is kept for it (`reserved:<lane>`) until it is claimed,
-- else what is behind it would take the first place that becomes free.

local preempting = {}
do
    local LANES_LOOKED_AT = 16
    local ENTRIES_LOOKED_AT = 20
    local RUNNING_LOOKED_AT = 500 -- those whose leases end first: each tick sees others
    local WORKERS_LOOKED_AT = 100
    local AFTER_MS = 1000
    local RESERVED_MS = 30000

    -- The first of a lane that waits.
    local function head_of(q, lane, head_ms)
        local entries = redis.pcall('XRANGE', key_of(q, 'ready:' .. lane), integer_text(head_ms), '+', 'COUNT',
                                    ENTRIES_LOOKED_AT)
        for i = 1, #entries do
            local id, fields = entries[i][1], entries[i][2]
            local n = fields[1] == 'n' and fields[2]
            local known = n and redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'entry')
            if known and not known.err and known[1] == 'queued' and known[2] == id then
                return n
            end
        end
        return nil
    end

    -- What runs, by worker; for which waiting jobs others are on their way out, and on which workers.
    local function look_at_running(q)
        local running = {by_worker = {}, makes_room = {}, is_leaving = {}}
        for _, n in ipairs(redis.pcall('ZRANGE', key_of(q, 'leases'), 0, RUNNING_LOOKED_AT - 1)) do
            local known = redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'worker', 'priority', 'class',
                                      'claimed_ms', 'stop', 'stop_for')
            if not known.err and known[1] == 'running' and known[2] then
                local worker = known[2]
                if known[6] == 'preempt' then
                    running.is_leaving[worker] = true
                    running.makes_room[known[7] or ''] = worker
                elseif not known[6] then
                    running.by_worker[worker] = running.by_worker[worker] or {}
                    local jobs = running.by_worker[worker]
                    jobs[#jobs + 1] = {n = n, priority = tonumber(known[3]) or 9, class = known[4],
                                       claimed_ms = tonumber(known[5]) or 0}
                end
            end
        end
        return running
    end

    -- What a worker has in all, and what of it is free, as it said; nil when it takes nothing now.
    local function room_of(q, worker)
        local known = redis.pcall('HMGET', key_of(q, 'worker:' .. worker), 'state', 'drain', 'capacity', 'used')
        if known.err or known[1] ~= 'up' or known[2] == '1' or not known[3] or not known[4] then
            return nil
        end
        local ok, total = pcall(cjson.decode, known[3])
        local ok_too, free = pcall(cjson.decode, known[4])
        if not (ok and ok_too and type(total) == 'table' and type(free) == 'table') then
            return nil
        end
        for _, what in ipairs({'cpus', 'gpus', 'memory'}) do
            total[what] = tonumber(total[what]) or 0
            free[what] = total[what] - (tonumber(free[what]) or 0)
        end
        total.labels = type(total.labels) == 'table' and total.labels or {}
        free.labels = total.labels
        return total, free
    end

    local function cheaper(a, b)
        if a.priority ~= b.priority then
            return a.priority < b.priority
        end
        return a.claimed_ms > b.claimed_ms
    end

    -- The jobs of lower priority that have to go from one worker, so that this requirement fits; nil: not here.
    local function victims_on(q, jobs, priority, requirement, free)
        local victims, ran_ms = {}, 0
        table.sort(jobs, cheaper)
        for i = 1, #jobs do
            local job = jobs[i]
            local needs = class_get(q, job.class or '')
            if job.priority >= priority then
                return nil -- the rest is as urgent
            elseif needs then
                victims[#victims + 1] = job
                ran_ms = ran_ms + q.now - job.claimed_ms
                class_take(needs, free, -1)
                if class_fits(requirement, free, 1) > 0 then
                    return {jobs = victims, priority = job.priority, count = #victims, ran_ms = ran_ms}
                end
            end
        end
        return nil
    end

    local function less_lost(a, b)
        if a.priority ~= b.priority then
            return a.priority < b.priority
        elseif a.count ~= b.count then
            return a.count < b.count
        end
        return a.ran_ms < b.ran_ms
    end

    -- Of one waiting job: which worker is emptied how far; nil: none, or one of them has room as it is.
    local function plan_for(q, wants, running)
        local best
        local ids = redis.pcall('ZRANGEBYSCORE', key_of(q, 'workers'), integer_text(q.now - WORKER.seen_ms), '+inf',
                                'LIMIT', 0, WORKERS_LOOKED_AT)
        for i = 1, #ids do
            local worker = ids[i]
            local total, free = room_of(q, worker)
            if total and worker ~= wants.not_on and class_fits(wants.requirement, total, 1) > 0 then
                if class_fits(wants.requirement, free, 1) > 0 and not wants.is_full then
                    return nil
                end
                local found = not running.is_leaving[worker] and
                    victims_on(q, running.by_worker[worker] or {}, wants.priority, wants.requirement, free)
                if found and (not best or less_lost(found, best)) then
                    found.worker, best = worker, found
                end
            end
        end
        return best
    end

    local function keep_for(q, lane, worker)
        redis.pcall('SET', key_of(q, 'reserved:' .. lane), worker, 'PX', integer_text(RESERVED_MS))
    end

    local function checked(q, wants, plan)
        plan.wants, plan.records = wants, {}
        for i, job in ipairs(plan.jobs) do
            plan.records[i] = job_of_call(q, job.n)
            expect_type(q, 'list', 'history:' .. job.n)
        end
        return plan
    end

    -- Before the first write: whose place is taken, and for whom; nil: nobody's.
    function preempting.plan(q)
        if q.meta.preempt == 0 or q.meta.paused == 'paused' then
            return nil
        end
        local lanes = call('ZRANGE', key_of(q, 'lanes'), 0, LANES_LOOKED_AT - 1, 'WITHSCORES')
        local running
        for i = 1, #lanes, 2 do
            local lane, head_ms = lanes[i], tonumber(lanes[i + 1]) % LANE_RANK_STEP
            local class, priority, special = lane:match('^([^:]+):(%d):(.+)$')
            local n = class and q.now - head_ms >= AFTER_MS and priority ~= '0' and head_of(q, lane, head_ms)
            local requirement = n and class_get(q, class)
            if requirement then
                running = running or look_at_running(q)
                local wants = {n = n, lane = lane, priority = tonumber(priority), requirement = requirement,
                               not_on = special:match('^!not@(.*)$'), kept = running.makes_room[n],
                               is_full = q.meta.max_running > 0 and
                                   call('ZCARD', key_of(q, 'leases')) >= q.meta.max_running}
                local plan = not wants.kept and plan_for(q, wants, running)
                if wants.kept or plan then
                    return checked(q, wants, plan or {worker = wants.kept, jobs = {}})
                end
            end
        end
        return nil
    end

    function preempting.carry(q, plan)
        if not plan then
            return
        end
        keep_for(q, plan.wants.lane, plan.worker)
        for _, j in ipairs(plan.records) do
            local reason = ('%s, of priority %d, takes its place'):format(job_id(q, plan.wants.n), plan.wants.priority)
            job_set(j, 'stop', 'preempt')
            job_set(j, 'stop_reason', reason)
            job_set(j, 'stop_for', plan.wants.n)
            event_note(q, j, 'job.preempt_asked', 'state', 'running', 'worker', j.f.worker, 'reason', reason)
            event_hint(q, 'stop', tonumber(j.n))
            job_save(q, j)
        end
    end
end
