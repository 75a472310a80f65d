-- Sweeps from who calls functions: stoker_sweep <spec with a sweep block> [key] [actor] keeps the spec in
-- `sweep:<token>` (fields spec, hash, batch, actor, error) and puts a letter into `outbox`. A scheduler, which knows
-- how to expand it, reads it (stoker_swept <token>), submits its jobs, and says how it went: stoker_swept <token> <''
-- or what is wrong with it>.
do
    local KEPT_S = 86400

    local function sweep(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local text, key, actor = args[1], optional(args[2]), want_actor(args[3])
        local spec = want_object(text, 'spec', spec_table.max_bytes)
        if key then
            want_match(key, 'idempotency key', '^[!-~]+$', 128, '1 to 128 printable ASCII characters without space')
        end
        if type(spec.sweep) ~= 'table' then
            fail('INVALID', 'sweep: expected an object, got %s | stoker_submit takes a spec without one',
                 spec.sweep == nil and 'nothing' or clip(cjson.encode(spec.sweep), 60))
        elseif spec.queue ~= nil and spec.queue ~= q.name then
            fail('INVALID', 'queue: the spec says %s, but it was submitted to queue %s', quoted(spec.queue), q.name)
        end
        local token = redis.sha1hex(key or (q.base .. table.concat(q.time, '.') .. text)):sub(1, 16)
        local name, hash = key_of(q, 'sweep:' .. token), redis.sha1hex(text)
        local batch = spec.batch == nil and 'sweep-' .. token or batching.want(spec.batch)
        expect_type(q, 'hash', 'sweep:' .. token)
        expect_type(q, 'zset', 'outbox')
        batching.expect_types(q, batch)
        local known = call('HMGET', name, 'hash', 'batch', 'error')
        if known[1] and known[1] ~= hash then
            fail('CONFLICT', 'the idempotency key %s was used for another sweep: batch %s | use a new key', quoted(key),
                 known[2])
        elseif known[3] then
            fail('INVALID', '%s', known[3])
        elseif known[1] then
            return known[2]
        end
        submitting.admit(q)
        local spared = submitting.check_code(q, spec)
        submitting.spare_code(q, spared)
        call('HSET', name, 'spec', text, 'hash', hash, 'batch', batch, unpack(pairs_given({}, 'actor', actor)))
        call('EXPIRE', name, KEPT_S)
        if batching.make(q, batch, actor) then
            call('EXPIRE', key_of(q, 'batch:' .. batch), KEPT_S) -- its first job keeps it
        end
        call('ZADD', key_of(q, 'outbox'), q.now_text, 'sweep ' .. token)
        return batch
    end

    local function swept(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local token = want_match(args[1], 'token', '^%x+$', 16, '16 hex digits')
        local name, wrong = key_of(q, 'sweep:' .. token), args[2]
        expect_type(q, 'hash', 'sweep:' .. token)
        expect_type(q, 'zset', 'outbox')
        expect_type(q, 'stream', 'events')
        if not wrong then
            local known = call('HMGET', name, 'spec', 'batch', 'actor')
            return {known[1] or '', known[2] or '', known[3] or ''}
        end
        wrong = want_reason(wrong)
        local batch = call('HGET', name, 'batch')
        if call('ZREM', key_of(q, 'outbox'), 'sweep ' .. token) == 1 and batch then
            call('HDEL', name, 'spec')
            if wrong then
                call('HSET', name, 'error', wrong)
                event_of_queue(q, 'sweep.refused', 'batch', batch, 'reason', wrong)
                event_flush(q)
            end
        end
        return 'ok'
    end

    register('sweep', sweep)
    register('swept', swept, 'allow-oom')
end
