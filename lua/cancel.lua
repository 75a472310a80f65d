-- stoker_cancel <n> [actor] [reason]: at once when it does not run; else its runner is asked.

local expect_can_cancel, job_cancel
do
    local function cancel_running(q, j, actor, reason)
        if j.f.stop == 'cancel' then
            return
        end
        job_set(j, 'stop', 'cancel') -- it wins over every other thing that was asked
        job_set(j, 'stop_reason', reason or 'cancelled')
        event_note(q, j, 'job.cancel_asked', 'state', 'running', 'actor', actor, 'reason', reason)
        event_hint(q, 'stop', tonumber(j.n))
    end

    local function cancel_idle(q, j, actor, reason)
        if j.f.state == 'queued' then
            lane_drop(q, j)
        else
            append(q.batch.unwait, j.n)
        end
        job_set(j, 'cause', 'cancelled')
        job_set(j, 'error', reason)
        job_settle(q, j, 'cancel')
        event_note(q, j, 'job.cancelled', 'state', 'cancelled', 'actor', actor, 'reason', reason)
    end

    -- The types of what job_cancel writes, besides those of expect_queue_types.
    function expect_can_cancel(q, j)
        expect_type(q, 'zset', 'jobs:cancelled')
        expect_type(q, 'list', 'history:' .. j.n)
        if j.f.lane then
            expect_type(q, 'stream', 'ready:' .. j.f.lane)
        end
        limits.expect(q, j)
    end

    -- Of a job that is not final.
    function job_cancel(q, j, actor, reason)
        local how = j.f.state == 'running' and cancel_running or cancel_idle
        how(q, j, actor, reason)
        job_save(q, j)
    end

    local function cancel(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        local actor, reason = want_actor(args[2]), want_reason(args[3])
        expect_queue_types(q)
        local j = job_load(q, n)
        expect_can_cancel(q, j)
        if not job_is_final(j) then
            job_cancel(q, j, actor, reason)
        elseif j.f.state ~= 'cancelled' then
            fail('CONFLICT', 'job %s %s already', job_id(q, n), job_state_words(j))
        end
        queue_flush(q)
        return j.f.state
    end

    register('cancel', cancel, 'allow-oom')
end
