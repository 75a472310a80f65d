-- stoker_corrupt <n> <attempt> [reason] [onset step] [actor] [good step] [token]: flags the last attempt as corrupted,
-- once. With its token it is its runner that says so.
do
    local function flag_running(q, j, reason)
        if not j.f.stop then
            job_set(j, 'stop', 'corrupted')
            job_set(j, 'stop_reason', reason)
            event_hint(q, 'stop', tonumber(j.n))
        end
    end

    -- It ended before: the next attempt resumes from before the onset, if it may.
    local function flag_idle(q, j, actor)
        local why = recovery_decide(q, j, spec_policy(q, j.n))
        if not why then
            job_move(j, 'flag')
            job_clear(j, 'suspect')
            return
        end
        if j.f.state == 'queued' then
            lane_drop(q, j)
        else
            append(q.batch.unwait, j.n)
        end
        job_set(j, 'cause', 'corrupted')
        attempt_failed(q, j, actor, why)
    end

    local function corrupt(keys, args)
        no_more_arguments(args, 7)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        local attempt = want_integer(args[2], 'attempt', 1, LARGEST)
        local reason = want_reason(args[3]) or 'flagged as corrupted'
        local onset = optional(args[4]) and want_integer(args[4], 'onset', 0, LARGEST)
        local actor = want_actor(args[5])
        local good = optional(args[6]) and want_integer(args[6], 'good', 0, LARGEST)
        local token = optional(args[7])
        expect_queue_types(q)
        expect_type(q, 'zset', 'jobs:failed')
        local j = job_load(q, n)
        if j.f.flagged == integer_text(attempt) and attempt == job_number(j, 'attempt') then
            return j.f.state -- sent again
        elseif job_is_final(j) then
            fail('CONFLICT', 'job %s %s already', job_id(q, n), job_state_words(j))
        elseif attempt ~= job_number(j, 'attempt') then
            fail('STALE', 'job %s: attempt %d is not the last one (that is %s)', job_id(q, n), attempt, j.f.attempt)
        elseif token and token ~= j.f.token then
            fail('STALE', 'job %s: token %s is not the current one, %s', job_id(q, n), clip(token, 32), j.f.token)
        end
        attempt_expect_types(q, j)
        recovery_detect(q, j, {onset = onset, good = good}, reason, actor)
        if j.f.state == 'running' then
            flag_running(q, j, reason)
        else
            flag_idle(q, j, actor)
        end
        job_save(q, j)
        queue_flush(q)
        return j.f.state
    end

    register('corrupt', corrupt)
end
