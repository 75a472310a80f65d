-- stoker_stats: the counts of a queue, as JSON.
do

    local function queued_by_class(q)
        local counts, total, oldest = {}, 0, nil
        for _, lane in ipairs(call('ZRANGE', key_of(q, 'lanes'), 0, -1)) do
            local key = key_of(q, 'ready:' .. lane)
            local group = redis.pcall('XINFO', 'GROUPS', key)
            if not group.err and group[1] then
                local class = lane:match('^[^:]+')
                local count = call('XLEN', key) - pairs_table(group[1]).pending
                counts[class], total = (counts[class] or 0) + count, total + count
                local first = call('XRANGE', key, '(' .. pairs_table(group[1])['last-delivered-id'], '+', 'COUNT', 1)[1]
                local ms = first and tonumber(first[1]:match('^%d+'))
                oldest = (not oldest or ms and ms < oldest) and ms or oldest
            end
        end
        return counts, total, oldest
    end

    local function stats(keys, args)
        no_more_arguments(args, 0)
        local q = queue_open(keys)
        local counts, queued, oldest = queued_by_class(q)
        local classes = {}
        for name, requirement in pairs(pairs_table(call('HGETALL', key_of(q, 'classes')))) do
            classes[#classes + 1] = ('%s:{"queued":%d,"requirement":%s}'):format(cjson.encode(name), counts[name] or 0,
                                                                                requirement)
        end
        local parts = {'"queue":' .. cjson.encode(q.name)}
        local function count(name, value)
            parts[#parts + 1] = ('"%s":%.0f'):format(name, value)
        end
        count('waiting', call('ZCARD', key_of(q, 'waiting')))
        count('queued', queued)
        if oldest then
            count('oldest_ms', oldest)
        end
        count('running', call('ZCARD', key_of(q, 'leases')))
        for _, state in ipairs({'succeeded', 'failed', 'cancelled'}) do
            count(state, call('ZCARD', final_key(q, state)))
        end
        count('submitted', q.meta.next)
        local lost = call('HGET', q.meta_key, 'lost_next')
        if lost then
            count('lost', lost)
        end
        count('max_running', q.meta.max_running)
        count('max_recovering', recovering.most(q))
        count('rate_max', q.meta.rate_max)
        count('rate_per_ms', q.meta.rate_per_ms)
        count('preempt', q.meta.preempt)
        count('workers', call('ZCOUNT', key_of(q, 'workers'), integer_text(q.now - WORKER.seen_ms), '+inf'))
        parts[#parts + 1] = '"classes":{' .. table.concat(classes, ',') .. '}'
        parts[#parts + 1] = '"goodput":' .. spent.json(q)
        if q.meta.store then
            parts[#parts + 1] = '"store":' .. cjson.encode(q.meta.store)
        end
        local paused = queue_paused_json(q)
        if paused then
            parts[#parts + 1] = '"paused":' .. paused
        end
        count('now_ms', q.now)
        return '{' .. table.concat(parts, ',') .. '}'
    end

    register('stats', stats, 'no-writes')
end
