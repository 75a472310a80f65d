-- stoker_worker <id> <JSON>: registers a worker, and is its heartbeat.
do
    local INFO_MAX_BYTES = 65536
    local OURS = {claim_request = true, claim_answer = true, drain = true, rang_ms = true, seen_ms = true, id = true}

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
        call_with('HSET', key, fields)
        call('EXPIRE', key, WORKER_KEPT_S)
        local state, request, drain = unpack(call('HMGET', key, 'state', 'claim_request', 'drain'))
        if state == 'gone' then
            if call('ZREM', key_of(q, 'workers'), id) == 1 then
                event_of_queue(q, 'worker.gone', 'worker', id)
            end
        else
            call('ZADD', key_of(q, 'workers'), integer_text(q.now), id)
            if not known then
                event_of_queue(q, 'worker.up', 'worker', id)
            end
        end
        event_flush(q)
        return {tonumber(request or 0), drain == '1' and 1 or 0}
    end

    register('worker', worker, 'allow-oom')
end
