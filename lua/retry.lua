-- stoker_retry <n> <attempt> [actor]: a waiting job goes on now; a failed or cancelled one is done again as a new job,
-- since final states absorb. It names the attempt, so that it can be sent again.
do
    -- The new job resumes where the old one could have: it is lent the newest checkpoints, as those of attempt 0.
    local function lend_checkpoints(q, from, to, count)
        local good = checkpoints_committed(checkpoints_load(q, from.n))
        local list = {}
        for i = math.max(#good - count + 1, 1), #good do
            local c = {attempt = 0, seq = #list + 1, id = '0-' .. (#list + 1), record = good[i].record}
            c.record.from = job_id(q, from.n)
            checkpoints_put(q, to.n, c)
            append(list, c)
        end
        checkpoints_note_newest(to, list)
    end

    local function again(q, old, actor)
        local text = call('GET', key_of(q, 'spec:' .. old.n))
        if not text then
            fail('NOTFOUND', 'the spec of job %s is gone', job_id(q, old.n))
        end
        local policy = spec_policy(q, old.n)
        local checked = submit_check(q, spec_of_job(q, old.n))
        submit_reserve(q, 1)
        local j = submit_job(q, text, checked, actor, 0)
        job_set(j, 'retry_of', old.n)
        job_set(j, 'schedule', old.f.schedule)
        job_set(j, 'scheduled_ms', old.f.scheduled_ms) -- it is for the same day as the old one
        lend_checkpoints(q, old, j, policy.keep_last)
        job_set(old, 'retried_as', j.n)
        event_say(q, j, 'job.submitted', 'state', j.f.state, 'actor', actor, 'reason',
                  'retry of ' .. job_id(q, old.n))
        event_note(q, old, 'job.retrying', 'state', old.f.state, 'actor', actor, 'reason', 'as ' .. job_id(q, j.n))
        job_save(q, j)
        job_save(q, old)
        return j
    end

    local function retry(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        local attempt = want_integer(args[2], 'attempt', 0, LARGEST)
        local actor = want_actor(args[3])
        expect_queue_types(q)
        expect_type(q, 'list', 'history:' .. n)
        expect_type(q, 'hash', 'checkpoints:' .. n)
        local j = job_load(q, n)
        local last = job_number(j, 'attempt')
        if attempt > last or (attempt < last and job_is_final(j)) then
            fail('STALE', 'job %s: attempt %d is not the last one (that is %d)', job_id(q, n), attempt, last)
        end
        if j.f.state == 'succeeded' or (j.f.state == 'running' and attempt == last) then
            fail('CONFLICT', 'job %s %s: there is nothing to retry', job_id(q, n),
                 job_state_words(j))
        elseif job_is_final(j) then
            n = j.f.retried_as or again(q, j, actor).n
        elseif j.f.state == 'waiting' and attempt == last then
            expect_can_queue(q, j)
            event_note(q, j, 'job.retrying', 'state', 'queued', 'actor', actor)
            limits.ready(q, j, 'hurry')
        end
        queue_flush(q)
        return job_id(q, n)
    end

    register('retry', retry)
end
