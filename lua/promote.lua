-- stoker_promote [limit]: what is due goes from waiting to queued.
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
            if due[i].f.state == 'waiting' and due[i].f.reason ~= 'held' then
                expect_can_queue(q, due[i])
            end
        end
        local moved = 0
        for _, j in ipairs(due) do
            if j.f.state == 'waiting' and j.f.reason == 'held' then
                append(q.batch.waiting, '+inf', j.n) -- the record rules over the index
            elseif j.f.state == 'waiting' then
                limits.ready(q, j, 'promote')
                moved = moved + 1
            else
                append(q.batch.unwait, j.n) -- an index entry without its job
            end
        end
        queue_flush(q)
        local first = call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
        local due_ms = tonumber(first[2]) -- inf: what is left waits for something else
        return {moved, due_ms and due_ms < LARGEST and math.max(due_ms - q.now, 0) or -1}
    end

    register('promote', promote, 'allow-oom')
end
