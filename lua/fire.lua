-- stoker_due [offset]: the schedules that something is to be done about, a hundred a call.
-- stoker_fire <name> <revision> <expected> <due> <next>: the only place where a schedule makes a job. It compares the
-- next due time that the scheduler has seen with the one that stands there, and replaces it: whoever comes second, or
-- late, finds another one and does nothing.
do
    local DUE_A_CALL = 100
    local HELD_MAX = 100   -- jobs of a schedule that wait for each other
    local RETRIES_MAX = 20 -- retries of retries that are followed
    local FIELDS = {'revision', 'cron', 'every_ms', 'zone', 'missed', 'anchor_ms', 'from_ms', 'next_ms'}

    -- [now, ms until the next or -1, {name, <FIELDS>}…]
    local function due(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local offset = want_integer(optional(args[1]) or '0', 'offset', 0, SCHEDULES_MAX)
        local key = key_of(q, 'schedules')
        local answer = {q.now_text, -1}
        for _, name in ipairs(call('ZRANGEBYSCORE', key, '-inf', q.now_text, 'LIMIT', offset, DUE_A_CALL)) do
            local found = redis.pcall('HMGET', key_of(q, 'schedule:' .. name), unpack(FIELDS))
            if not found.err and found[1] then -- else a stranger's
                local one = {name}
                for i = 1, #FIELDS do
                    one[i + 1] = found[i] or ''
                end
                answer[#answer + 1] = one
            end
        end
        local first = call('ZRANGEBYSCORE', key, '(' .. q.now_text, '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if first[2] then
            answer[2] = tonumber(first[2]) - q.now
        end
        return answer
    end

    -- Are there too many in front of this one already? Only jobs that wait for each other are followed.
    local function is_crowded(q, last)
        local count = 0
        while last and last.f.reason == 'overlap' and last.f.state == 'waiting' and count < HELD_MAX do
            count = count + 1
            last = last.f.behind and job_find(q, last.f.behind)
        end
        return count >= HELD_MAX
    end

    -- The job that it made last, or what that was retried as.
    local function last_job(q, s)
        local last = s.last_job and job_find(q, s.last_job)
        for _ = 1, RETRIES_MAX do
            local again = last and last.f.retried_as and job_find(q, last.f.retried_as)
            if not again then
                break
            end
            last = again
        end
        return last
    end

    -- What the overlap policy makes of the last job: why this due time is left out, or the job to wait for, and the job
    -- to cancel. Nothing is written.
    local function judge(q, s)
        local last = last_job(q, s)
        if not last or job_is_final(last) then
            return {}
        elseif s.overlap == 'skip' then
            return {skip = job_id(q, last.n) .. ' ' .. job_state_words(last)}
        elseif s.overlap == 'queue' then
            if is_crowded(q, last) then
                return {skip = HELD_MAX .. ' jobs wait for each other already'}
            end
            return {behind = last.n}
        end
        expect_can_cancel(q, last)
        expect_type(q, 'zset', 'jobs:cancelled')
        if last.f.state == 'running' then
            return {cancel = last, behind = last.n}
        end
        -- What does not run ends at once; what it waited for may be about to stop still.
        return {cancel = last, behind = schedule_holds(q, last) and last.f.behind or nil}
    end

    local function make(q, name, s, due_ms, judged, checked)
        local actor = 'schedule:' .. name
        if judged.cancel then
            job_cancel(q, judged.cancel, {actor = actor, reason = 'replaced by the next one of schedule ' .. name})
        end
        submit_reserve(q, 1)
        local delay_ms = checked.values.delay
        local j = submit_job(q, checked, actor, judged.behind and math.max(delay_ms, 1) or delay_ms)
        job_set(j, 'schedule', name)
        job_set(j, 'scheduled_ms', due_ms)
        if judged.behind then
            job_set(j, 'reason', 'overlap')
            job_set(j, 'behind', judged.behind)
        end
        job_save(q, j)
        event_say(q, j, 'job.submitted', 'state', j.f.state, 'actor', actor, 'schedule', name, 'due_ms', due_ms)
        schedule_save(q, name, s, {last = 'fired', last_job = j.n, fired = (tonumber(s.fired) or 0) + 1}, {})
        return job_id(q, j.n)
    end

    -- Everything that can go wrong with a new job of this schedule goes wrong here. Another job that has its unique key
    -- is a reason to leave this due time out; the rest may pass, and then it fires.
    local function prepare(q, name, judged)
        local text = call('GET', key_of(q, 'schedule-spec:' .. name))
        if not text then
            fail('INVALID', 'the spec of schedule %s is gone', name)
        end
        local ok, checked = pcall(submit_check, q, spec_read(text))
        if ok then
            checked.text = text
            return checked
        end
        judged.skip = type(checked) == 'table' and checked.fail and checked.fail:match('^CONFLICT (.*)$')
        if not judged.skip then
            error(checked)
        end
    end

    local function leave_out(q, name, s, due_ms, reason)
        schedule_save(q, name, s, {last = 'skipped', skipped = (tonumber(s.skipped) or 0) + 1}, {})
        event_of_queue(q, 'schedule.skipped', 'schedule', name, 'due_ms', due_ms, 'reason', reason)
        return ''
    end

    -- What the answer was, should the same be sent again.
    local function earlier(q, s, due_ms)
        if due_ms > 0 and s.last_ms == integer_text(due_ms) then
            return {s.last, s.last == 'fired' and job_id(q, s.last_job) or '', s.next_ms}
        end
        return {'stale', '', s.next_ms}
    end

    local function want_times(args)
        local expected = want_integer(args[3], 'expected due time', 0, LARGEST)
        local due_ms = want_integer(args[4], 'due time', 0, LARGEST)
        local next_ms = want_integer(args[5], 'next due time', math.max(expected, due_ms) + 1, LARGEST)
        if due_ms > 0 and (due_ms < expected or expected == 0) then
            fail('INVALID', 'due time: expected one from %s on, or 0, got %s',
                 expected == 0 and 'a time that was planned' or integer_text(expected), integer_text(due_ms))
        end
        return expected, due_ms, next_ms
    end

    local function fire(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local name = want_schedule_name(args[1])
        local expected, due_ms, next_ms = want_times(args)
        expect_schedule_types(q, name)
        expect_queue_types(q)
        local s = schedule_find(q, name)
        if not s or s.revision ~= args[2] or s.paused_ms or s.error then
            return {'stale', '', s and s.next_ms or ''}
        elseif s.next_ms ~= integer_text(expected) then
            return earlier(q, s, due_ms)
        elseif due_ms > q.now then -- the clock was set back a little
            return {'early', '', s.next_ms}
        end
        local judged = due_ms > 0 and judge(q, s)
        local checked = judged and not judged.skip and prepare(q, name, judged)
        local what, id = expected == 0 and 'planned' or 'missed', ''
        local changes = {next_ms = next_ms}
        if judged then
            id = judged.skip and leave_out(q, name, s, due_ms, judged.skip) or
                make(q, name, s, due_ms, judged, checked)
            what, changes.last_ms = s.last, due_ms
        end
        if expected > 0 and due_ms ~= expected then
            event_of_queue(q, 'schedule.missed', 'schedule', name, 'from_ms', expected, 'to_ms',
                           due_ms > 0 and due_ms or next_ms)
        end
        schedule_save(q, name, s, changes, {})
        queue_flush(q)
        return {what, id, s.next_ms}
    end

    register('due', due, 'no-writes')
    register('fire', fire)
end
