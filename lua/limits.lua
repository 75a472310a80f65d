-- stoker_limit <max_running> <rate_max> <rate_per_ms> [actor] [max_recovering] [preempt]: the limits of a queue; ''
-- leaves one as it is, 0 lifts it. preempt 1: higher priorities take the places of lower ones (lua/preempt.lua).
do
    local ROWS = {
        {at = 1, field = 'max_running', most = 1e12}, {at = 2, field = 'rate_max', most = 1e12},
        {at = 3, field = 'rate_per_ms', most = 1e12}, {at = 5, field = 'max_recovering', most = 1e12},
        {at = 6, field = 'preempt', most = 1},
    }

    local function set_limits(keys, args)
        no_more_arguments(args, 6)
        local q = queue_open(keys)
        local actor = want_actor(args[4])
        local fields, said = {}, {}
        q.meta.max_recovering = recovering.most(q)
        for _, row in ipairs(ROWS) do
            local field, text = row.field, optional(args[row.at])
            local value = text and want_integer(text, field, 0, row.most)
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
