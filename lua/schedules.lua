-- stoker_schedules: every schedule of the queue, by name. stoker_schedule_show <name>: one, with its spec.
do
    -- With what became of the last job that it made.
    local function json_of_schedule(q, name, s)
        s.name = name
        if s.last_job then
            s.last_id = job_id(q, s.last_job)
            local known = redis.pcall('HMGET', key_of(q, 'job:' .. s.last_job), 'state', 'error')
            s.last_state = not known.err and known[1] or 'gone'
            s.last_error = not known.err and known[2] or nil
        end
        return records.json(s)
    end

    local function schedules(keys, args)
        no_more_arguments(args, 0)
        local q = queue_open(keys)
        local names, parts = call('ZRANGE', key_of(q, 'schedules'), 0, SCHEDULES_MAX - 1), {}
        table.sort(names, bytes_less)
        for i = 1, #names do
            local fields = redis.pcall('HGETALL', key_of(q, 'schedule:' .. names[i]))
            local s = not fields.err and pairs_table(fields)
            if s and s.revision then
                parts[#parts + 1] = json_of_schedule(q, names[i], s)
            end
        end
        return '{"queue":' .. cjson.encode(q.name) .. ',"schedules":' .. json_list(parts) .. ',"now_ms":' ..
            q.now_text .. '}'
    end

    local function show(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local name = want_schedule_name(args[1])
        local s = schedule_load(q, name)
        local text = call('GET', key_of(q, 'schedule-spec:' .. name)) or '{}'
        return '{"queue":' .. cjson.encode(q.name) .. ',"schedule":' .. json_of_schedule(q, name, s) .. ',"spec":' ..
            text .. ',"now_ms":' .. q.now_text .. '}'
    end

    register('schedules', schedules, 'no-writes')
    register('schedule_show', show, 'no-writes')
end
