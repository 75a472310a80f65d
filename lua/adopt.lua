-- stoker_adopt <n> <uid> <token> <worker> [<attempt> <installation> <resume or ''> <spec> (<checkpoint> <summary>)…]:
-- this worker looks after the attempt from now on; one that was reaped as lost and that nobody claimed since is taken
-- back.
--
-- With what follows, everything that its runner knows, it is offered back to a Redis that may have lost writes. If
-- Redis has forgotten the claim, an earlier attempt of the job stands there: this one takes its place, since its token
-- is larger. If it has forgotten the job, it is made again, under its number and uid. Checkpoints that were committed
-- and are not known come back with it. What was decided since wins: a later claim, an end, a hold, another job of this
-- number.
do
    local CHECKPOINTS_MAX = 32
    local SUMMARY_MAX_BYTES = 16384
    -- For what it may wait, as far as Redis knows, while it runs. The others are somebody's wish, or other jobs.
    local WAITS = {delay = true, retry = true, limit = true, recovery = true, overlap = true}

    local function want_offer(q, args)
        if #args == 4 then
            return nil
        elseif #args < 8 or #args % 2 ~= 0 or #args > 8 + 2 * CHECKPOINTS_MAX then
            fail('INVALID', 'expected <n> <uid> <token> <worker>, then nothing or <attempt> <installation> <resume> ' ..
                 '<spec> and at most %d times <checkpoint> <summary>', CHECKPOINTS_MAX)
        end
        local offer = {attempt = want_integer(args[5], 'attempt', 1, LARGEST), resume = optional(args[7]),
                       spec = args[8], checkpoints = {}}
        if args[6] ~= q.meta.installation then
            fail('INVALID', 'installation: this Redis belongs to %s, the attempt to %s', q.meta.installation or 'none',
                 quoted(args[6]))
        end
        for i = 9, #args, 2 do
            local id, record = checkpoints.want_id(args[i]), want_object(args[i + 1], 'summary', SUMMARY_MAX_BYTES)
            local attempt, seq = id:match(CHECKPOINT_ID)
            local c = {id = id, attempt = tonumber(attempt), seq = tonumber(seq), record = record}
            if c.attempt > 0 and c.attempt <= offer.attempt then -- what another job lent is that one's to say
                append(offer.checkpoints, c)
            end
        end
        return offer
    end

    -- ---------------------------------------------------------------- checkpoints

    -- Those of the same attempt that it uses files of, if all are there.
    local function used_by(list, c)
        local used = {}
        for i, seq in ipairs(type(c.record.uses) == 'table' and c.record.uses or {}) do
            used[i] = checkpoints.find(list, ('%d-%s'):format(c.attempt, as_text(seq)))
            if not used[i] then
                return nil
            end
        end
        return used
    end

    local function put_back(q, j, list, c)
        local used = used_by(list, c)
        if not used then
            return false
        end
        for _, other in ipairs(used) do
            other.record.used = checkpoints.used(other) + 1
            checkpoints.put(q, j.n, other)
        end
        local record = c.record
        record.attempt, record.seq, record.lent, record.used, record.from = c.attempt, c.seq, nil, nil, nil
        record.token = record.token or j.f.token
        record.time_ms = type(record.time_ms) == 'number' and record.time_ms or q.now
        record.state = 'committed'
        append(list, c)
        checkpoints.put(q, j.n, c)
        event_say(q, j, 'checkpoint.committed', 'checkpoint', c.id, 'step', record.step, 'worker', j.f.worker, 'reason',
                  'Redis had forgotten it')
        return true
    end

    -- In the order of their numbers. Of a run that was flagged nobody knows which were good.
    local function put_all_back(q, j, offer)
        local list = checkpoints.load(q, j.n)
        for _, c in ipairs(offer.checkpoints) do
            local last_attempt, last_seq = (j.f.checkpoint_seq or ''):match(CHECKPOINT_ID)
            local is_newer = c.attempt > (tonumber(last_attempt) or 0) or
                (c.attempt == tonumber(last_attempt) and c.seq > tonumber(last_seq))
            if is_newer and j.f.stop ~= 'corrupted' and j.f.flagged ~= j.f.attempt and put_back(q, j, list, c) then
                job_set(j, 'checkpoint_seq', c.id)
            end
        end
        table.sort(list, function(a, b)
            return a.attempt < b.attempt or (a.attempt == b.attempt and a.seq < b.seq)
        end)
        checkpoints.note_newest(j, list)
        return list
    end

    -- ---------------------------------------------------------------- an attempt that Redis does not know

    -- Why the attempt cannot go on in the job that is there; nil: it can.
    local function refusal(q, j, args, offer)
        local token = tonumber(args[3])
        if j.f.uid ~= args[2] or token <= job_number(j, 'token') or job_is_final(j) then
            return job_fence_reason(q, j, j.n, args[2], args[3])
        elseif offer.attempt <= job_number(j, 'attempt') then
            return ('job %s: another attempt %s of it was begun'):format(job_id(q, j.n), j.f.attempt)
        elseif j.f.state == 'waiting' and not WAITS[j.f.reason] then
            return ('job %s is waiting (%s), and waits on'):format(job_id(q, j.n), j.f.reason)
        end
    end

    -- Out of its place. What the attempt holds it goes on to hold, also where others were given it since: it runs.
    local function leave_place(q, j)
        if j.f.lane then
            lane_drop(q, j)
        end
        if j.f.state == 'waiting' then
            append(q.batch.unwait, j.n)
            job_renew_class(q, j)
        end
        if j.f.slot then
            local slots, line = limits.names(j.f.slot)
            call('ZREM', key_of(q, line), j.n)
            call('ZADD', key_of(q, slots), 'NX', q.now_text, j.n)
        end
        if j.f.unique_until then
            unique.leave(q, j)
            job_clear(j, 'unique', 'unique_until')
        end
    end

    local function go_on(q, j, args, offer, reason)
        job_clear(j, 'reason', 'due_ms', 'behind', 'started_ms', 'renewed_ms', 'log_next', 'metric_next', 'finished',
                  'pace', 'phase', 'cause', 'error', 'resume', 'resumed_at', 'resume_next', 'recover_step', 'again',
                  'suspect', 'spent', 'stop_for')
        if j.f.stop ~= 'cancel' then -- of an earlier attempt
            job_clear(j, 'stop', 'stop_reason')
        end
        job_set(j, 'attempt', offer.attempt)
        job_set(j, 'token', args[3])
        job_set(j, 'worker', args[4])
        job_set(j, 'claimed_ms', q.now)
        job_set(j, 'renewed_ms', q.now)
        job_set(j, 'resumed', offer.attempt) -- it has been said
        local c = checkpoints.find(put_all_back(q, j, offer), offer.resume)
        if c then
            job_set(j, 'resume', c.id)
            job_set(j, 'resumed_at', tonumber(c.record.step) or 0)
        end
        spent.begin(q, j, c and c.id)
        if j.f.tenant then
            share.prepay(q, j, class_get(q, j.f.class) or {cpus = 1, gpus = 0, memory = 0})
        end
        lane_hold(q, j, args[4])
        append(q.batch.leases, integer_text(q.now + job_number(j, 'lease_ms')), j.n)
        job_set(j, 'special', '1')
        event_note(q, j, 'job.adopted', 'state', 'running', 'worker', args[4], 'reason', reason)
    end

    local function take_over(q, j, args, offer)
        attempt_expect_types(q, j)
        if j.f.state == 'waiting' then
            expect_can_queue(q, j)
        end
        local reason = ('Redis had forgotten the claim of attempt %d: it said %s, attempt %s'):format(
            offer.attempt, j.f.state, j.f.attempt)
        leave_place(q, j)
        job_move(j, 'adopt')
        go_on(q, j, args, offer, reason)
    end

    -- Everything is checked as for a new job, but whether the queue takes one.
    local function make_again(q, n, args, offer)
        local values = submitting.read(q, offer.spec)
        if values.batch then
            batching.expect_types(q, values.batch)
        end
        local is_there, spared = pcall(submitting.check_code, q, values) -- it runs, doomed or not
        local checked = submitting.check(q, values, offer.spec, false)
        local j = job_of_fields(n, {class = checked.class, priority = as_text(values.priority),
                                    slot = values['concurrency.key'], tenant = values.tenant})
        attempt_expect_types(q, j)
        if tonumber(n) > q.meta.next then
            call('DEL', unpack(job_keys(q, n, {})))
            forgotten.upto(q, tonumber(n), 'worker ' .. args[4])
        end
        if call('ZSCORE', key_of(q, 'leases'), n) then
            q.active = q.active - 1 -- its record alone went, and it counts still
        end
        forgotten.is_back(q, n)
        submitting.spare_code(q, is_there and spared or nil)
        submitting.record(q, checked, n, args[2], STATE_MOVES['new adopt'], '0', nil, {})
        if values.batch then
            batching.join(q, n, values.batch, 'running')
        end
        j = job_find(q, n)
        leave_place(q, j)
        go_on(q, j, args, offer, ('Redis had forgotten the job: attempt %d of it runs'):format(offer.attempt))
        return j
    end

    -- Its runner gives it up; nothing else would ever say so.
    local function refuse(q, j, args, offer, reason)
        if not j or j.f.uid ~= args[2] then
            event_of_queue(q, 'queue.run_refused', 'worker', args[4], 'uid', args[2], 'attempt', offer.attempt,
                           'reason', clip(reason, TEXT_MAX))
            event_flush(q)
        end
        return {err = 'STALE ' .. reason}
    end

    -- ---------------------------------------------------------------- the call

    -- Of an attempt that Redis knows.
    local function look_after(q, j, worker)
        if j.f.state ~= 'running' then
            job_set(j, 'worker', worker)
            attempt_take_back(q, j)
        elseif j.f.worker ~= worker then
            job_set(j, 'worker', worker)
            lane_claim(q, j)
            job_clear(j, 'lost')
            event_note(q, j, 'job.adopted', 'state', 'running', 'worker', worker)
        end
    end

    local function adopt(keys, args)
        local q = queue_open(keys)
        local worker, offer = want_worker(args[4]), want_offer(q, args)
        expect_queue_types(q)
        forgotten.expect(q)
        local n = want_fence(args, 1)
        local j = offer and job_find(q, n)
        if not offer or (j and not job_fence_reason(q, j, n, args[2], args[3])) then
            j = attempt_fenced(q, args)
            look_after(q, j, worker)
            if offer then
                put_all_back(q, j, offer)
            end
        elseif j then
            local reason = refusal(q, j, args, offer)
            if reason then
                return refuse(q, j, args, offer, reason)
            end
            take_over(q, j, args, offer)
        elseif forgotten.has(q, n) then
            j = make_again(q, n, args, offer)
        else
            return refuse(q, nil, args, offer, ('job %s is gone'):format(job_id(q, n)))
        end
        job_save(q, j)
        queue_flush(q)
        return {'ok', j.f.stop or 'ok', j.f.stop_reason or ''}
    end

    register('adopt', adopt, 'allow-oom')
end
