-- stoker_remove <n> [actor]: a job that has ended goes from Redis, with its spec, log, metrics, history and the records
-- of its checkpoints. Objects in the store stay: a retry of it may have been lent them.
do
    local KEYS = {'job:', 'spec:', 'log:', 'metrics:', 'checkpoints:', 'history:', 'parents:', 'children:'}

    local function check(q, j)
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
        local keys = {}
        for i = 1, #KEYS do
            keys[i] = key_of(q, KEYS[i] .. j.n)
        end
        event_say(q, j, 'job.removed', 'state', j.f.state, 'actor', o.actor)
        call('ZREM', final_key(q, j.f.state), j.n)
        if j.f.batch then
            batching.drop_job(q, j.f.batch, j.n)
        end
        call('UNLINK', unpack(keys))
        return 'removed'
    end

    action_add('remove', {check = check, act = act, gone = 'removed', final = {'succeeded', 'failed', 'cancelled'}})

    register('remove', function(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        return action_once(q, 'remove', want_job_number(args[1]), {actor = want_actor(args[2])})
    end, 'allow-oom')
end
