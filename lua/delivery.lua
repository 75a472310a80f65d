-- Deliveries of webhooks: one record each, from the event that made it until the receiver said yes.
--
-- stoker_webhook_take <limit> <lease ms> [busy target]…: hands out what is due, at most four a receiver, and none for
--   those named: a slow one holds up nobody else. For the length of the lease nobody else gets it; who dies with it
--   has used up one try.
-- stoker_webhook_done <delivery> <try> <ok | failed | refused> [status] [error]: how it went. Failed: again, later and
--   later, then dead; refused (by us: the address is not allowed): dead at once.
-- stoker_webhook_dead [limit] [cursor], stoker_webhook_resend <delivery | all> [limit]: the dead are kept, and may be
--   sent again.
--
-- A target is what shares a lane: a webhook of the queue, or all jobs' own webhooks of one origin. `deliveries` has the
-- due time of each lane's first.

local webhook_secrets, delivery_put, delivery_forget, delivery_types
do
    local LANE_MAX = 10000   -- deliveries that wait for one receiver; more are dead at once
    local WAITING_MAX = 100000
    local DEAD_KEPT = 1000
    local A_TARGET = 4       -- deliveries to one receiver in one take
    local LANES_A_TAKE = 200
    local MOST_BACKOFF_MS = 600000
    local ID = '^[%w.-]+$'

    local function lane_key(q, target)
        return key_of(q, 'deliveries:to:' .. target)
    end

    local function record_key(q, id)
        return key_of(q, 'delivery:' .. id)
    end

    -- Under a prefix of its own, which workers and viewers cannot read.
    function webhook_secrets(q)
        return (q.base:gsub(':?{', '-secret:{', 1)) .. 'webhooks'
    end

    function delivery_types(q)
        expect_type(q, 'zset', 'deliveries')
        expect_type(q, 'zset', 'deliveries:dead')
        expect_type(q, 'stream', 'events')
        want_integer(call('HGET', q.meta_key, 'webhook_waiting') or '0', 'webhook_waiting of meta', 0, LARGEST)
    end

    -- The lane's place among the lanes follows its first.
    local function target_settle(q, target)
        local first = call('ZRANGE', lane_key(q, target), 0, 0, 'WITHSCORES')
        if first[1] then
            call('ZADD', key_of(q, 'deliveries'), first[2], target)
        else
            call('ZREM', key_of(q, 'deliveries'), target)
        end
    end

    local function bury(q, id, record, sentence)
        local dead = key_of(q, 'deliveries:dead')
        call('HSET', record_key(q, id), 'error', clip(sentence, TEXT_MAX), 'dead_ms', q.now_text)
        call('ZADD', dead, q.now_text, id)
        if call('ZCARD', dead) > DEAD_KEPT then
            local oldest = call('ZRANGE', dead, 0, 0)[1]
            call('ZREM', dead, oldest)
            call('DEL', record_key(q, oldest))
        end
        event_of_queue(q, 'webhook.dead', 'webhook', record.hook, 'delivery', id, 'about', record.job or record.batch,
                       'error', clip(sentence, TEXT_MAX))
    end

    -- A new delivery: {hook, target, url, event, message, body, job}. Cannot fail.
    function delivery_put(q, id, delivery)
        local lane, list = lane_key(q, delivery.target), {}
        for name, value in pairs(delivery) do
            append(list, name, value)
        end
        if call('EXISTS', record_key(q, id)) == 1 then
            call('DEL', record_key(q, id)) -- a stranger's: ids are used once
        end
        call('HSET', record_key(q, id), 'tries', '0', 'made_ms', q.now_text, unpack(list))
        local waiting = tonumber(call('HGET', q.meta_key, 'webhook_waiting') or 0)
        local length = redis.pcall('ZCARD', lane)
        if type(length) == 'table' then
            bury(q, id, delivery, ('the key %s is not a zset: something else was put there'):format(lane))
            return
        elseif waiting >= WAITING_MAX or length >= LANE_MAX then
            bury(q, id, delivery, ('%d deliveries wait for this receiver, and %d in all: no more are taken')
                 :format(length, waiting))
            return
        end
        if call('ZADD', lane, q.now_text, id) == 1 then -- else events are told again
            call('HINCRBY', q.meta_key, 'webhook_waiting', 1)
        end
        call('ZADD', key_of(q, 'deliveries'), 'LT', q.now_text, delivery.target)
    end

    -- All that waits for one receiver, which is no more.
    function delivery_forget(q, target)
        local ids = call('ZRANGE', lane_key(q, target), 0, -1)
        for from = 1, #ids, 1000 do
            local keys = {}
            for i = from, math.min(from + 999, #ids) do
                keys[#keys + 1] = record_key(q, ids[i])
            end
            call('UNLINK', unpack(keys))
        end
        call('DEL', lane_key(q, target))
        call('ZREM', key_of(q, 'deliveries'), target)
        if #ids > 0 then
            call('HINCRBY', q.meta_key, 'webhook_waiting', integer_text(-#ids))
        end
    end

    local function leave_lane(q, id, target)
        if call('ZREM', lane_key(q, target), id) == 1 then
            call('HINCRBY', q.meta_key, 'webhook_waiting', -1)
        end
        target_settle(q, target)
    end

    -- Takes one; nil: there is no secret to sign it with, which ends it.
    local function take_one(q, id, target, lease)
        local record = pairs_table(call('HGETALL', record_key(q, id)))
        local secret = record.hook and call('HGET', webhook_secrets(q), record.hook)
        if not record.body then
            leave_lane(q, id, target) -- somebody deleted the record
            return nil
        elseif not secret then
            leave_lane(q, id, target)
            bury(q, id, record, 'the queue has no secret to sign the webhooks of jobs with | stoker webhooks secret')
            return nil
        end
        call('ZADD', lane_key(q, target), integer_text(q.now + lease), id)
        local try = call('HINCRBY', record_key(q, id), 'tries', 1)
        return {'id', id, 'try', try, 'target', target, 'url', record.url, 'message', record.message, 'body',
                record.body, 'secret', secret}
    end

    local function take(keys, args)
        local q = queue_open(keys)
        local limit = want_integer(args[1], 'limit', 1, MAX_JOBS_A_CALL)
        local lease = want_integer(args[2], 'lease', 100, 600000)
        local busy, taken = {}, {}
        for i = 3, #args do
            busy[args[i]] = true
        end
        delivery_types(q)
        local due = call('ZRANGEBYSCORE', key_of(q, 'deliveries'), '-inf', q.now_text, 'LIMIT', 0, LANES_A_TAKE)
        for i = 1, #due do
            local target, left = due[i], limit - #taken
            if left > 0 and not busy[target] then
                local ids = call('ZRANGEBYSCORE', lane_key(q, target), '-inf', q.now_text, 'LIMIT', 0,
                                 math.min(left, A_TARGET))
                for _, id in ipairs(ids) do
                    taken[#taken + 1] = take_one(q, id, target, lease)
                end
                target_settle(q, target)
            end
        end
        event_flush(q)
        return taken
    end

    local function want_id(text)
        return want_match(text, 'delivery', ID, 128, 'the id of a delivery')
    end

    local VERDICTS = {ok = true, failed = true, refused = true}
    local function done(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local id, try = want_id(args[1]), want_integer(args[2], 'try', 1, 1000000)
        local verdict, said = args[3], want_reason(args[5]) or 'no answer'
        if not VERDICTS[verdict] then
            fail('INVALID', 'verdict: expected ok, failed or refused, got %s', quoted(verdict))
        end
        delivery_types(q)
        local record = pairs_table(call('HGETALL', record_key(q, id)))
        if not record.target or record.dead_ms then
            return 'gone'
        elseif verdict == 'ok' then -- also of one whose lease ended: it was delivered
            leave_lane(q, id, record.target)
            call('DEL', record_key(q, id))
            return 'ok'
        elseif tonumber(record.tries) ~= try then
            return 'stale'
        end
        local tries, backoff = unpack(call('HMGET', q.meta_key, 'webhook_tries', 'webhook_backoff_ms'))
        tries, backoff = tonumber(tries or 12) or 12, tonumber(backoff or 5000) or 5000
        call('HSET', record_key(q, id), 'error', said, 'status', args[4] or '')
        if verdict == 'refused' or try >= tries then
            leave_lane(q, id, record.target)
            bury(q, id, record, said)
            event_flush(q)
            return 'dead'
        end
        local wait = math.min(backoff * 2 ^ math.min(try - 1, 30), MOST_BACKOFF_MS)
        call('ZADD', lane_key(q, record.target), integer_text(q.now + math.floor(wait)), id)
        target_settle(q, record.target)
        return 'failed'
    end

    -- A record as JSON; its body is the JSON that was to be sent.
    local function delivery_json(q, id)
        local record = pairs_table(call('HGETALL', record_key(q, id)))
        if not record.body then
            return nil
        end
        local list = {'delivery', id, 'webhook', record.hook}
        for _, name in ipairs({'url', 'event', 'job', 'batch', 'tries', 'status', 'error', 'made_ms', 'dead_ms'}) do
            if record[name] and record[name] ~= '' then
                append(list, name, record[name])
            end
        end
        return json_of_pairs(list):sub(1, -2) .. ',"body":' .. record.body .. '}'
    end

    local function dead(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '50', 'limit', 1, 100)
        local from = want_integer(optional(args[2]) or '0', 'cursor', 0, LARGEST)
        local list = {}
        local ids = call('ZREVRANGE', key_of(q, 'deliveries:dead'), from, from + limit - 1)
        for _, id in ipairs(ids) do
            list[#list + 1] = delivery_json(q, id)
        end
        return '{"deliveries":' .. json_list(list) .. ',"cursor":"' ..
               (#ids == limit and integer_text(from + limit) or '') .. '"}'
    end

    local function show(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local id = want_id(args[1])
        return delivery_json(q, id) or
               fail('NOTFOUND', 'no delivery %s: it was delivered, or there never was one | stoker webhooks dead', id)
    end

    local function again(q, id)
        local record = pairs_table(call('HGETALL', record_key(q, id)))
        call('ZREM', key_of(q, 'deliveries:dead'), id)
        if record.body then
            call('HDEL', record_key(q, id), 'dead_ms', 'error', 'status')
            call('HSET', record_key(q, id), 'tries', '0')
            call('ZADD', lane_key(q, record.target), q.now_text, id)
            call('HINCRBY', q.meta_key, 'webhook_waiting', 1)
            target_settle(q, record.target)
        end
    end

    -- A webhook of the queue that was removed has no secret any more, and a lane that nobody would empty.
    local function can_go_again(q, id)
        local hook = call('HGET', record_key(q, id), 'hook')
        return hook == 'job' or call('HEXISTS', key_of(q, 'webhooks'), hook or '') == 1
    end

    local function resend(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local id = want_id(args[1])
        local limit = want_integer(optional(args[2]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        delivery_types(q)
        local ids = {id}
        if id == 'all' then
            ids = call('ZRANGE', key_of(q, 'deliveries:dead'), 0, limit - 1)
        elseif not call('ZSCORE', key_of(q, 'deliveries:dead'), id) then
            fail('NOTFOUND', 'no dead delivery %s | stoker webhooks dead lists them', id)
        elseif not can_go_again(q, id) then
            fail('CONFLICT', 'delivery %s was for a webhook that is no more', id)
        end
        local count = 0
        for i = 1, #ids do
            if can_go_again(q, ids[i]) then
                again(q, ids[i])
                count = count + 1
            else
                call('ZREM', key_of(q, 'deliveries:dead'), ids[i])
                call('DEL', record_key(q, ids[i]))
            end
        end
        return {count, call('ZCARD', key_of(q, 'deliveries:dead'))}
    end

    register('webhook_take', take, 'allow-oom')
    register('webhook_done', done, 'allow-oom')
    register('webhook_dead', dead, 'no-writes')
    register('webhook_delivery', show, 'no-writes')
    register('webhook_resend', resend)
end
