-- How an attempt ends, and how one that was given up is taken back. Each cause has its own budget.

local TRACE_MAX_BYTES = 4096 -- of where a stalled program was

local attempt_failed, attempt_end -- a chunk may have 200 locals: those of this file alone stand apart
do
    local function attempt_jitter(j)
        local hash = redis.sha1hex(j.f.uid .. ':' .. j.f.attempt)
        return tonumber(hash:sub(1, 8), 16) / 4294967295 * 2 - 1 -- -1 to 1, the same however often it is asked
    end

    -- base, growing with each time, up to the most; then spread by the jitter.
    local function attempt_backoff_ms(j, backoff, times)
        local factor = 1
        if backoff.growth == 'exponential' then
            factor = 2 ^ math.min(times - 1, 40)
        elseif backoff.growth == 'linear' then
            factor = times
        end
        local delay_ms = math.min(backoff.base_ms * factor, backoff.most_ms)
        return math.floor(delay_ms * (1 + backoff.jitter * attempt_jitter(j)))
    end

    -- What is asked of a runner wins over what it reports; only a program that had already succeeded stays succeeded.
    local function attempt_cause(j, reported)
        if j.f.stop == 'cancel' and reported ~= 'succeeded' then
            return 'cancelled'
        elseif j.f.stop == 'corrupted' then
            return 'corrupted'
        elseif reported == 'cancelled' then -- unasked
            return 'preempted'
        end
        return reported
    end

    -- Why it ended, in a sentence: what was asked explains more than how the program took it.
    local function attempt_error_text(j, cause, detail)
        if cause == 'succeeded' then
            return nil
        elseif j.f.stop_reason and (cause == 'cancelled' or cause == 'corrupted') then
            return j.f.stop_reason
        elseif detail.error then
            return sentence_of(detail.error)
        elseif detail.signal then
            return 'signal ' .. as_text(detail.signal)
        elseif detail.exit and detail.exit ~= 0 then
            return 'exit ' .. as_text(detail.exit)
        end
        return cause
    end

    function attempt_failed(q, j, actor, error_text, reason)
        job_set(j, 'error', error_text)
        job_settle(q, j, 'fail')
        event_note(q, j, 'job.failed', 'state', 'failed', 'cause', j.f.cause, 'actor', actor, 'worker', j.f.worker,
                   'error', j.f.error, 'reason', reason)
    end

    local function attempt_lost(q, j, actor)
        local most = spec_policy(q, j.n).max_lost
        local lost = budgets.take(j, 'lost')
        local reason = budgets.said_lost(j, lost, most)
        if lost >= most then
            local why = 'lost %d times in a row without a new checkpoint (retry.max_lost is %d); the last time: %s'
            return attempt_failed(q, j, actor, clip(why:format(lost, most, j.f.error), TEXT_MAX), reason)
        end
        job_queue(q, j, 'lose', lane_elsewhere(j) or '!front', 'lost')
        event_note(q, j, 'job.lost', 'state', 'queued', 'cause', 'lost', 'actor', actor, 'worker', j.f.worker, 'error',
                   j.f.error, 'reason', reason)
    end

    -- It waits for its next attempt.
    local function attempt_again(q, j, event, delay_ms, reason)
        job_wait(q, j, event, q.now + delay_ms, 'retry')
        event_note(q, j, 'job.retrying', 'state', 'waiting', 'cause', j.f.cause, 'worker', j.f.worker,
                   'error', j.f.error, 'reason', reason)
    end

    local function attempt_errored(q, j, actor)
        local policy = spec_policy(q, j.n)
        local errors, most = budgets.take(j, 'errors'), policy.max_errors
        local delay_ms = errors < most and attempt_backoff_ms(j, policy.retry, errors)
        local reason = budgets.said('failed', errors, most, '(retry.max_attempts)', delay_ms)
        if not delay_ms then
            return attempt_failed(q, j, actor, j.f.error, reason)
        end
        attempt_again(q, j, 'retry', delay_ms, reason)
    end

    local function attempt_corrupted(q, j, actor, detail)
        recovery_detect(q, j, detail, j.f.error, actor)
        local policy = spec_policy(q, j.n)
        local why = recovery_decide(q, j, policy)
        if why then
            return attempt_failed(q, j, actor, clip(why .. ': ' .. j.f.error, TEXT_MAX))
        end
        local corrupted = job_number(j, 'corrupted')
        local delay_ms = attempt_backoff_ms(j, policy.recovery, corrupted)
        attempt_again(q, j, 'recover', delay_ms, budgets.said('corrupted', corrupted, policy.max_corrupted,
                                                              '(recovery.max_attempts)', delay_ms))
    end

    local function attempt_preempted(q, j, why)
        local times = budgets.take(j, 'preempted')
        job_queue(q, j, 'preempt', '!front', 'preempted')
        local reason = ('%spreemption %d, counted against no budget'):format(why and why .. '; ' or '', times)
        event_note(q, j, 'job.preempted', 'state', 'queued', 'worker', j.f.worker, 'reason', clip(reason, TEXT_MAX))
    end

    -- Whether a recovery that was under way came to its end with this attempt.
    local function attempt_close_recovery(q, j, cause)
        if not j.f.recover_step then
            return
        elseif cause == 'succeeded' then
            event_say(q, j, 'recovery.completed', 'checkpoint', j.f.resume)
        elseif cause ~= 'cancelled' and cause ~= 'preempted' then
            event_say(q, j, 'recovery.failed', 'checkpoint', j.f.resume, 'cause', cause, 'error', j.f.error)
        end
    end

    -- Ends the running attempt of a job by a cause of `stoker_finish`. The caller saves the job.
    function attempt_end(q, j, reported, detail, actor)
        local cause = attempt_cause(j, reported)
        local ran_ms = math.max(q.now - job_number(j, 'claimed_ms'), 0)
        lane_drop(q, j)
        append(q.batch.unlease, j.n)
        share.account(q, j)
        job_set(j, 'cause', cause ~= 'succeeded' and cause or nil)
        job_set(j, 'error', attempt_error_text(j, cause, detail))
        job_set(j, 'exit', detail.exit)
        job_set(j, 'is_cut', detail.cut and '1' or nil)
        job_set(j, 'signal', detail.signal)
        job_set(j, 'ran_ms', job_number(j, 'ran_ms') + ran_ms)
        job_set(j, 'step', detail.step or j.f.step)
        job_set(j, 'total', detail.total or j.f.total)
        if detail.trace and cause == 'stalled' then
            event_note(q, j, 'job.stalled', 'worker', j.f.worker, 'step', j.f.step, 'trace',
                       clip(detail.trace, TRACE_MAX_BYTES))
        end
        attempt_close_recovery(q, j, cause)
        job_set(j, 'recover_ms', ran_ms)
        if cause == 'succeeded' then
            job_settle(q, j, 'succeed')
            if detail.result then
                append(q.batch.specs, key_of(q, 'result:' .. j.n), detail.result)
                job_set(j, 'result_bytes', #detail.result)
            end
            event_say(q, j, 'job.succeeded', 'state', 'succeeded', 'worker', j.f.worker)
        elseif cause == 'cancelled' then
            job_settle(q, j, 'cancel')
            event_note(q, j, 'job.cancelled', 'state', 'cancelled', 'actor', actor, 'reason', j.f.error)
        elseif cause == 'preempted' then
            attempt_preempted(q, j, detail.error and j.f.error)
        elseif cause == 'lost' then
            attempt_lost(q, j, actor)
        elseif cause == 'corrupted' then
            attempt_corrupted(q, j, actor, detail)
        elseif cause == 'permanent' then
            attempt_failed(q, j, actor, j.f.error, 'it would fail again: no budget is asked')
        else
            attempt_errored(q, j, actor)
        end
        spent.close(q, j, ran_ms, cause, detail.spent)
        job_clear(j, 'stop', 'stop_reason', 'stop_for', 'suspect', 'phase')
    end
end

-- The types of everything that the end of an attempt may write, checked before.
local function attempt_expect_types(q, j, cause)
    limits.expect(q, j)
    depend.expect_types(q, j)
    if cause == 'succeeded' and j.f.state == 'running' and j.f.stop ~= 'corrupted' then
        expect_type(q, 'stream', 'ready:' .. j.f.lane)
        return -- the usual end writes nothing else
    end
    expect_type(q, 'list', 'history:' .. j.n)
    expect_type(q, 'hash', 'checkpoints:' .. j.n)
    expect_type(q, 'string', 'spec:' .. j.n)
    if j.f.lane then
        expect_type(q, 'stream', 'ready:' .. j.f.lane)
    end
    expect_type(q, 'stream', 'ready:' .. lane_name(j, '!front'))
    expect_type(q, 'stream', 'ready:' .. lane_name(j, '!held'))
    if j.f.elsewhere_ms then
        expect_type(q, 'stream', 'ready:' .. lane_name(j, j.f.worker and '!not@' .. j.f.worker))
        expect_type(q, 'zset', 'elsewhere')
    end
    expect_type(q, 'zset', 'wake:' .. j.f.class)
    expect_type(q, 'hash', 'classes')
end

-- ---------------------------------------------------------------- taking back

-- Reaped as lost, and nobody claimed it since: the attempt may go on with its token. Not so when a worker reported the
-- loss itself: it has killed what was left. Nor when it was flagged as corrupted since: its recovery is decided.
local function attempt_can_return(j)
    return j.f.state == 'queued' and j.f.reason == 'lost' and not j.f.finished and j.f.flagged ~= j.f.attempt
end

local function attempt_take_back(q, j)
    lane_drop(q, j)
    job_move(j, 'adopt')
    lane_hold(q, j, j.f.worker)
    append(q.batch.leases, integer_text(q.now + job_number(j, 'lease_ms')), j.n)
    job_set(j, 'renewed_ms', q.now)
    job_set(j, 'ran_ms', job_number(j, 'ran_ms') - job_number(j, 'recover_ms'))
    spent.open(q, j, job_number(j, 'recover_ms'))
    local reason = budgets.give_back(q, j, 'its return')
    job_clear(j, 'reason', 'cause', 'error')
    event_note(q, j, 'job.adopted', 'state', 'running', 'worker', j.f.worker, 'reason', reason)
end

-- The job of <n> <uid> <token> with its attempt still going on, or one that can be taken back. Else STALE.
local function attempt_fenced(q, args)
    local j = job_fenced(q, args)
    if j.f.state ~= 'running' and not attempt_can_return(j) then
        fail('STALE', 'job %s is %s: this attempt has ended', job_id(q, j.n), j.f.state)
    end
    attempt_expect_types(q, j)
    return j
end

-- After everything is checked: makes sure that the attempt runs.
local function attempt_revive(q, j)
    if j.f.state ~= 'running' then
        attempt_take_back(q, j)
    end
end
