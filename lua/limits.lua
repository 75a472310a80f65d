-- stoker_limit <max_running> <rate_max> <rate_per_ms> [actor] [max_recovering]: the limits of a queue; '' leaves one as
-- it is, 0 lifts it.
do
    local function set_limits(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local actor = want_actor(args[4])
        local fields, said = {}, {}
        q.meta.max_recovering = recovering.most(q)
        for i, field in pairs({'max_running', 'rate_max', 'rate_per_ms', nil, 'max_recovering'}) do
            local text = optional(args[i])
            local value = text and want_integer(text, field, 0, 1e12)
            if value and value ~= q.meta[field] then
                append(fields, field, integer_text(value))
                append(said, field, value)
                q.meta[field] = value
            end
        end
        if q.meta.rate_max > 0 and q.meta.rate_per_ms == 0 then
            fail('INVALID', 'rate_per_ms: expected the time in which rate_max jobs may start, got nothing')
        end
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'lanes')
        if fields[1] then
            call('HSET', q.meta_key, unpack(fields))
            append(said, 'actor', actor)
            event_of_queue(q, 'queue.limited', unpack(said))
            queue_ring_all(q)
        end
        queue_flush(q)
        return 'ok'
    end

    register('limit', set_limits)
end
