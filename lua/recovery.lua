-- Recovery of corrupted runs. A run is flagged once an attempt; then checkpoints at or past the onset are out of use,
-- and the next attempt resumes from the newest one before it. Nobody knows the onset: the newest stays in use, and
-- goes, too, when the attempt that resumed from it is flagged again without having got past it. Never silently.

local recovery_detect, recovery_decide
local recovering = {}
do
    -- Whether the attempt fell ill where one before did, or on its way there; and the sentence that says so.
    local function compare(j, onset)
        local before = tonumber(j.f.onset)
        if not (onset and before) then
            return false, nil
        elseif onset <= before then
            return true, 'the same again: it did not get past step ' .. as_text(before) ..
                ', where it was corrupted before'
        end
        return false, 'a new onset: before, it was corrupted at step ' .. as_text(before)
    end

    -- Flags the last attempt; the second time nothing changes. onset: the step where it began. good: the last one that
    -- is known to be good; what was saved at or past it is not proved to lie before the onset.
    function recovery_detect(q, j, found, reason, actor)
        if j.f.flagged == j.f.attempt then
            return
        end
        local onset, suspect = found.onset, found.onset
        if onset and found.good and found.good < onset then
            suspect = found.good
        end
        local is_again, sentence = compare(j, onset)
        job_set(j, 'flagged', j.f.attempt)
        job_set(j, 'onset', is_again and j.f.onset or onset)
        job_set(j, 'suspect', suspect)
        job_set(j, 'again', is_again and 1 or nil)
        if sentence then
            reason = clip(reason .. '; ' .. sentence, TEXT_MAX)
        end
        event_note(q, j, 'recovery.detected', 'checkpoint', j.f.checkpoint, 'step', onset, 'reason', reason,
                   'actor', actor)
        if suspect then
            checkpoints.quarantine(q, j, checkpoints.load(q, j.n), function(c)
                return not checkpoints.is_before(c.record, suspect)
            end, ('not proved to be from before the corruption, which began at step %s%s'):format(as_text(onset),
                 suspect < onset and (' or after step ' .. as_text(suspect)) or ''))
        end
    end

    -- The checkpoint that the spec's recovery.checkpoint asks for, if it is in use.
    local function wanted_of(policy, list)
        if policy.checkpoint == 'latest' then
            return nil
        elseif policy.checkpoint == 'best' or policy.checkpoint == 'best_loss' then
            return checkpoints.best(list, policy.best)[1]
        end
        for _, c in ipairs(checkpoints.committed(list)) do
            if c.id == policy.checkpoint then
                return c
            end
        end
    end

    -- The newest one in use. It is one further back when the attempt that resumed from it was corrupted again at the
    -- same place, or nobody knows where, without a new checkpoint.
    local function go_back(q, j, list, before)
        local newest, from = checkpoints.note_newest(j, list), j.f.resume
        local is_again = j.f.again and from
        local is_unknown = not j.f.suspect and before > 0 and newest and newest.id == from
        job_clear(j, 'again')
        if not is_again and not is_unknown then
            return newest
        end
        return checkpoints.quarantine(q, j, list, function(c)
            return c.id == from or (is_again and c.attempt == job_number(j, 'attempt'))
        end, is_again and 'the attempt that resumed from ' .. from .. ' was corrupted at the same place again' or
            'the attempt that resumed from it was corrupted again before its next checkpoint')
    end

    -- Decides about a flagged attempt that is over: nil when the job may go on (and everything is prepared for its next
    -- claim), else the sentence why it failed.
    function recovery_decide(q, j, policy)
        local list = checkpoints.load(q, j.n)
        local before = job_number(j, 'corrupted')
        local function give_up(event, why)
            event_note(q, j, event, 'error', why)
            return why
        end
        job_set(j, 'corrupted', before + 1)
        if not policy.recover then
            return give_up('recovery.failed', 'corrupted, and recovery is not enabled')
        elseif before + 1 > policy.max_corrupted then
            return give_up('recovery.exhausted', ('corrupted %d times; recovery.max_attempts is %d'):format(
                before + 1, policy.max_corrupted))
        end
        local newest = go_back(q, j, list, before)
        if not newest and not policy.may_restart then
            return give_up('recovery.failed',
                           'corrupted, and no good checkpoint is left (recovery.no_checkpoint is fail)')
        end
        local wanted = wanted_of(policy, list)
        job_set(j, 'resume_next', wanted and wanted.id)
        event_note(q, j, 'recovery.started', 'checkpoint', (wanted or newest or {}).id, 'reason',
                   not newest and 'no good checkpoint is left' or nil)
    end
