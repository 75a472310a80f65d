-- One job: its record, and its place in the indexes of its state.
do
    local FINAL = {'succeeded', 'failed', 'cancelled'}
    local NEEDED = {'uid', 'class', 'priority', 'attempt', 'lease_ms', 'submitted_ms'}
    local NUMBERS = {'priority', 'attempt', 'lease_ms', 'submitted_ms', 'due_ms', 'token', 'errors', 'lost',
                     'corrupted', 'slot_max', 'needs', 'parents', 'log_next', 'log_bytes', 'metric_next'}
    local TYPES = {job = 'hash', spec = 'string', log = 'stream', metrics = 'stream', checkpoints = 'hash',
                   history = 'list', result = 'string', lineage = 'hash', parents = 'hash', children = 'zset',
                   told = 'hash', sizes = 'list'}
    fsck.job_types = TYPES

    -- ---------------------------------------------------------------- what is left of a job that is not there

    -- A staged job is one without a state that goes by itself, and so do its other keys.
    local function is_passing(q, name)
        return call('PTTL', key_of(q, name)) >= 0
    end

    local function leftovers(q, at, n)
        if not fsck.has_key(q, 'job:' .. n) then
            local has_spec = fsck.type_of(q, 'spec:' .. n) == 'string'
            for i = 1, #records.keys do
                local name = records.keys[i] .. n
                if fsck.has_key(q, name) and not is_passing(q, name) then
                    fsck.found(at, has_spec and 'job-lost' or 'leftover', not has_spec and function()
                        call('UNLINK', key_of(q, name))
                    end or nil, '%s belongs to no job', name)
                end
            end
        elseif not is_passing(q, 'job:' .. n) then
            fsck.found(at, 'job-state', nil, 'job %s has no state', job_id(q, n))
        end
    end

    -- ---------------------------------------------------------------- the record

    local function record(q, at, j)
        for i = 1, #NEEDED do
            if not j.f[NEEDED[i]] then
                fsck.found(at, 'job-field', nil, 'job %s has no %s', job_id(q, j.n), NEEDED[i])
            end
        end
        for i = 1, #NUMBERS do
            local value = j.f[NUMBERS[i]]
            if value and value ~= '' and not value:find('^%d+$') then
                fsck.found(at, 'job-field', nil, 'job %s: the field %s is %s, which is no number', job_id(q, j.n),
                           NUMBERS[i], quoted(value))
            end
        end
        if j.f.schedule and not j.f.scheduled_ms then
            fsck.found(at, 'job-field', nil, 'job %s of schedule %s has no scheduled_ms', job_id(q, j.n), j.f.schedule)
        end
        for field, value in pairs(j.f) do
            if value == '' then
                fsck.found(at, 'job-empty-field', fsck.set_field(q, j, field, nil), 'job %s: the field %s is empty',
                           job_id(q, j.n), field)
            end
        end
        if not fsck.has_key(q, 'spec:' .. j.n) then
            fsck.found(at, 'spec-lost', nil, '%s job %s has no spec', j.f.state, job_id(q, j.n))
        end
        if STATE_FINAL[j.f.state] and not j.f.ended_ms then
            local since = fsck.score(q, 'jobs:' .. j.f.state, j.n) or q.now_text
            fsck.found(at, 'job-end', fsck.set_field(q, j, 'ended_ms', since), '%s job %s has no ended_ms', j.f.state,
                       job_id(q, j.n))
        elseif j.f.state == 'waiting' and not j.f.reason then
            fsck.found(at, 'job-reason', nil, 'waiting job %s has no reason', job_id(q, j.n))
        elseif j.f.state == 'running' and not (j.f.worker and (j.f.token or ''):find('^%d+$') and
                                               job_number(j, 'attempt') >= 1) then
            fsck.found(at, 'job-token', nil, 'running job %s has token %s, attempt %s, worker %s', job_id(q, j.n),
                       j.f.token or 'none', j.f.attempt or 'none', j.f.worker or 'none')
        end
    end

    -- A claim and a success look for these fields only where `special` says so.
    local function special(q, at, j)
        if STATE_FINAL[j.f.state] or j.f.special then
            return
        end
        local is_special = job_number(j, 'attempt') > 1
        for field in pairs(records.special) do
            is_special = is_special or j.f[field] ~= nil
        end
        if is_special then
            fsck.found(at, 'job-special', fsck.set_field(q, j, 'special', '1'), '%s job %s (attempt %s) is not special',
                       j.f.state, job_id(q, j.n), j.f.attempt)
        end
    end

    local function result(q, at, j)
        local bytes = fsck.ask(q, 'STRLEN', 'result:' .. j.n) or 0
        if bytes > 0 and not j.f.result_bytes and j.f.state == 'succeeded' then
            fsck.found(at, 'result-unknown', fsck.set_field(q, j, 'result_bytes', bytes),
                       'job %s has a result and no result_bytes', job_id(q, j.n))
        elseif (bytes > 0) ~= (j.f.result_bytes ~= nil) or (j.f.result_bytes and j.f.state ~= 'succeeded') then
            fsck.found(at, 'result-lost', nil, '%s job %s: result_bytes is %s, its result has %d bytes', j.f.state,
                       job_id(q, j.n), j.f.result_bytes or 'not there', bytes)
        end
    end

    -- ---------------------------------------------------------------- the indexes

    -- Due at a time, or let go by something else than the time.
    local function due_of(q, j)
        if j.f.reason == 'delay' or j.f.reason == 'retry' or j.f.reason == 'recovery' or j.f.reason == 'overlap' then
            return j.f.due_ms or q.now_text
        end
        return j.f.reason == 'limit' and j.f.due_ms or '+inf'
    end

    local function in_index(q, at, j, name, score)
        local has = fsck.score(q, name, j.n) ~= nil
        if score and not has then
            fsck.found(at, 'index-missing', fsck.into(q, name, score, j.n), '%s job %s is not in %s', j.f.state,
                       job_id(q, j.n), name)
        elseif has and not score then
            fsck.found(at, 'index-wrong', fsck.out_of(q, name, j.n), '%s job %s is in %s', j.f.state, job_id(q, j.n),
                       name)
        end
    end

    local function places(q, at, j)
        local state = j.f.state
        in_index(q, at, j, 'leases', state == 'running' and integer_text(q.now + job_number(j, 'lease_ms')))
        in_index(q, at, j, 'waiting', state == 'waiting' and due_of(q, j))
        for i = 1, #FINAL do
            in_index(q, at, j, 'jobs:' .. FINAL[i], state == FINAL[i] and (j.f.ended_ms or q.now_text))
        end
        local goes_elsewhere = state == 'queued' and (j.f.lane or ''):find(':!not@', 1, true)
        in_index(q, at, j, 'elsewhere', goes_elsewhere and integer_text(q.now + job_number(j, 'elsewhere_ms')))
        local due_ms = state == 'waiting' and due_of(q, j) or '+inf'
        if due_ms ~= '+inf' and fsck.score(q, 'waiting', j.n) == 'inf' then
            fsck.found(at, 'never-due', fsck.into(q, 'waiting', due_ms, j.n),
                       'job %s waits for the time %s, and its place says for ever', job_id(q, j.n), due_ms)
        end
    end

    -- A held job is in no lane, and nothing makes it due.
    local function held(q, at, j)
        local left = {}
        for i = 1, #HELD_FIELDS do
            append(left, j.f[HELD_FIELDS[i]] and HELD_FIELDS[i] or nil)
        end
        if j.f.reason ~= 'held' then
            if left[1] then
                fsck.found(at, 'held-fields', function()
                    job_clear(j, unpack(left))
                    job_save(q, j)
                end, 'job %s is not held and has the fields %s', job_id(q, j.n), table.concat(left, ', '))
            end
            return
        end
        if j.f.state ~= 'waiting' then
            fsck.found(at, 'held-state', nil, '%s job %s has the reason held', j.f.state, job_id(q, j.n))
            return
        elseif not j.f.held_ms then
            fsck.found(at, 'held-since', fsck.set_field(q, j, 'held_ms', q.now_text),
                       'held job %s does not say since when', job_id(q, j.n))
        end
        if j.f.due_ms or j.f.lane or j.f.entry then
            fsck.found(at, 'held-due', function()
                job_clear(j, 'due_ms', 'lane', 'entry')
                job_save(q, j)
            end, 'held job %s has a due time or a lane', job_id(q, j.n))
        end
        local score = fsck.score(q, 'waiting', j.n)
        if score and score ~= 'inf' then
            fsck.found(at, 'held-due', fsck.into(q, 'waiting', '+inf', j.n), 'held job %s is due at %s',
                       job_id(q, j.n), score)
        end
    end

    fsck.rule(record)
    fsck.rule(special)
    fsck.rule(result)
    fsck.rule(places)
    fsck.rule(held)

    -- ---------------------------------------------------------------- the steps

    local function types_hold(q, at, n)
        local all = true
        for kind, wanted in pairs(TYPES) do
            all = fsck.type_holds(q, at, kind .. ':' .. n, wanted) and all
        end
        return all
    end

    function fsck.steps.job(q, at, n)
        if not types_hold(q, at, n) then
            return {}
        end
        local j = job_find(q, n)
        if not j then
            leftovers(q, at, n)
            return {}
        elseif STATE_FINAL[j.f.state] == nil then
            fsck.found(at, 'job-state', nil, 'job %s has the state %s', job_id(q, n), quoted(j.f.state))
            return {}
        end
        if tonumber(n) > q.meta.next then
            fsck.found(at, 'next', function()
                call('HSET', q.meta_key, 'next', n)
            end, 'meta says the newest job is %d, there is %s', q.meta.next, n)
        end
        for i = 1, #fsck.job_rules do
            fsck.job_rules[i](q, at, j)
        end
        return fsck.job_streams(q, j)
    end

    -- As many as there may be in a step; where a hundred numbers are not there, that costs little.
    function fsck.steps.jobs(q, at, from)
        local n, following = tonumber(from), {}
        local last = math.min(n + fsck.MEMBERS - 1, q.meta.next)
        while n <= last and at.left > 0 do
            local text = integer_text(n)
            for _, step in ipairs(fsck.take(q, at, 'job', text)) do
                following[#following + 1] = step
            end
            at.left = at.left - (fsck.has_key(q, 'job:' .. text) and 4 or 0.2)
            n = n + 1
        end
        if n <= q.meta.next then
            following[#following + 1] = 'jobs ' .. integer_text(n)
        end
        return following
    end
end
