-- stoker_submit <spec JSON> [key] [actor]: a new job, or the one that the idempotency key already made.

local submit_job
do
    local function check_room(q)
        if q.meta.active >= q.meta.max_jobs then
            fail('FULL', 'queue %s has %d unfinished jobs, which is its bound (max_jobs) | wait, or raise it: ' ..
                 'HSET %s max_jobs …', q.name, q.meta.active, q.meta_key)
        end
    end

    -- Everything is checked here; what follows cannot fail. options: actor, delay_ms, retry_of (a job).
    function submit_job(q, spec_text, values, options)
        check_room(q)
        expect_queue_types(q)
        local class, requirement = spec_class(values)
        class_admit(q, class, requirement)
        local n = integer_text(q.meta.next + 1)
        local j = job_of_fields(n, {state = 'new'})
        job_set(j, 'class', class)
        job_set(j, 'priority', values.priority)
        expect_type(q, 'stream', 'ready:' .. lane_name(j, '-'))
        expect_type(q, 'zset', 'wake:' .. class)
        -- What a stranger put there would mix with ours.
        call('DEL', key_of(q, 'job:' .. n), key_of(q, 'log:' .. n), key_of(q, 'metrics:' .. n),
             key_of(q, 'checkpoints:' .. n), key_of(q, 'history:' .. n))
        call('HINCRBY', q.meta_key, 'next', 1)
        call('SET', key_of(q, 'spec:' .. n), spec_text)
        job_set(j, 'uid', redis.sha1hex(q.base .. n .. ':' .. table.concat(q.time, '.') .. ':' .. spec_text):sub(1, 16))
        job_set(j, 'name', values.name)
        job_set(j, 'experiment', values.experiment)
        job_set(j, 'actor', options.actor)
        job_set(j, 'attempt', 0)
        job_set(j, 'lease_ms', values.lease)
        job_set(j, 'submitted_ms', q.now)
        class_put(q, class, requirement)
        q.batch.active = q.batch.active + 1
        if options.delay_ms and options.delay_ms > 0 then
            job_wait(q, j, 'submit-later', q.now + options.delay_ms, 'delay')
        else
            job_queue(q, j, 'submit', '-')
        end
        return j
    end

    local function earlier(q, key, hash)
        local known = call('GET', key_of(q, 'key:' .. key))
        if not known then
            return nil
        end
        local n, known_hash = known:match('^(%d+) (%x+)$')
        if known_hash ~= hash then
            fail('CONFLICT', 'the idempotency key %s was used for another spec: job %s | use a new key', quoted(key),
                 n and job_id(q, n) or 'unknown')
        end
        return job_id(q, n)
    end

    local function want_spec(q, text)
        local values = spec_read(text)
        if values.queue and values.queue ~= q.name then
            fail('INVALID', 'queue: the spec says %s, but it was submitted to queue %s', values.queue, q.name)
        end
        return values
    end

    local function submit(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local spec_text, key, actor = args[1] or '', optional(args[2]), want_actor(args[3])
        local hash
        if key then
            want_match(key, 'idempotency key', '^[!-~]+$', 128, '1 to 128 printable ASCII characters without space')
            hash = redis.sha1hex(spec_text)
            local id = earlier(q, key, hash)
            if id then
                return id
            end
        end
        local values = want_spec(q, spec_text)
        local j = submit_job(q, spec_text, values, {actor = actor, delay_ms = values.delay})
        if key then
            call('SET', key_of(q, 'key:' .. key), j.n .. ' ' .. hash, 'PX', integer_text(q.meta.key_ttl_ms))
        end
        event_say(q, j, 'job.submitted', 'state', j.f.state, 'actor', actor)
        job_save(q, j)
        queue_flush(q)
        return job_id(q, j.n)
    end

    register('submit', submit)
end
