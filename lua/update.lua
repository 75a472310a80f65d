-- stoker_update <n> <changes JSON> [actor]: changes the spec of a waiting or queued job, and what follows from it: the
-- lane, the due time, the record. The changes are part of a spec; null takes a key back to its default. The spec that
-- comes of them is checked as a whole, as at a submit, before anything is written.

local want_changes
do
    -- What it runs is not among them: that would be another job.
    local CHANGEABLE = {'name', 'experiment', 'tags', 'priority', 'delay', 'timeout', 'stall_timeout', 'grace', 'lease',
                        'on_partition', 'resources', 'retry', 'recovery', 'checkpoint', 'metrics'}
    local RECORDED = {name = 'name', experiment = 'experiment', priority = 'priority', lease = 'lease_ms'}
    local MERGED = {resources = true, retry = true, recovery = true, checkpoint = true, metrics = true}

    local function check_once(path, name, seen)
        if seen[name] then
            fail('INVALID', 'changes: %s stands twice', path .. name)
        end
        seen[name] = true
    end

    local function check_member(member, known, seen)
        local name, inside = member.name, {}
        check_once('', name, seen)
        if spec_table.sections[1].keys[name] and not known[name] then
            fail('INVALID', '%s: it cannot be changed in a job that is there | cancel the job and submit another; ' ..
                 'what can be changed: %s', name, table.concat(CHANGEABLE, ', '))
        end
        for _, part in ipairs(MERGED[name] and member.text:find('^{') and json_members(member.text) or {}) do
            check_once(name .. '.', part.name, inside)
        end
    end

    -- The members of the changes.
    function want_changes(text)
        want_object(text, 'changes', spec_table.max_bytes)
        local members, known, seen = json_members(text), {}, {}
        for _, name in ipairs(CHANGEABLE) do
            known[name] = true
        end
        for _, member in ipairs(members) do
            check_member(member, known, seen)
        end
        if not members[1] then
            fail('INVALID', 'changes: there are none | for example {"priority":9}')
        end
        return members
    end

    -- Puts the new members in place of the old ones, or behind them. Answers whether that changed anything.
    local function merge(old, new)
        local place, is_changed = {}, false
        for i, member in ipairs(old) do
            place[member.name] = i
        end
        for _, member in ipairs(new) do
            local was = old[place[member.name]]
            local text = member.text
            if was and MERGED[member.name] and was.text:find('^{') and text:find('^{') then
                local parts = json_members(was.text)
                merge(parts, json_members(text))
                text = json_of_members(parts)
            end
            if not was then
                old[#old + 1] = {name = member.name, text = text}
                place[member.name] = #old
                is_changed = true
            elseif was.text ~= text then
                is_changed = true
                was.text = text
            end
        end
        return is_changed
    end

    local function words_of(changes)
        local parts = {}
        for i, member in ipairs(changes) do
            parts[i] = member.name .. '=' .. member.text
        end
        return sentence_of(table.concat(parts, ' '))
    end

    local function tenant_of(lane)
        return lane:match(':([^:]+)$')
    end

    -- Everything that a new class or priority writes.
    local function check_lane(q, one)
        local tenant = one.j.f.lane and tenant_of(one.j.f.lane) or one.j.f.tenant or '-'
        one.lane = one.class .. ':' .. one.values.priority .. ':' .. tenant
        expect_type(q, 'stream', 'ready:' .. one.lane)
        expect_type(q, 'zset', 'wake:' .. one.class)
    end

    local function check(q, j, o)
        local is_waiting = j.f.state == 'waiting'
        if not is_waiting and j.f.state ~= 'queued' then
            fail('CONFLICT', 'job %s %s: only a waiting or queued job can be changed', job_id(q, j.n),
                 job_state_words(j))
        end
        expect_type(q, 'list', 'history:' .. j.n)
        expect_type(q, 'string', 'spec:' .. j.n)
        expect_type(q, 'hash', 'classes')
        local text = call('GET', key_of(q, 'spec:' .. j.n))
        if not text or not pcall(want_object, text, 'spec', LARGEST) then
            fail('NOTFOUND', 'the spec of job %s is gone', job_id(q, j.n))
        end
        local members, one = json_members(text), {j = j, words = words_of(o.changes)}
        one.is_changed = merge(members, o.changes)
        one.text = json_of_members(members)
        one.values = spec_read(one.text)
        for _, member in ipairs(o.changes) do
            one.delay_ms = member.name == 'delay' and one.values.delay or one.delay_ms
            if member.name == 'resources' then
                one.class, one.requirement = class_choose(q, one.values)
            end
        end
        if not one.class then -- as it is: what it was folded into at its submit is not judged anew
            one.class, one.requirement = j.f.class, class_needs(j.f.class, one.values['resources.labels'])
        end
        if one.delay_ms and is_waiting and not ({delay = 1, retry = 1, recovery = 1, held = 1})[j.f.reason or ''] then
            fail('CONFLICT', 'job %s waits for something else than time (%s): a delay would not hold', job_id(q, j.n),
                 j.f.reason or 'nobody knows for what')
        end
        check_lane(q, one)
        limits.expect(q, j)
        if j.f.lane then
            expect_type(q, 'stream', 'ready:' .. j.f.lane)
        end
        return one
    end

    local function write_record(q, one)
        local j, values = one.j, one.values
        for path, field in pairs(RECORDED) do
            job_set(j, field, values[path])
        end
        job_set(j, 'tags', submitting.tags(values))
        job_set(j, 'class', one.class)
        if j.f.reason == 'limit' and j.f.slot and not j.f.due_ms then
            limits.line_up(q, j.n, j.f.slot, j.f.priority)
        end
        append(q.batch.specs, key_of(q, 'spec:' .. j.n), one.text)
        class_put(q, one.class, one.requirement)
    end

    -- The delay of an update counts from now.
    local function delay_waiting(q, j, delay_ms)
        local due_ms = delay_ms > 0 and q.now + delay_ms or nil
        if j.f.reason == 'held' then
            job_set(j, 'held_due_ms', due_ms)
            job_set(j, 'held_was', j.f.held_was or due_ms and 'delay')
        elseif due_ms then
            job_wait(q, j, 'wait', due_ms, j.f.reason)
        else
            limits.ready(q, j, 'hurry')
        end
    end

    local function move_queued(q, one, delay_ms)
        local j, old_lane = one.j, one.j.f.lane
        if delay_ms > 0 then
            lane_drop(q, j)
            job_wait(q, j, 'wait', q.now + delay_ms, 'delay')
        elseif one.lane ~= old_lane then
            lane_drop(q, j)
            local tenant = tenant_of(one.lane)
            job_queue(q, j, 'requeue', tenant:find('^!') and tenant, j.f.reason)
        end
    end

    local function act(q, one, o)
        local j = one.j
        if not one.is_changed and not one.delay_ms then
            return j.f.state -- asked again
        end
        write_record(q, one)
        if j.f.state == 'queued' then
            move_queued(q, one, one.delay_ms or 0)
        elseif one.delay_ms then
            delay_waiting(q, j, one.delay_ms)
        end
        if one.is_changed then
            event_note(q, j, 'job.updated', 'state', j.f.state, 'actor', o.actor, 'reason', one.words)
        end
        job_save(q, j)
        return j.f.state
    end

    action_add('update', {check = check, act = act})

    register('update', function(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        return action_once(q, 'update', n, {changes = want_changes(args[2]), actor = want_actor(args[3])})
    end)
end
