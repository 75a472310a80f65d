-- stoker_each <action> <states or ''> <actor or ''> <reason or changes, or ''> (<n> or <n>:<attempt>)…: an action on up
-- to 100 jobs, each answered by itself. Whoever walks a list asks only for those that are still in the states that
-- were listed, and (with an attempt) still in the attempt.
do
    local function want_options(q, name, actor, extra)
        local o = {actor = want_actor(actor)}
        if not actions[name] then
            fail('INVALID', 'action: expected cancel, retry, hold, release, update or remove, got %s', quoted(name))
        elseif name == 'update' then
            o.changes = want_changes(extra)
        else
            o.reason = want_reason(extra)
        end
        -- Such a call is allowed in a full Redis, so that it can be emptied; new jobs are not.
        if name == 'retry' then
            local info = call('INFO', 'memory')
            local used, most = info:match('used_memory:(%d+)'), info:match('maxmemory:(%d+)')
            if tonumber(most) > 0 and tonumber(used) > tonumber(most) then
                fail('FULL', 'Redis is full: queue %s takes no new jobs | raise maxmemory, or let finished jobs go',
                     q.name)
            end
        end
        return o
    end

    local function want_states(text)
        local states = {}
        for state in text:gmatch('[^,]+') do
            if state ~= 'held' and STATE_FINAL[state] == nil then
                fail('INVALID', 'states: expected names of states, got %s', quoted(text))
            end
            states[state] = true
        end
        return next(states) and states or nil
    end

    -- Whether the job is still what was listed.
    local function is_wanted(j, states, attempt)
        return not (attempt and attempt ~= j.f.attempt) and
            not (states and not states[j.f.state] and not (states.held and j.f.reason == 'held'))
    end

    local function check_one(q, name, n, attempt, states, o)
        local j = job_of_call(q, n)
        if j and not is_wanted(j, states, attempt) then
            return {answer = {'skipped', j.f.state}}
        end
        return action_check(q, name, n, name == 'retry' and {actor = o.actor, attempt = attempt} or o)
    end

    -- What is wrong with one of many is its own answer.
    local function check_apart(...)
        local ok, one = pcall(check_one, ...)
        if ok then
            return one
        elseif type(one) == 'table' and one.fail then
            return {answer = {'error', one.fail}}
        end
        error(one)
    end

    local function each(keys, args)
        local q = queue_open(keys)
        local name = args[1]
        if #args < 5 or #args > 4 + MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <action> <states> <actor> <reason> and 1 to %d numbers of jobs, got %d arguments',
                 MAX_JOBS_A_CALL, #args)
        end
        local o, states = want_options(q, name, args[3], args[4]), want_states(args[2])
        action_expect_types(q, name)
        local ones, place, answers = {}, {}, {}
        for i = 5, #args do
            local number, attempt = args[i]:match('^(%d+):(%d+)$')
            local n = want_job_number(number or args[i])
            ones[i - 4] = place[n] or check_apart(q, name, n, attempt, states, o)
            place[n] = ones[i - 4]
        end
        for i, one in ipairs(ones) do
            if type(one.answer) ~= 'table' then
                one.answer = {'ok', action_do(q, name, one, o)}
            end
            answers[i] = one.answer
        end
        queue_flush(q)
        return answers
    end

    register('each', each, 'allow-oom')
end
