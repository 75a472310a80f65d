-- stoker_hold <n> [actor] [reason]: a waiting or queued job is kept from starting until it is released.
-- stoker_release <n> [actor]: it goes on where it was: to its lane, or to wait for its time.
do
    -- What a job may have waited for. Something else that lets a job go would have to know that it is held.
    local HOLDABLE = {delay = true, retry = true, limit = true, preempted = true, lost = true}

    local function check_hold(q, j)
        expect_type(q, 'list', 'history:' .. j.n)
        if j.f.state ~= 'waiting' and j.f.state ~= 'queued' then
            fail('CONFLICT', 'job %s %s: only a waiting or queued job can be held', job_id(q, j.n), job_state_words(j))
        elseif j.f.reason and j.f.reason ~= 'held' and not HOLDABLE[j.f.reason] then
            fail('CONFLICT', 'job %s waits for something else already (%s) | cancel it, or hold it when it is queued',
                 job_id(q, j.n), j.f.reason)
        end
        if j.f.lane then
            expect_type(q, 'stream', 'ready:' .. j.f.lane)
        end
        limits.expect(q, j)
        return j
    end

    local function hold(q, j, o)
        if j.f.reason == 'held' then
            return j.f.state -- asked again: who and why stay those of the first
        end
        local was, due_ms = j.f.reason, j.f.due_ms
        if j.f.state == 'queued' then
            lane_drop(q, j)
        end
        job_wait(q, j, 'hold', nil, 'held')
        job_set(j, 'held_ms', q.now)
        job_set(j, 'held_by', o.actor)
        job_set(j, 'held_reason', o.reason)
        job_set(j, 'held_was', was)
        job_set(j, 'held_due_ms', due_ms)
        event_note(q, j, 'job.held', 'state', 'waiting', 'actor', o.actor, 'reason', o.reason)
        job_save(q, j)
        return j.f.state
    end

    local function special_of(was)
        return (was == 'preempted' or was == 'lost') and '!front' or nil
    end

    local function check_release(q, j)
        expect_type(q, 'list', 'history:' .. j.n)
        if job_is_final(j) then
            fail('CONFLICT', 'job %s %s already', job_id(q, j.n), job_state_words(j))
        elseif j.f.reason == 'held' then
            expect_can_queue(q, j)
            expect_type(q, 'stream', 'ready:' .. lane_name(j, '!front'))
        end
        return j
    end

    -- Who has a slot to win is in the line for it; else it has the place back that it had.
    local function let_go(q, j, was)
        local special = special_of(was)
        if j.f.slot then
            limits.ready(q, j, 'release')
            return
        end
        job_renew_class(q, j)
        append(q.batch.unwait, j.n)
        job_queue(q, j, 'release', special or lane_elsewhere(j), special and was)
    end

    local function release(q, j, o)
        if j.f.reason ~= 'held' then
            return j.f.state -- asked again, or never held
        end
        local was, due_ms = j.f.held_was, tonumber(j.f.held_due_ms)
        job_clear(j, unpack(HELD_FIELDS))
        if j.f.needs then
            job_wait(q, j, 'wait', nil, 'dependency')
            job_set(j, 'due_ms', due_ms)
        elseif due_ms and due_ms > q.now then
            job_wait(q, j, 'wait', due_ms, was or 'delay')
        else
            let_go(q, j, was)
        end
        event_note(q, j, 'job.released', 'state', j.f.state, 'actor', o.actor)
        job_save(q, j)
        return j.f.state
    end

    action_add('hold', {check = check_hold, act = hold})
    action_add('release', {check = check_release, act = release})

    register('hold', function(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        return action_once(q, 'hold', n, {actor = want_actor(args[2]), reason = want_reason(args[3])})
    end)

    register('release', function(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        return action_once(q, 'release', want_job_number(args[1]), {actor = want_actor(args[2])})
    end)
end
