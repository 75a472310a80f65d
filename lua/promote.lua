-- stoker_promote [limit]: what is due goes from waiting to queued; children of jobs that have ended are told
-- (lua/depend.lua). The answer also hands out what is to be carried to other queues (lua/post.lua).
do
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
        local moved = 0
        for _, j in ipairs(due) do
            if j.f.state == 'waiting' and (j.f.reason == 'held' or j.f.needs or j.f.unmet) then
                append(q.batch.waiting, '+inf', j.n) -- the record rules over the index
            elseif j.is_held then
                append(q.batch.waiting, integer_text(q.now + SCHEDULE_HOLD_MS), j.n)
            elseif j.f.state == 'waiting' then
                limits.ready(q, j, 'promote')
                moved = moved + 1
            else
                append(q.batch.unwait, j.n) -- an index entry without its job
            end
        end
        local told, has_more = depend.drain(q, limit)
        told = told + batching.fire(q)
        queue_flush(q)
        if has_more then
            return {moved + told, 0, post_take(q)}
        end
        local first = call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
        local due_ms = tonumber(first[2]) -- inf: what is left waits for something else
        return {moved + told, due_ms and due_ms < LARGEST and math.max(due_ms - q.now, 0) or -1,
                post_take(q)}
    end

    register('promote', promote, 'allow-oom')
end
