-- Reading batches: stoker_batches lists them, stoker_members the jobs of one.
do
    local METRIC_LOOK_BACK = 50 -- entries in which the last value of a metric is looked for
    local STATES = {'waiting', 'queued', 'running', 'succeeded', 'failed', 'cancelled'}

    -- Its fields as JSON; nil: there is none.
    local function batch_json(q, id)
        local fields = pairs_table(call('HGETALL', key_of(q, 'batch:' .. id)))
        if not fields.created_ms then
            return nil
        end
        fields.id, fields.total = id, fields.total or '0'
        for _, state in ipairs(STATES) do
            fields[state] = fields[state] or '0'
        end
        return records.json(fields)
    end

    -- stoker_batches [limit] [cursor]: newest first. The cursor is "<score>:<id>" of the last one of the page before.
    local function batches(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local limit, cursor = want_integer(optional(args[1]) or '50', 'limit', 1, MAX_JOBS_A_CALL), optional(args[2])
        local key = key_of(q, 'batches')
        local score, last = (cursor or ''):match('^(%d+):(.+)$')
        if cursor and not score then
            fail('INVALID', 'cursor: expected one that stoker_batches answered, got %s', quoted(cursor))
        end
        local ids
        local start = last and call('ZREVRANK', key, last)
        if start or not cursor then
            ids = call('ZREVRANGE', key, start and start + 1 or 0, (start or -1) + limit)
        else
            ids = call('ZREVRANGEBYSCORE', key, '(' .. score, '-inf', 'LIMIT', 0, limit)
        end
        local parts = {}
        for _, id in ipairs(ids) do
            parts[#parts + 1] = batch_json(q, id)
        end
        local following = ids[limit] and call('ZSCORE', key, ids[limit]) .. ':' .. ids[limit] or ''
        return '{"batches":' .. json_list(parts) .. ',"cursor":' .. cjson.encode(following) .. '}'
    end

    -- The last value of a metric that is not too far back.
    local function metric_of(q, n, name)
        local entries = redis.pcall('XREVRANGE', key_of(q, 'metrics:' .. n), '+', '-', 'COUNT', METRIC_LOOK_BACK)
        for i = 1, entries.err and 0 or #entries do
            local value = pairs_table(entries[i][2])[name]
            if value then
                return value
            end
        end
    end

    -- stoker_members <batch> <state or all> <limit> [cursor] [metric]: jobs of a batch, newest first, and the batch.
    -- The cursor is a number. With a metric each job has its last value as "rank".
    local function members(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local id, state = batching.want(args[1]), optional(args[2]) or 'all'
        local limit = want_integer(optional(args[3]) or '50', 'limit', 1, MAX_JOBS_A_CALL)
        local before = optional(args[4]) and want_integer(args[4], 'cursor', 0, LARGEST)
        local metric = optional(args[5])
        if state ~= 'all' and STATE_FINAL[state] == nil then
            fail('INVALID', 'state: expected all, waiting, queued, running, succeeded, failed or cancelled, got %s',
                 quoted(state))
        end
        local shown = batch_json(q, id)
        if not shown then
            fail('NOTFOUND', 'no batch %s in queue %s | stoker batches', id, q.name)
        end
        local numbers = call('ZREVRANGEBYSCORE', key_of(q, 'members:' .. id), before and '(' .. integer_text(before) or
                             '+inf', '-inf', 'LIMIT', 0, limit)
        local parts = {}
        for _, n in ipairs(numbers) do
            local j = job_find(q, n)
            if j and (state == 'all' or j.f.state == state) then
                j.f.id, j.f.rank = job_id(q, n), metric and metric_of(q, n, metric)
                parts[#parts + 1] = records.json(j.f)
            end
        end
        return '{"batch":' .. shown .. ',"jobs":' .. json_list(parts) .. ',"cursor":' ..
            cjson.encode(numbers[limit] or '') .. '}'
    end

    register('batches', batches, 'no-writes')
    register('members', members, 'no-writes')
end
