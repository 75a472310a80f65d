-- stoker_checkpoint, _reject, _drop: checkpoints are committed, found bad, and forgotten under the attempt's token.
do
    local SUMMARY_MAX_BYTES = 4096
    local USES_MAX = 8
    local KEEP_ALWAYS = 64 -- so few are always looked at

    -- Numbers of earlier checkpoints of the attempt.
    local function want_uses(uses)
        local last = 0
        if type(uses) ~= 'table' or #uses == 0 or #uses > USES_MAX then
            fail('INVALID', 'summary.uses: expected a list of 1 to %d numbers', USES_MAX)
        end
        for _, seq in ipairs(uses) do
            if type(seq) ~= 'number' or seq ~= math.floor(seq) or seq < 0 or seq > LARGEST then
                fail('INVALID', 'summary.uses: expected numbers of checkpoints, got %s', quoted(seq))
            end
        end
        table.sort(uses)
        for i, seq in ipairs(uses) do
            if i > 1 and seq == last then
                fail('INVALID', 'summary.uses: %s is there twice', as_text(seq))
            end
            last = seq
        end
    end

    local function want_summary(text)
        local summary = want_object(text, 'summary', SUMMARY_MAX_BYTES)
        local step = summary.step
        summary.lent, summary.from, summary.used = nil, nil, nil -- these are ours
        if summary.uses == cjson.null then
            summary.uses = nil
        elseif summary.uses ~= nil then
            want_uses(summary.uses)
        end
        if step == cjson.null then
            summary.step = nil
        elseif step ~= nil and (type(step) ~= 'number' or step ~= math.floor(step) or step < 0 or step > LARGEST) then
            fail('INVALID', 'summary.step: expected an integer from 0, got %s', quoted(step))
        end
        if not pcall(cjson.encode, summary) then
            fail('INVALID', 'summary: a number in it is not finite')
        end
        return summary
    end

    -- The answer of a commit, and of the same commit again.
    local function answer_deleting(list)
        local answer = {'ok'}
        for _, c in ipairs(list) do
            if c.record.state == 'deleting' then
                append(answer, c.id)
            end
        end
        return answer
    end

    -- After the run was flagged, only what surely lies before the onset is still good.
    local function state_of_new(j, summary)
        if j.f.stop ~= 'corrupted' and j.f.flagged ~= j.f.attempt then
            return 'committed'
        end
        local suspect = tonumber(j.f.suspect)
        return suspect and checkpoints.is_before(summary, suspect) and 'committed' or 'quarantined'
    end

    -- The checkpoints that it uses files of; all of them must be there still.
    local function used_by(q, j, list, attempt, summary)
        local used = {}
        for i, seq in ipairs(summary.uses or {}) do
            local id = ('%d-%d'):format(attempt, seq)
            used[i] = checkpoints.find(list, id)
            if not used[i] or used[i].record.state == 'deleting' then
                fail('CONFLICT', 'it uses files of checkpoint %s of job %s, which is gone', id, job_id(q, j.n))
            end
        end
        return used
    end

    -- Where many are kept, a commit does not look at all of them each time, but at the first of an attempt, and when
    -- they have become an eighth more than the rules kept the last time, or fewer (somebody has let some go). So its
    -- cost does not grow with their number.
    local function is_time_to_keep(q, j)
        local count, next = call('HLEN', key_of(q, 'checkpoints:' .. j.n)), job_number(j, 'keep_next')
        local last_attempt = (j.f.checkpoint_seq or ''):match(CHECKPOINT_ID)
        return count < KEEP_ALWAYS or count >= next or count < math.floor(next * 8 / 9) or last_attempt ~= j.f.attempt
    end

    local function keep(q, j, list, policy)
        local kept = 0
        checkpoints.keep(q, j, list, policy)
        for _, c in ipairs(list) do
            kept = kept + (c.record.state ~= 'deleting' and 1 or 0)
        end
        job_set(j, 'keep_next', kept >= KEEP_ALWAYS and kept + math.floor(kept / 8) or nil)
    end

    local function commit(q, j, list, c, policy, used)
        for _, other in ipairs(used) do
            other.record.used = (tonumber(other.record.used) or 0) + 1
            checkpoints.put(q, j.n, other)
        end
        c.record.state = state_of_new(j, c.record)
        append(list, c)
        checkpoints.put(q, j.n, c)
        job_set(j, 'checkpoint_seq', c.attempt .. '-' .. c.seq)
        if c.record.state == 'quarantined' then
            event_note(q, j, 'checkpoint.quarantined', 'checkpoint', c.id, 'step', c.record.step, 'reason',
                       'the run was flagged corrupted before this was saved')
            return
        end
        checkpoints.note_newest(j, list)
        local refund = budgets.give_back(q, j, 'checkpoint ' .. c.id)
        local say = refund and event_note or event_say
        say(q, j, 'checkpoint.committed', 'checkpoint', c.id, 'step', c.record.step, 'worker', j.f.worker, 'reason',
            refund)
        if policy then
            keep(q, j, list, policy)
        end
    end

    -- Whether this sequence number of the running attempt was committed before, even if it is dropped by now.
    local function is_known(j, attempt, seq)
        local last_attempt, last_seq = (j.f.checkpoint_seq or ''):match(CHECKPOINT_ID)
        return tonumber(last_attempt) == attempt and seq <= tonumber(last_seq)
    end

    -- The ids that a commit of this one is about.
    local function needed(attempt, id, summary)
        local ids = {id}
        for i, seq in ipairs(summary.uses or {}) do
            ids[i + 1] = ('%d-%d'):format(attempt, seq)
        end
        return ids
    end

    local function checkpoint(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local id = checkpoints.want_id(args[4])
        local summary = want_summary(args[5])
        expect_queue_types(q)
        local j = attempt_fenced(q, args)
        local attempt, seq = id:match(CHECKPOINT_ID)
        attempt, seq = tonumber(attempt), tonumber(seq)
        if attempt ~= job_number(j, 'attempt') then
            fail('INVALID', 'checkpoint: %s is not of the running attempt, %s', id, j.f.attempt)
        end
        local is_new = not is_known(j, attempt, seq)
        local is_whole = not is_new or is_time_to_keep(q, j)
        local policy = is_whole and spec_policy(q, j.n) -- looked at only then
        local list = checkpoints.load(q, j.n, not is_whole and needed(attempt, id, summary))
        local known = checkpoints.find(list, id)
        if known and known.record.sha256 ~= summary.sha256 then
            fail('CONFLICT', 'checkpoint %s of job %s is committed with other contents', id, job_id(q, j.n))
        end
        is_new = is_new and not known
        local used = is_new and used_by(q, j, list, attempt, summary)
        local store = is_new and stores.of_commit(q, j, summary.uri)
        attempt_revive(q, j)
        if store then
            stores.remember(q, store) -- who stores there first marks it
        end
        if is_new then
            summary.attempt, summary.seq, summary.token = attempt, seq, j.f.token
            summary.time_ms = type(summary.time_ms) == 'number' and summary.time_ms or q.now
            summary.save_ms = type(summary.save_ms) == 'number' and math.max(math.floor(summary.save_ms), 0) or nil
            summary.trained_ms = spent.in_new(q, j, summary.save_ms or 0)
            commit(q, j, list, {id = id, attempt = attempt, seq = seq, record = summary}, policy, used)
        end
        job_save(q, j)
        queue_flush(q)
        return answer_deleting(list)
    end

    -- Where to go on instead of the one at place i: the best one, if that is what the job asks for; the newest good one
    -- before it; else the newest at all.
    local function instead_of(q, j, list, i)
        local others, older = {}, nil
        for k, c in ipairs(list) do
            if k ~= i and c.record.state == 'committed' then
                append(others, c)
                older = k < i and c or older
            end
        end
        local best = j.f.resume_best and checkpoints.best(others, spec_policy(q, j.n).best)[1]
        return best or older or others[#others]
    end

    local function reject(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local id = checkpoints.want_id(args[4])
        local reason = want_reason(args[5])
        expect_queue_types(q)
        local j = attempt_fenced(q, args)
        local list = checkpoints.load(q, j.n)
        local c, i = checkpoints.find(list, id)
        if not c then
            fail('NOTFOUND', 'job %s has no checkpoint %s', job_id(q, j.n), id)
        end
        attempt_revive(q, j)
        local older = instead_of(q, j, list, i)
        if c.record.state ~= 'rejected' then
            checkpoints.mark(q, j, c, 'rejected')
            event_note(q, j, 'checkpoint.rejected', 'checkpoint', id, 'step', c.record.step, 'reason', reason)
            checkpoints.note_newest(j, list)
            recovery_resume_from(q, j, older)
        end
        job_save(q, j)
        queue_flush(q)
        return older and {older.id, cjson.encode(older.record)} or {}
    end

    local function drop(keys, args)
        local q = queue_open(keys)
        if #args < 4 or #args > 3 + MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <n> <uid> <token> and 1 to %d checkpoint ids', MAX_JOBS_A_CALL)
        end
        for i = 4, #args do
            checkpoints.want_id(args[i])
        end
        local j = job_fenced(q, args)
        local list, gone = checkpoints.load(q, j.n, {unpack(args, 4)}), {}
        for i = 4, #args do
            local c = checkpoints.find(list, args[i])
            if c and c.record.state == 'deleting' then
                append(gone, c.id)
            end
        end
        call_with('HDEL', key_of(q, 'checkpoints:' .. j.n), gone)
        return #gone
    end

    register('checkpoint', checkpoint, 'allow-oom')
    register('reject', reject, 'allow-oom')
    register('drop', drop, 'allow-oom')
end
