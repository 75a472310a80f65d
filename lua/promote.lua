-- stoker_promote [limit]: what is due goes from waiting to queued; children of jobs that have ended are told
-- (lua/depend.lua). What waited long enough for another worker than its last one is for all of them. The answer also
-- hands out what is to be carried to other queues (lua/post.lua).
do
    -- Jobs whose time in a lane of their own is over. The types of what is written for them are checked.
    local function no_longer_elsewhere(q, limit)
        local due = {}
        if expect_type(q, 'zset', 'elsewhere') == 0 then
            return due
        end
        local numbers = call('ZRANGEBYSCORE', key_of(q, 'elsewhere'), '-inf', q.now_text, 'LIMIT', 0, limit)
        for i, n in ipairs(numbers) do
            due[i] = job_find(q, n) or job_of_fields(n, {})
            if due[i].f.state == 'queued' and due[i].f.lane then
                expect_can_queue(q, due[i])
                expect_type(q, 'stream', 'ready:' .. due[i].f.lane)
            end
        end
        return due
    end

    local function let_go_anywhere(q, j)
        local lane = j.f.state == 'queued' and j.f.lane
        if lane and lane:find(':!not@', 1, true) then
            lane_drop(q, j)
            lane_push(q, j, j.f.reason == 'lost' and '!front' or nil)
            event_say(q, j, 'job.queued', 'state', 'queued', 'reason', 'no other worker took it')
            job_save(q, j)
        else
            q.batch.away[j.n] = false -- an index entry without its job
        end
    end

    local function next_due_ms(q)
        local next_ms = -1
        for _, name in ipairs({'waiting', 'elsewhere'}) do
            local first = call('ZRANGE', key_of(q, name), 0, 0, 'WITHSCORES')
            local due_ms = tonumber(first[2]) or LARGEST -- inf: what is left waits for something else
            local left_ms = due_ms < LARGEST and math.max(due_ms - q.now, 0)
            if left_ms and (next_ms < 0 or left_ms < next_ms) then
                next_ms = left_ms
            end
        end
        return next_ms
    end

    local function promote(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        local waiting = key_of(q, 'waiting')
        expect_queue_types(q)
        local due = {}
        for i, n in ipairs(call('ZRANGEBYSCORE', waiting, '-inf', integer_text(q.now), 'LIMIT', 0, limit)) do
            due[i] = job_find(q, n) or job_of_fields(n, {})
            if due[i].f.state == 'waiting' and due[i].f.reason ~= 'held' and not due[i].f.needs then
                expect_can_queue(q, due[i])
                due[i].is_held = schedule_holds(q, due[i])
            end
        end
        expect_type(q, 'zset', 'releases')
        expect_type(q, 'zset', 'outbox')
        expect_type(q, 'zset', 'fires')
        expect_type(q, 'zset', 'recovering')
        local away, moved = no_longer_elsewhere(q, limit - #due), 0
        local plans = preempting.plan(q)
        for _, j in ipairs(away) do
            let_go_anywhere(q, j)
        end
        for _, j in ipairs(due) do
            if j.f.state == 'waiting' and (j.f.reason == 'held' or j.f.needs or j.f.unmet) then
                append(q.batch.waiting, '+inf', j.n) -- the record rules over the index
            elseif j.is_held then
                append(q.batch.waiting, integer_text(q.now + SCHEDULE_HOLD_MS), j.n)
            elseif j.f.state == 'waiting' then
                if recovering.admit(q, j) then
                    limits.ready(q, j, 'promote')
                    moved = moved + 1
                end
            else
                append(q.batch.unwait, j.n) -- an index entry without its job
            end
        end
        preempting.carry(q, plans)
        local told, has_more = depend.drain(q, limit)
        told = told + batching.fire(q)
        queue_flush(q)
        if has_more then
            return {moved + told, 0, depend.letters(q)}
        end
        return {moved + told, next_due_ms(q), depend.letters(q)}
    end

    register('promote', promote, 'allow-oom')
end
