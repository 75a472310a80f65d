-- stoker_metric <n> <uid> <token> <first> <point JSON>…: points of an attempt, dense.
do
    local POINTS_KEPT = 100000
    local VALUES_MAX = 64
    local NOT_FINITE = {['NaN'] = true, ['Infinity'] = true, ['-Infinity'] = true}
    local FIRST_FIELDS = {'time_ms', 'step', 'epoch'}

    local function want_value(name, value)
        if #name > 64 or not name:match('^[%a_][%w_./-]*$') then
            fail('INVALID', 'point: %s is not a name of a value', quoted(name))
        elseif type(value) == 'number' then
            return number_text(value)
        elseif type(value) == 'string' and NOT_FINITE[value] then
            return value
        end
        fail('INVALID', 'point.%s: expected a number, "NaN", "Infinity" or "-Infinity", got %s', name, quoted(value))
    end

    -- A point as the fields of its entry: the time and the step first, the values by name.
    local function want_point(now, text)
        local point = want_object(text, 'point', 16384)
        local names, list = {}, {}
        for name, value in pairs(point) do
            point[name] = want_value(name, value)
            names[#names + 1] = name
        end
        if #names > VALUES_MAX + #FIRST_FIELDS then
            fail('INVALID', 'point: %d values, at most %d are allowed', #names, VALUES_MAX)
        end
        table.sort(names)
        for _, name in ipairs(FIRST_FIELDS) do
            if point[name] then
                append(list, name, point[name])
            end
        end
        if not point.time_ms then
            append(list, 'time_ms', integer_text(now))
        end
        for _, name in ipairs(names) do
            if name ~= 'time_ms' and name ~= 'step' and name ~= 'epoch' then
                append(list, name, point[name])
            end
        end
        return {list = list, step = tonumber(point.step), loss = point.loss}
    end

    local function want_points(now, args)
        local points = {}
        if #args < 5 or #args > 4 + MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <n> <uid> <token> <first> and 1 to %d points', MAX_JOBS_A_CALL)
        end
        for i = 5, #args do
            points[#points + 1] = want_point(now, args[i])
        end
        return points
    end

    -- What marks off the points of earlier attempts that this one supersedes.
    local function add_mark(q, j, stream)
        if j.f.attempt ~= '1' or j.f.resume then
            stream_add(q, stream, j.f.attempt .. '-0', nil,
                       {'time_ms', integer_text(q.now), 'resumed_at', j.f.resumed_at or '0'})
        end
    end

    local function metric(keys, args)
        local q = queue_open(keys)
        local points = want_points(q.now, args)
        local first = want_integer(args[4], 'first', 1, LARGEST)
        local j = job_fenced(q, args)
        local stream = 'metrics:' .. j.n
        expect_type(q, 'stream', stream)
        expect_type(q, 'stream', 'events')
        local next_point = math.max(job_number(j, 'metric_next'), 1)
        if first > next_point then
            return {'want', next_point}
        end
        for i = next_point - first + 1, #points do
            if next_point == 1 then
                add_mark(q, j, stream)
            end
            local point = points[i]
            stream_add(q, stream, j.f.attempt .. '-' .. integer_text(next_point), POINTS_KEPT, point.list)
            next_point = next_point + 1
            recovery_progress(q, j, point.step)
            job_set(j, 'step', point.step or j.f.step)
            job_set(j, 'loss', point.loss or j.f.loss)
        end
        event_flush(q)
        job_set(j, 'metric_next', next_point)
        job_save(q, j)
        return {'ok', next_point}
    end

    register('metric', metric)
end
