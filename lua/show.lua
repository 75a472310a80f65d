-- stoker_show <n>: everything about one job, as JSON.

do
    local AHEAD_MAX = 1000
    local HOLDERS_MAX = 10

    -- Jobs queued before it in its lane, counted up to AHEAD_MAX.
    local function ahead(q, j)
        if j.f.state ~= 'queued' or not j.f.entry or not j.f.lane then
            return 0
        end
        local group = redis.pcall('XINFO', 'GROUPS', key_of(q, 'ready:' .. j.f.lane))
        if group.err or not group[1] then
            return 0
        end
        local delivered = pairs_table(group[1])['last-delivered-id']
        return #call('XRANGE', key_of(q, 'ready:' .. j.f.lane), '(' .. delivered, '(' .. j.f.entry, 'COUNT', AHEAD_MAX)
    end

    local function checkpoints_json(q, n)
        local parts = {}
        for id, summary in pairs(pairs_table(call('HGETALL', key_of(q, 'checkpoints:' .. n)))) do
            parts[#parts + 1] = cjson.encode(id) .. ':' .. summary
        end
        return '{' .. table.concat(parts, ',') .. '}'
    end

    -- What each attempt found on its machine, by its number.
    local function lineage_json(q, n)
        local parts = {}
        for attempt, facts in pairs(pairs_table(call('HGETALL', key_of(q, 'lineage:' .. n)))) do
            parts[#parts + 1] = cjson.encode(attempt) .. ':' .. facts
        end
        return '{' .. table.concat(parts, ',') .. '}'
    end

    -- Who has the slots that a waiting job needs, the first of them.
    local function holders_json(q, j)
        local ids = {}
        if j.f.state == 'waiting' and j.f.reason == 'limit' and j.f.slot and not j.f.due_ms then
            for i, n in ipairs(call('ZRANGE', key_of(q, 'slots:' .. j.f.slot), 0, HOLDERS_MAX - 1)) do
                ids[i] = cjson.encode(job_id(q, n))
            end
        end
        return json_list(ids)
    end

    -- The worker that is being emptied for it, or "".
    local function reserved(q, j)
        local worker = j.f.state == 'queued' and redis.pcall('GET', key_of(q, 'reserved:' .. (j.f.lane or '')))
        return type(worker) == 'string' and worker or ''
    end

    -- Those that wait for it, the first hundred.
    local function children_json(q, n)
        local parts = {}
        for i, child in ipairs(redis.pcall('ZRANGE', key_of(q, 'children:' .. n), 0, 99)) do
            parts[i] = cjson.encode(child:find('-', 1, true) and child or job_id(q, child))
        end
        return json_list(parts)
    end

    local function show(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local j = job_load(q, want_job_number(args[1]))
        local paused = queue_paused_json(q)
        local result = j.f.result_bytes and call('GET', key_of(q, 'result:' .. j.n))
        local until_ms = j.f.elsewhere_ms and call('ZSCORE', key_of(q, 'elsewhere'), j.n)
        return table.concat({
            '{"id":', cjson.encode(job_id(q, j.n)),
            ',"job":', records.json(j.f),
            ',"spec":', call('GET', key_of(q, 'spec:' .. j.n)) or '{}',
            ',"checkpoints":', checkpoints_json(q, j.n),
            ',"history":', json_list(call('LRANGE', key_of(q, 'history:' .. j.n), 0, -1)),
            ',"requirement":', call('HGET', key_of(q, 'classes'), j.f.class) or '{}',
            ',"ahead":', ahead(q, j),
            ',"holders":', holders_json(q, j),
            ',"reserved":', cjson.encode(reserved(q, j)),
            ',"max_running":', integer_text(q.meta.max_running),
            ',"running":', call('ZCARD', key_of(q, 'leases')),
            paused and ',"paused":' .. paused or '',
            j.f.parents and ',"parents":' .. depend.parents_json(q, j.n) or '',
            (j.f.links or ''):find('c', 1, true) and ',"children":' .. children_json(q, j.n) or '',
            until_ms and ',"elsewhere_until_ms":' .. until_ms or '',
            result and ',"result":' .. result or '',
            ',"goodput":', spent.json(q),
            j.f.lineage and ',"lineage":' .. lineage_json(q, j.n) or '',
            ',"now_ms":', integer_text(q.now), '}',
        })
    end

    register('show', show, 'no-writes')
end
