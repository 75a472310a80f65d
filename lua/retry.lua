-- stoker_retry <n> <attempt> [actor] [archived record] [resume]: a waiting job goes on now; a failed or cancelled one
-- is done again as a new job, since final states absorb. It names the attempt, so that it can be sent again.
do
    -- The new job resumes where the old one could have, or where it was asked to. false: from the beginning.
    local function loan_of(q, old, values, which)
        local policy = spec_policy_of(values)
        if which == 'none' then
            return false
        elseif which then
            return checkpoints.loan_or_abroad(q, checkpoints.find_loan(q, 'resume', old, which, policy))
        elseif old.f.borrows then
            return nil -- it never got what its spec asks for
        end
        local good = checkpoints.committed(checkpoints.load(q, old.n))
        local at = policy.resume == 'best' and checkpoints.pick(good, 'best', policy.best) or #good
        return at > 0 and checkpoints.loan_or_abroad(q, {from = old, good = good, at = at, count = policy.keep_last})
    end

    -- What a new job like this one needs.
    local function check_again(q, old, which)
        local text = call('GET', key_of(q, 'spec:' .. old.n))
        if not text then
            fail('NOTFOUND', 'the spec of job %s is gone', job_id(q, old.n))
        end
        local wanted = depend.inherit(q, old)
        local values = spec_of_job(q, old.n)
        local new = submit_check(q, values, text, loan_of(q, old, values, which))
        if new.rival then
            fail('CONFLICT', 'unique.key: the retry of another job of this call has the key %s',
                 quoted(new.values['unique.key']))
        end
        if old.f.batch then
            batching.expect_types(q, old.f.batch)
        end
        new.waits = depend.is_open(wanted)
        return {j = old, text = text, new = new, wanted = wanted}
    end

    local function again(q, checked, actor)
        local old = checked.j
        submit_reserve(q, 1)
        local j = submit_job(q, checked.new, actor, 0)
        if checked.wanted then
            local values = checked.new.values
            depend.attach(q, j, checked.wanted, {on_unmet = values.on_unmet, delay = 0,
                                                 ['rate.key'] = values['rate.key']})
        end
        local told = old.f.parents and call('HGETALL', key_of(q, 'told:' .. old.n)) or {}
        call_with('HSET', key_of(q, 'told:' .. j.n), told)
        if old.f.batch then
            batching.join(q, j.n, old.f.batch, j.f.state, actor)
        end
        job_set(j, 'retry_of', old.n)
        job_set(j, 'schedule', old.f.schedule)
        job_set(j, 'scheduled_ms', old.f.scheduled_ms) -- it is for the same day as the old one
        job_set(old, 'retried_as', j.n)
        event_say(q, j, 'job.submitted', 'state', j.f.state, 'actor', actor, 'reason',
                  'retry of ' .. job_id(q, old.n))
        event_note(q, old, 'job.retrying', 'state', old.f.state, 'actor', actor, 'reason', 'as ' .. job_id(q, j.n))
        job_save(q, j)
        job_save(q, old)
        return j.n
    end

    -- The id from which the next attempt is to go on; none: from the beginning.
    local function resume_of(q, j, which)
        return which == 'none' and which or
            checkpoints.find_loan(q, 'resume', j, which, spec_policy(q, j.n)).id
    end

    -- o.attempt nil: the last one; o.resume: from which checkpoint, nil: as its spec says.
    local function check(q, j, o)
        expect_type(q, 'list', 'history:' .. j.n)
        expect_type(q, 'hash', 'checkpoints:' .. j.n)
        expect_type(q, 'zset', 'borrowers')
        local last = job_number(j, 'attempt')
        local attempt = tonumber(o.attempt) or last
        if attempt > last or (attempt < last and job_is_final(j)) then
            fail('STALE', 'job %s: attempt %d is not the last one (that is %d)', job_id(q, j.n), attempt, last)
        elseif j.f.state == 'succeeded' or (j.f.state == 'running' and attempt == last) then
            fail('CONFLICT', 'job %s %s: there is nothing to retry', job_id(q, j.n), job_state_words(j))
        elseif j.f.reason == 'held' then
            fail('CONFLICT', 'job %s is held%s | stoker release %s', job_id(q, j.n), held_words(j), job_id(q, j.n))
        elseif j.f.needs and not j.f.unmet then
            fail('CONFLICT', 'job %s waits for others, %s of them have not ended | stoker show %s names them',
                 job_id(q, j.n), j.f.needs, job_id(q, j.n))
        elseif job_is_final(j) and not j.f.retried_as then
            return check_again(q, j, o.resume)
        elseif j.f.state == 'waiting' and attempt == last then
            expect_can_queue(q, j)
            return {j = j, hurry = true, from = o.resume and resume_of(q, j, o.resume)}
        end
        return {j = j}
    end

    local function act(q, checked, o)
        local j = checked.j
        if checked.new then
            return job_id(q, again(q, checked, o.actor))
        elseif checked.hurry and j.f.state == 'waiting' then
            event_note(q, j, 'job.retrying', 'state', 'queued', 'actor', o.actor)
            if j.f.unmet then
                depend.forget(q, j)
            end
            job_set(j, 'resume_next', checked.from or j.f.resume_next)
            limits.ready(q, j, 'hurry')
        end
        return job_id(q, j.f.retried_as or j.n)
    end

    action_add('retry', {check = check, act = act})

    -- Of one that is in the archive: its record is in Redis while this lasts. The same again within the time of
    -- idempotency keys is the same job.
    local function retry_archived(q, n, o, text)
        local key = key_of(q, 'retried:' .. n)
        local known = call('GET', key)
        if known then
            return job_id(q, known)
        end
        local ok, answer = pcall(function()
            records.back(q, n, text)
            return action_once(q, 'retry', n, o)
        end)
        records.away(q, n)
        if not ok then
            error(answer, 0)
        end
        call('SET', key, q.known.loaded[n].f.retried_as, 'PX', integer_text(q.meta.key_ttl_ms))
        return answer
    end

    local function retry(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        local attempt = want_integer(args[2], 'attempt', 0, LARGEST)
        local o = {attempt = attempt, actor = want_actor(args[3]),
                   resume = checkpoints.want_which(optional(args[5]))}
        local archived = optional(args[4])
        if archived and call('EXISTS', key_of(q, 'job:' .. n)) == 0 then
            expect_type(q, 'string', 'retried:' .. n)
            return retry_archived(q, n, o, archived)
        end
        return action_once(q, 'retry', n, o)
    end

    register('retry', retry)
end
