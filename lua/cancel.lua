-- stoker_cancel <n> [actor] [reason]: at once when it does not run; else its runner is asked.

local expect_can_cancel, job_cancel
do
    local function cancel_running(q, j, o)
        if j.f.stop == 'cancel' then
            return
        end
        job_set(j, 'stop', 'cancel') -- it wins over every other thing that was asked
        job_set(j, 'stop_reason', o.reason or 'cancelled')
        event_note(q, j, 'job.cancel_asked', 'state', 'running', 'actor', o.actor, 'reason', o.reason)
        event_hint(q, 'stop', tonumber(j.n))
    end

    local function cancel_idle(q, j, o)
        if j.f.state == 'queued' then
            lane_drop(q, j)
        else
            append(q.batch.unwait, j.n)
        end
        job_set(j, 'cause', 'cancelled')
        job_set(j, 'error', o.reason)
        job_settle(q, j, 'cancel')
        event_note(q, j, 'job.cancelled', 'state', 'cancelled', 'actor', o.actor, 'reason', o.reason)
    end

    -- What it writes besides the types of expect_queue_types.
    function expect_can_cancel(q, j)
        expect_type(q, 'list', 'history:' .. j.n)
        limits.expect(q, j)
        depend.expect_types(q, j)
        if j.f.lane then
            expect_type(q, 'stream', 'ready:' .. j.f.lane)
        end
    end

    local function check(q, j)
        expect_can_cancel(q, j)
        if job_is_final(j) and j.f.state ~= 'cancelled' then
            fail('CONFLICT', 'job %s %s already', job_id(q, j.n), job_state_words(j))
        end
        return j
    end

    -- options: actor, reason.
    function job_cancel(q, j, o)
        if j.f.state == 'running' then
            cancel_running(q, j, o)
        elseif not job_is_final(j) then
            cancel_idle(q, j, o)
        end
        job_save(q, j)
        return j.f.state
    end

    action_add('cancel', {check = check, act = job_cancel, final = {'cancelled'}})

    local function cancel(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        return action_once(q, 'cancel', n, {actor = want_actor(args[2]), reason = want_reason(args[3])})
    end

    register('cancel', cancel, 'allow-oom')
end
