-- stoker_worker <id> <JSON>: registers a worker, and is its heartbeat.
-- stoker_worker_drain <id> [reason] [actor], stoker_worker_resume <id> [actor]: whether it is to claim.
do
    local INFO_MAX_BYTES = 65536
    local OURS = {claim_request = true, claim_answer = true, drain = true, rang_ms = true, seen_ms = true, id = true,
                  resumed_ms = true, drain_reason = true, offer = true, given = true}

    -- Members of the JSON object as {name, text, …}. Objects and lists keep their own text: cjson would write an
    -- empty list as an object.
    local function fields_of(text)
        local info, list = want_object(text, 'worker', INFO_MAX_BYTES), {}
        local at = text:find('{', 1, true) + 1
        while text:find('^%s*"', at) do
            local name, from = text:match('^%s*"([a-z_]+)"%s*:%s*()', at)
            if not name or #name > 32 or OURS[name] then
                fail('INVALID', 'worker: %s is not a name that a worker can set', quoted(text:match('"([^"]*)', at)))
            end
            local value, behind = info[name], json_value_end(text, from)
            if type(value) == 'table' then
                value = text:sub(from, behind - 1):match('^(.-)%s*$')
            elseif value == cjson.null then
                value = ''
            end
            append(list, name, as_text(value))
            at = behind + 1
        end
        return list
    end

    local function worker(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local id = want_worker(args[1])
        local fields = fields_of(args[2])
        local key = key_of(q, 'worker:' .. id)
        expect_type(q, 'hash', 'worker:' .. id)
        expect_type(q, 'stream', 'events')
        local known = call('ZSCORE', key_of(q, 'workers'), id)
        local said = pairs_table(fields)
        local why = said.why
        if why and why ~= '' and call('HGET', key, 'why') ~= why then
            event_of_queue(q, 'worker.drained', 'worker', id, 'reason', sentence_of(why))
        end
        call_with('HSET', key, fields)
        call('EXPIRE', key, WORKER.kept_s)
        local state, request, drain, resumed_ms = unpack(call('HMGET', key, 'state', 'claim_request', 'drain',
                                                             'resumed_ms'))
        if state == 'gone' then
            redis.pcall('ZREM', key_of(q, 'idle'), id)
            if call('ZREM', key_of(q, 'workers'), id) == 1 then
                event_of_queue(q, 'worker.gone', 'worker', id)
            end
        else
            call('ZADD', key_of(q, 'workers'), integer_text(q.now), id)
            if not known then
                event_of_queue(q, 'worker.up', 'worker', id)
            end
        end
        local is_marked = stores.is_marked(q, said.store)
        if said.stored == '1' then
            stores.remember(q, said.store)
        end
        event_flush(q)
        return {tonumber(request or 0), drain == '1' and 1 or 0, tonumber(resumed_ms or 0),
                is_marked and q.meta.installation or ''}
    end

    -- A worker of this queue that was heard of, by its record.
    local function want_known(q, id)
        expect_type(q, 'stream', 'events')
        expect_type(q, 'hash', 'worker:' .. id)
        if not call('ZSCORE', key_of(q, 'workers'), id) then
            fail('NOTFOUND', 'no worker %s serves queue %s | stoker workers', id, q.name)
        end
        return key_of(q, 'worker:' .. id)
    end

    local function worker_drain(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local id, reason, actor = want_worker(args[1]), want_reason(args[2]), want_actor(args[3])
        local key = want_known(q, id)
        if call('HGET', key, 'drain') ~= '1' then
            event_of_queue(q, 'worker.drained', 'worker', id, 'reason', reason, 'actor', actor)
        end
        call('HSET', key, 'drain', '1', 'drain_reason', reason or '')
        redis.pcall('ZREM', key_of(q, 'idle'), id)
        event_hint(q, 'worker', id)
        event_flush(q)
        return 'draining'
    end

    -- Also for one that drains itself: it goes by resumed_ms, which its heartbeats are told.
    local function worker_resume(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local id, actor = want_worker(args[1]), want_actor(args[2])
        local key = want_known(q, id)
        call('HDEL', key, 'drain', 'drain_reason')
        call('HSET', key, 'resumed_ms', q.now_text)
        event_of_queue(q, 'worker.resumed', 'worker', id, 'actor', actor)
        event_hint(q, 'worker', id)
        event_flush(q)
        return 'up'
    end

    register('worker', worker, 'allow-oom')
    register('worker_drain', worker_drain, 'allow-oom')
    register('worker_resume', worker_resume, 'allow-oom')
end
