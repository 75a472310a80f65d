-- stoker_remove <n> [actor]: a job that has ended goes from Redis, with its spec, result, log, metrics, history and the
-- records of its checkpoints. Objects in the store stay: a retry of it may have been lent them.
do
    local function check(q, j)
        expect_type(q, 'set', 'webhooks:jobs')
        if not job_is_final(j) then
            fail('CONFLICT', 'job %s is %s: only a job that has ended can be removed | stoker cancel %s',
                 job_id(q, j.n), j.f.state, job_id(q, j.n))
        end
        if redis.pcall('ZCARD', key_of(q, 'children:' .. j.n)) ~= 0 then
            fail('CONFLICT', 'job %s: those that wait for it are being told of its end | try again', job_id(q, j.n))
        end
        return j
    end

    local function act(q, j, o)
        event_say(q, j, 'job.removed', 'state', j.f.state, 'actor', o.actor)
        records.drop(q, j.n, j.f.state, j.f.batch, j.f.lender)
        return 'removed'
    end

    action_add('remove', {check = check, act = act, gone = 'removed', final = {'succeeded', 'failed', 'cancelled'}})

    register('remove', function(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        return action_once(q, 'remove', want_job_number(args[1]), {actor = want_actor(args[2])})
    end, 'allow-oom')
end