end

-- Notes what the running attempt starts from, and says it; c is nil for the beginning.
local function recovery_resume_from(q, j, c)
    local step = c and tonumber(c.record.step)
    job_set(j, 'resume', c and c.id)
    job_set(j, 'step', step)
    job_set(j, 'resumed_at', step or 0)
    job_set(j, 'recover_step', step or 0)
    event_say(q, j, 'recovery.checkpoint_selected', 'checkpoint', c and c.id or 'none', 'step', step or 0, 'reason',
              not c and 'there is no good checkpoint' or nil)
end

-- Instead of the one that the job names: the best one, else the newest.
function recovering.other(q, j, is_best)
    local good = checkpoints.committed(checkpoints.load(q, j.n))
    return is_best and checkpoints.best(good, spec_policy(q, j.n).best)[1] or good[#good]
end

-- At a claim: what this attempt starts from. A first attempt without a past says nothing. Answers the summary. The
-- claim cannot fail any more: what nobody can read is not there.
local function recovery_select(q, j)
    local id, is_best = j.f.resume_next or j.f.checkpoint, j.f.resume_best and not j.f.resume_next
    local summary = id and redis.pcall('HGET', key_of(q, 'checkpoints:' .. j.n), id)
    local record = checkpoints.decoded(summary)
    if id and id ~= 'none' and (is_best or not record) then
        local ok, other = pcall(recovering.other, q, j, is_best)
        if ok and other then
            id, record, summary = other.id, other.record, cjson.encode(other.record)
        end
    end
    job_clear(j, 'resume_next')
    spent.begin(q, j, record and id)
    if record then
        if record.lent then -- nothing to its runner, and it may be long
            record.lent = nil
            summary = cjson.encode(record)
        end
        recovery_resume_from(q, j, {id = id, record = record})
    elseif j.f.attempt ~= '1' then
        recovery_resume_from(q, j, nil)
    end
    return record and summary
end

-- Says recovery.completed once the attempt got past what it resumed from: its step did, or, when it tells no steps, it
-- ran longer than the attempt that failed.
local function recovery_progress(q, j, step)
    local from = tonumber(j.f.recover_step)
    if not from then
        return
    end
    local ran_ms = q.now - job_number(j, 'claimed_ms')
    local outlived = not step and job_number(j, 'step') <= from and ran_ms > job_number(j, 'recover_ms')
    if (step and step > from) or (outlived and j.f.started_ms) then
        job_clear(j, 'recover_step', 'recover_ms')
        event_say(q, j, 'recovery.completed', 'checkpoint', j.f.resume, 'step', step)
    end
end

-- How many recoveries of a queue go on at once (`max_recovering` of meta): when many runs go bad together, as by bad
-- data, not all of them come back to the store and the workers together. `recovering` holds those that were let go; who
-- is not recovering any more is found when there is no room, so nothing else has to care for it.
do
    local MOST = 10
    local AGAIN_MS = 1000

    function recovering.most(q)
        return tonumber(call('HGET', q.meta_key, 'max_recovering')) or MOST
    end

    local function still(q, n)
        local known = redis.pcall('HMGET', key_of(q, 'job:', n), 'state', 'cause', 'recover_step')
        return not known.err and
            (known[1] == 'queued' and known[2] == 'corrupted' or known[1] == 'running' and known[3])
    end

    -- How many more may go on.
    local function room(q, most)
        local key = key_of(q, 'recovering')
        if call('ZCARD', key) >= most then
            for _, n in ipairs(call('ZRANGE', key, 0, -1)) do
                if not still(q, n) then
                    call('ZREM', key, n)
                end
            end
        end
        return most - call('ZCARD', key)
    end

    -- Whether this waiting job, whose time has come, may be let go. If not it comes again a little later.
    function recovering.admit(q, j)
        if j.f.cause ~= 'corrupted' or j.f.reason ~= 'retry' and j.f.reason ~= 'recovery' then
            return true
        end
        local known = q.known.room
        known.most = known.most or recovering.most(q)
        if known.most == 0 then
            return true
        end
        known.left = known.left or room(q, known.most)
        if known.left > 0 then
            known.left = known.left - 1
            call('ZADD', key_of(q, 'recovering'), q.now_text, j.n)
            return true
        end
        local due_ms = integer_text(q.now + AGAIN_MS)
        job_set(j, 'reason', 'recovery')
        job_set(j, 'due_ms', due_ms)
        append(q.batch.waiting, due_ms, j.n)
        job_save(q, j)
        return false
    end
end
