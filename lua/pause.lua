-- stoker_pause <pause, drain or resume> [actor] [reason]: a paused queue takes jobs and gives none out; a draining one
-- takes none and lets what is there run to its end. The state is a field of `meta` that every call reads anyway.

local queue_paused_json, queue_refuse_new
do
    local FIELDS = {'paused_by', 'paused_ms', 'paused_reason'}

    -- For show, list and stats: a JSON object; nil when the queue is open.
    function queue_paused_json(q)
        if not q.meta.paused then
            return nil
        end
        local by, since_ms, reason = unpack(call('HMGET', q.meta_key, unpack(FIELDS)))
        return json_of_pairs(pairs_given({'state', q.meta.paused}, 'by', by or nil, 'since_ms', since_ms or nil,
                                         'reason', reason or nil))
    end

    -- Refuses what would be a new job.
    function queue_refuse_new(q)
        local by, _, reason = unpack(call('HMGET', q.meta_key, unpack(FIELDS)))
        fail('CONFLICT', '%s', ('queue %s is draining%s%s: it takes no new jobs | stoker queues resume %s'):format(
             q.name, by and ' by ' .. by or '', reason and ' (' .. reason .. ')' or '', q.name))
    end

    local STATES = {pause = 'paused', drain = 'draining', resume = 'open'}
    local EVENTS = {pause = 'queue.paused', drain = 'queue.draining', resume = 'queue.resumed'}

    -- The doorbells of all that is queued: they were not rung while the queue was paused.
    local function ring_all(q)
        local classes = {}
        for _, lane in ipairs(call('ZRANGE', key_of(q, 'lanes'), 0, -1)) do
            local class = lane:match('^[^:]+')
            if not classes[class] then
                expect_type(q, 'zset', 'wake:' .. class)
                classes[class] = true
            end
        end
        q.batch.bells = classes
    end

    local function pause(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local state = STATES[args[1]]
        if not state then
            fail('INVALID', 'expected pause, drain or resume, got %s', quoted(args[1]))
        end
        local actor, reason = want_actor(args[2]), want_reason(args[3])
        local was = q.meta.paused or 'open'
        if state == was then
            return state -- asked again: who and when stay those of the first
        end
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'lanes')
        if state ~= 'paused' then
            ring_all(q)
        end
        call('HDEL', q.meta_key, 'paused', unpack(FIELDS))
        if state ~= 'open' then
            call('HSET', q.meta_key, unpack(pairs_given({'paused', state, 'paused_ms', q.now_text}, 'paused_by', actor,
                                                        'paused_reason', reason)))
        end
        q.meta.paused = state ~= 'open' and state or nil
        event_of_queue(q, EVENTS[args[1]], 'actor', actor, 'reason', reason)
        queue_flush(q)
        event_hint(q, 'queue', state)
        return state
    end

    register('pause', pause, 'allow-oom')
end
