-- Places for what is urgent: in a queue with `preempt` on, a job that has waited for a second, and that no worker has
-- room for, takes the place of running jobs of lower priority. Their runners are asked to give them back: grace, last
-- checkpoint, queued at once in front of their priority; nothing is counted against them.
--
-- The tick looks (stoker_promote). Each waiting job gets one worker, on which the least is lost: the lowest priorities,
-- then the fewest jobs, then those that began last. For the first of a lane that worker is kept (`reserved:<lane>`)
-- until it is claimed, else what is behind it would take the first place that becomes free. Those behind it in its lane
-- get theirs at the same time where a single job makes room, of which nothing can be taken.

local preempting = {}
do
    local LOOKED_AT = {lanes = 16, entries = 20, heads = 8, workers = 100,
                       running = 500} -- those whose leases end first: each tick sees others
    local PLANS_A_TICK = 16
    local AFTER_MS = 1000
    local RESERVED_MS = 30000

    -- The first of a lane that wait, in order.
    local function heads_of(q, lane, head_ms)
        local heads = {}
        local entries = redis.pcall('XRANGE', key_of(q, 'ready:' .. lane), integer_text(head_ms), '+', 'COUNT',
                                    LOOKED_AT.entries)
        for i = 1, #entries do
            local id, fields = entries[i][1], entries[i][2]
            local n = fields[1] == 'n' and fields[2]
            local known = n and redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'entry')
            if known and not known.err and known[1] == 'queued' and known[2] == id then
                heads[#heads + 1] = n
            end
            if #heads == LOOKED_AT.heads then
                break
            end
        end
        return heads
    end

    -- Room is made for a job that got its own elsewhere meanwhile: it is for the next of its class.
    local function find_spare(q, running)
        for n, worker in pairs(running.makes_room) do
            local known = redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'class')
            if not known.err and known[1] ~= 'queued' and known[2] then
                running.spare[known[2]] = running.spare[known[2]] or {}
                append(running.spare[known[2]], worker)
            end
        end
    end

    -- What runs, by worker; for which waiting jobs others are on their way out, and on which workers. One that somebody
    -- leaves for nobody (a spot notice) is not asked for more.
    local function look_at_running(q)
        local running = {by_worker = {}, makes_room = {}, is_leaving = {}, is_given_up = {}, spare = {}}
        for _, n in ipairs(redis.pcall('ZRANGE', key_of(q, 'leases'), 0, LOOKED_AT.running - 1)) do
            local known = redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'worker', 'priority', 'class',
                                      'claimed_ms', 'stop', 'stop_for')
            if not known.err and known[1] == 'running' and known[2] then
                local worker = known[2]
                if known[6] == 'preempt' then
                    running.is_leaving[worker] = true
                    if known[7] then
                        running.makes_room[known[7]] = worker
                    else
                        running.is_given_up[worker] = true
                    end
                elseif not known[6] then
                    running.by_worker[worker] = running.by_worker[worker] or {}
                    local jobs = running.by_worker[worker]
                    jobs[#jobs + 1] = {n = n, priority = tonumber(known[3]) or 9, class = known[4],
                                       claimed_ms = tonumber(known[5]) or 0}
                end
            end
        end
        find_spare(q, running)
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
        return {worker = worker, total = total, free = free}
    end

    local function rooms_of(q)
        local rooms = {}
        local ids = redis.pcall('ZRANGEBYSCORE', key_of(q, 'workers'), integer_text(q.now - WORKER.seen_ms), '+inf',
                                'LIMIT', 0, LOOKED_AT.workers)
        for i = 1, #ids do
            rooms[#rooms + 1] = room_of(q, ids[i])
        end
        return rooms
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

    -- Of one waiting job: which worker is emptied how far; nil: none, or one of them has room as it is. What is free
    -- where others are on their way out already is for those who wait for that.
    local function plan_for(q, wants, running)
        local best
        for _, room in ipairs(running.rooms) do
            local worker, free = room.worker, {cpus = 0, gpus = 0, memory = 0, labels = room.total.labels}
            if worker ~= wants.not_on and not running.is_given_up[worker] and
                class_fits(wants.requirement, room.total, 1) > 0 then
                if not running.is_leaving[worker] then
                    free.cpus, free.gpus, free.memory = room.free.cpus, room.free.gpus, room.free.memory
                    if class_fits(wants.requirement, free, 1) > 0 and not wants.is_full then
                        return nil
                    end
                end
                local found = victims_on(q, running.by_worker[worker] or {}, wants.priority, wants.requirement, free)
                if found and (wants.is_first or found.count == 1) and (not best or less_lost(found, best)) then
                    found.worker, best = worker, found
                end
            end
        end
        return best
    end

    local function checked(q, wants, plan)
        plan.wants, plan.records = wants, {}
        for i, job in ipairs(plan.jobs) do
            plan.records[i] = job_of_call(q, job.n)
            expect_type(q, 'list', 'history:' .. job.n)
        end
        return plan
    end

    -- They are on their way out from now on.
    local function leave(running, plan)
        local stay = {}
        for _, job in ipairs(running.by_worker[plan.worker]) do
            stay[#stay + 1] = job
        end
        for _, gone in ipairs(plan.jobs) do
            for i = #stay, 1, -1 do
                if stay[i] == gone then
                    table.remove(stay, i)
                end
            end
        end
        running.by_worker[plan.worker], running.is_leaving[plan.worker] = stay, true
    end

    -- Of the jobs at the front of a lane that have waited for long enough.
    local function plan_lane(q, plans, running, lane, requirement, heads)
        local class, priority, special = lane:match('^([^:]+):(%d):(.+)$')
        for i, n in ipairs(heads) do
            local wants = {n = n, lane = lane, priority = tonumber(priority), requirement = requirement,
                           is_first = i == 1, not_on = special:match('^!not@(.*)$'),
                           is_full = q.meta.max_running > 0 and
                               call('ZCARD', key_of(q, 'leases')) >= q.meta.max_running}
            local kept = running.makes_room[n] or table.remove(running.spare[class] or {})
            local plan = kept and {worker = kept, jobs = {}} or plan_for(q, wants, running)
            if not plan or #plans == PLANS_A_TICK then
                return
            end
            append(plans, checked(q, wants, plan))
            if not kept then
                leave(running, plan)
            end
        end
    end

    -- Before the first write: whose places are taken, and for whom.
    function preempting.plan(q)
        local plans, running = {}, nil
        if q.meta.preempt == 0 or q.meta.paused == 'paused' then
            return plans
        end
        local lanes = call('ZRANGE', key_of(q, 'lanes'), 0, LOOKED_AT.lanes - 1, 'WITHSCORES')
        for i = 1, #lanes, 2 do
            local lane, head_ms = lanes[i], tonumber(lanes[i + 1]) % LANE_RANK_STEP
            local class, priority = lane:match('^([^:]+):(%d):.+$')
            local heads = class and q.now - head_ms >= AFTER_MS and priority ~= '0' and heads_of(q, lane, head_ms)
            local requirement = heads and heads[1] and class_get(q, class)
            if requirement then
                running = running or look_at_running(q)
                running.rooms = running.rooms or rooms_of(q)
                plan_lane(q, plans, running, lane, requirement, heads)
            end
        end
        return plans
    end

    local function carry_one(q, plan)
        if plan.wants.is_first then
            redis.pcall('SET', key_of(q, 'reserved:' .. plan.wants.lane), plan.worker, 'PX', integer_text(RESERVED_MS))
        end
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

    function preempting.carry(q, plans)
        for _, plan in ipairs(plans) do
            carry_one(q, plan)
        end
    end
end
