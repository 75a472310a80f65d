-- What a call collected, written once at its end.

-- Rings for every class of which something is ready, as far as it is near the front.
local function queue_ring_all(q)
    for _, lane in ipairs(call('ZRANGE', key_of(q, 'lanes'), 0, 63)) do
        q.batch.bells[lane:match('^[^:]+')] = true
    end
end

local queue_flush
local spent = {} -- lua/spent.lua
do
    local INDEX_WRITES = {
        {list = 'leases', command = 'ZADD', key = 'leases'}, {list = 'unlease', command = 'ZREM', key = 'leases'},
        {list = 'waiting', command = 'ZADD', key = 'waiting'}, {list = 'unwait', command = 'ZREM', key = 'waiting'},
    }

    -- Removes the ready entries of attempts that ended. A stream that became empty goes, too: a stream of one entry
    -- costs 4 KB, and its consumers would stay for ever.
    local function queue_flush_entries(q)
        for lane, ids in pairs(q.batch.ack) do
            local stream = key_of(q, 'ready:' .. lane)
            call('XDEL', stream, unpack(ids))
            if call('XLEN', stream) > 0 then
                call('XACK', stream, 'workers', unpack(ids))
            else
                call('DEL', stream)
                call('ZREM', key_of(q, 'lanes'), lane)
            end
        end
    end

    -- Until when a job waits for another worker than the last; false: no longer.
    local function queue_flush_away(q)
        for n, until_ms in pairs(q.batch.away) do
            if until_ms then
                call('ZADD', key_of(q, 'elsewhere'), until_ms, n)
            else
                redis.pcall('ZREM', key_of(q, 'elsewhere'), n) -- a claim does not look whether a stranger has the key
            end
        end
    end

    -- Writes what the moves of this call collected. Additions come first: an attempt that is taken back and ends in the
    -- same call must leave no lease behind.
    function queue_flush(q)
        local batch = q.batch
        if rawget(batch, 'settled') then
            depend.flush(q)
        end
        if rawget(batch, 'counts') then
            batching.flush(q)
        end
        if rawget(batch, 'unlease') and q.meta.max_running > 0 then
            queue_ring_all(q) -- a claim that found the queue at its limit did not ring on
        end
        setmetatable(batch, nil) -- from here on it is only read
        if batch.ack then
            queue_flush_entries(q)
        end
        if batch.specs then
            call('MSET', unpack(batch.specs))
        end
        for i = 1, #INDEX_WRITES do
            local write = INDEX_WRITES[i]
            local list = batch[write.list]
            if list then
                call(write.command, key_of(q, write.key), unpack(list))
            end
        end
        if batch.away then
            queue_flush_away(q)
        end
        if batch.final then
            for state, list in pairs(batch.final) do
                call('ZADD', final_key(q, state), unpack(list))
            end
        end
        if batch.usage then
            share.flush(q)
        end
        if batch.spent then
            spent.flush(q)
        end
        if q.active ~= 0 then
            call('HINCRBY', q.meta_key, 'active', q.active)
        end
        -- On a paused queue nobody is woken for what cannot be claimed; resuming rings for all of it.
        if batch.bells and q.meta.paused ~= 'paused' then
            for class_name in pairs(batch.bells) do
                if not q.known.ringing[class_name] then
                    -- who waits at a stranger's is not woken
                    redis.pcall('ZADD', key_of(q, 'wake:' .. class_name), '0', '1')
                end
            end
        end
        event_flush(q)
    end
end
