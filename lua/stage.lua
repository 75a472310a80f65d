-- Graphs that are too large for one call. stoker_stage <stage> <count> <at> <spec>… puts up to a hundred jobs in place,
-- parents before their children, without a state, so that nobody sees them; stoker_commit <stage> [key] [actor] [batch]
-- [then] [webhook] makes all of them visible at once. What is staged and not committed within STAGE_KEPT_S goes by
-- itself.
--
-- `stage:<id>`: first (number), count, have (how many are staged), kinds (a letter each: r has no parents, c has some),
-- name:<name> → number, delay:<n>, abroad:<n> → parents that are no jobs of the stage, done (its commit was answered).
do
    local STAGE_KEPT_S = 3600
    local STAGE_MAX_JOBS = 10000
    local STAGE_MAX_OTHERS = 1000 -- parents that are no jobs of the stage
    local STAGE_CHUNK = 2000      -- members of one ZADD

    local function want_stage(text)
        return want_match(text, 'stage', '^[%w._-]+$', 64, '1 to 64 letters, digits, dots, hyphens, underscores')
    end

    -- Parents of one staged spec: {own = numbers of the stage, others = ids, conditions by id}.
    local function stage_parents(q, key, values, of_name)
        local names, conditions = depend.wanted(values.after)
        local list = {}
        for i, name in ipairs(names) do
            local n = of_name[name] or call('HGET', key, 'name:' .. name) or nil
            if not n and not depend.split(name) then
                fail('INVALID', 'after: %s is no job that stands before it, and no job id', quoted(name))
            elseif not n then
                depend.find(q, name)
            end
            list[i] = {n = n, id = n and job_id(q, n) or name, condition = conditions[name]}
        end
        return list
    end

    local function stage_check_one(q, key, spec_text, n, of_name)
        local values = submitting.read(q, spec_text)
        if values.name and (of_name[values.name] or call('HEXISTS', key, 'name:' .. values.name) == 1) then
            fail('INVALID', 'name: a job before it has the name %s, too', quoted(values.name))
        end
        local parents = stage_parents(q, key, values, of_name)
        if values.name then
            of_name[values.name] = n
        end
        for _, key_path in ipairs({'unique.key', 'rate.key', 'hold'}) do
            if values[key_path] then -- it counts from the submit on, and there is none before the commit
                fail('INVALID', '%s: not in a graph of more than %d jobs', key_path, MAX_JOBS_A_CALL)
            end
        end
        if values.resume ~= 'latest' then
            fail('INVALID', 'resume: not in a graph of more than %d jobs', MAX_JOBS_A_CALL)
        end
        if values.batch then
            fail('INVALID', 'batch: a graph is one batch: name it beside jobs')
        end
        local spared = submitting.check_code(q, values)
        local class, requirement = class_choose(q, values)
        return {n = n, text = spec_text, values = values, spared = spared, parents = parents, class = class,
                requirement = requirement}
    end

    local function stage_check(q, key, first, at, args)
        local jobs, of_name = {}, {}
        for i = 4, #args do
            local place = at + i - 4
            local ok, one = pcall(stage_check_one, q, key, args[i], integer_text(first + place), of_name)
            if not ok then
                if type(one) == 'table' and one.fail then
                    one.fail = one.fail:gsub('^INVALID ', ('INVALID jobs[%d]: '):format(place))
                end
                error(one)
            end
            jobs[#jobs + 1] = one
        end
        return jobs
    end

    -- The ties of one job, inside the stage; answers its fields in the stage.
    local function stage_tie(q, job, kept)
        local pairs_list, others = {}, {}
        for _, parent in ipairs(job.parents) do
            append(pairs_list, parent.id, parent.condition .. ' -')
            if parent.n then
                local key = key_of(q, 'children:' .. parent.n)
                call('ZADD', key, job.n, job.n)
                call('EXPIRE', key, STAGE_KEPT_S)
                local links = call('HGET', key_of(q, 'job:' .. parent.n), 'links') or ''
                if not links:find('c', 1, true) then
                    call('HSET', key_of(q, 'job:' .. parent.n), 'links', links .. 'c', 'special', '1')
                end
            else
                others[#others + 1] = parent.id
            end
        end
        if pairs_list[1] then
            local key = key_of(q, 'parents:' .. job.n)
            call('HSET', key, unpack(pairs_list))
            call('EXPIRE', key, STAGE_KEPT_S)
        end
        if others[1] then
            append(kept, 'abroad:' .. job.n, table.concat(others, ' '))
        end
        if job.values.delay > 0 then
            append(kept, 'delay:' .. job.n, integer_text(job.values.delay))
        end
        if job.values.name then
            append(kept, 'name:' .. job.values.name, job.n)
        end
        return #others
    end

    local function stage_write_one(q, job, kept)
        local values, key = job.values, key_of(q, 'job:' .. job.n)
        call('DEL', unpack(job_keys(q, job.n, {})))
        submitting.spare_code(q, job.spared)
        local record = {'uid', submitting.uid(q, tonumber(job.n)), 'class', job.class, 'priority', values.priority,
                        'attempt', '0', 'lease_ms', values.lease}
        if values.name then
            append(record, 'name', values.name)
        end
        submitting.more(q, record, values, job.n)
        if job.parents[1] then
            append(record, 'parents', #job.parents, 'needs', #job.parents)
        end
        append(record, 'links', job.parents[1] and 'pb' or 'b', 'special', '1')
        if values.on_unmet == 'hold' then
            append(record, 'on_unmet', 'hold')
        end
        call('HSET', key, unpack(record))
        call('EXPIRE', key, STAGE_KEPT_S)
        call('SET', key_of(q, 'spec:' .. job.n), job.text, 'EX', STAGE_KEPT_S)
        class_put(q, job.class, job.requirement)
        return stage_tie(q, job, kept)
    end

    local function stage_open(q, id, count)
        local key = key_of(q, 'stage:' .. id)
        local known = call('HMGET', key, 'first', 'count', 'have', 'kinds', 'others', 'done')
        local stage = {id = id, key = key, first = tonumber(known[1]), count = tonumber(known[2]) or count,
                       have = tonumber(known[3]) or 0, kinds = known[4] or '', others = tonumber(known[5]) or 0,
                       done = known[6]}
        if count and stage.count ~= count then
            fail('CONFLICT', 'stage %s was begun for %d jobs, not %d', id, stage.count, count)
        end
        return stage
    end

    local function stage(keys, args)
        local q = queue_open(keys)
        local id = want_stage(args[1])
        local count = want_integer(args[2], 'count', 1, STAGE_MAX_JOBS)
        local at = want_integer(args[3], 'at', 0, count - 1)
        local given = #args - 3
        if given < 1 or given > MAX_JOBS_A_CALL or at + given > count then
            fail('INVALID', 'expected 1 to %d specs, and at most %d in all, got %d from %d', MAX_JOBS_A_CALL, count,
                 given, at)
        end
        expect_queue_types(q)
        if q.meta.paused == 'draining' then
            queue_refuse_new(q)
        end
        local s = stage_open(q, id, count)
        if at + given <= s.have then
            return s.have -- sent again
        elseif at ~= s.have then
            fail('CONFLICT', 'stage %s has %d jobs: number %d is next', id, s.have, s.have)
        end
        local first = s.first or q.meta.next + 1
        local jobs = stage_check(q, s.key, first, at, args)
        local others = s.others
        for _, job in ipairs(jobs) do
            for _, parent in ipairs(job.parents) do
                others = others + (parent.n and 0 or 1)
            end
        end
        if others > STAGE_MAX_OTHERS then
            fail('FULL', 'stage %s waits for more than %d jobs outside of it', id, STAGE_MAX_OTHERS)
        end
        if not s.first then
            call('HINCRBY', q.meta_key, 'next', count)
        end
        local kept, kinds = {}, {s.kinds}
        for i, job in ipairs(jobs) do
            stage_write_one(q, job, kept)
            kinds[i + 1] = job.parents[1] and 'c' or 'r'
        end
        append(kept, 'first', integer_text(first), 'count', count, 'have', at + given, 'kinds', table.concat(kinds),
               'others', others)
        call('HSET', s.key, unpack(kept))
        call('EXPIRE', s.key, STAGE_KEPT_S)
        return at + given
    end

    -- ---------------------------------------------------------------- commit

    -- Parents outside of the stage: {n = number of the child, parent = as of depend.find}.
    local function commit_others(q, s)
        local list = {}
        if s.others == 0 then
            return list
        end
        for field, ids in pairs(pairs_table(call('HGETALL', s.key))) do
            local n = field:match('^abroad:(%d+)$')
            for id in (n and ids or ''):gmatch('%S+') do
                list[#list + 1] = {n = n, parent = depend.find(q, id)}
            end
        end
        table.sort(list, function(a, b)
            return tonumber(a.n) < tonumber(b.n)
        end)
        return list
    end

    local function commit_delays(s)
        local delays = {}
        for field, value in pairs(pairs_table(call('HGETALL', s.key))) do
            local n = field:match('^delay:(%d+)$')
            if n then
                delays[n] = tonumber(value)
            end
        end
        return delays
    end

    -- One job becomes visible. Without parents it is due now, or after its delay: promote queues it.
    local function commit_one(q, n, is_root, delay, actor, batch)
        local key = key_of(q, 'job:' .. n)
        local due_ms = (is_root or delay) and integer_text(math.max(q.now + (delay or 0), is_root and
                                                                    limits.rate(q, {}) or 0))
        local record = {'state', STATE_MOVES['new submit-later'], 'reason', is_root and 'delay' or 'dependency',
                        'submitted_ms', q.now_text, 'batch', batch}
        if due_ms then
            append(record, 'due_ms', due_ms)
        end
        if actor then
            append(record, 'actor', actor)
        end
        call('HSET', key, unpack(record))
        call('PERSIST', key)
        call('PERSIST', key_of(q, 'spec:' .. n))
        call('PERSIST', key_of(q, 'children:' .. n))
        if not is_root then
            call('PERSIST', key_of(q, 'parents:' .. n))
        end
        return is_root and due_ms or '+inf'
    end

    local function commit_all(q, s, delays, actor, batch)
        local chunk, members, said = {}, {}, nil
        batching.make(q, batch, actor)
        call('PERSIST', key_of(q, 'batch:' .. batch))
        for i = 1, s.count do
            local n = integer_text(s.first + i - 1)
            append(chunk, commit_one(q, n, s.kinds:sub(i, i) == 'r', delays[n], actor, batch), n)
            append(members, n, n)
            if #chunk >= 2 * STAGE_CHUNK or i == s.count then
                call('ZADD', key_of(q, 'waiting'), unpack(chunk))
                call('ZADD', key_of(q, 'members:' .. batch), unpack(members))
                chunk, members = {}, {}
            end
            if i % MAX_JOBS_A_CALL == 1 then
                said = event_open(q, 'job.submitted', 'state', 'waiting', 'actor', actor)
            end
            event_join(q, said, n, '0')
        end
        q.active = q.active + s.count
        batching.count(q, batch, 'total', s.count)
        batching.count(q, batch, 'waiting', s.count)
    end

    local function commit_ids(q, s)
        local ids = {}
        for i = 1, s.count do
            ids[i] = job_id(q, integer_text(s.first + i - 1))
        end
        return ids
    end

    -- How many of the staged jobs are still there: a Redis that is out of time may have dropped some already.
    local function commit_check(q, s)
        if s.have < s.count then
            fail('CONFLICT', 'stage %s has %d of its %d jobs', s.id, s.have, s.count)
        elseif q.meta.paused == 'draining' then
            queue_refuse_new(q)
        elseif q.meta.active + s.count > q.meta.max_jobs then
            fail('FULL', 'queue %s has %d unfinished jobs, with %d more it would pass its bound (max_jobs) | wait, ' ..
                 'or raise it: HSET %s max_jobs …', q.name, q.meta.active, s.count, q.meta_key)
        end
        for i = 1, s.count do
            if expect_type(q, 'hash', 'job:' .. integer_text(s.first + i - 1)) == 0 then
                fail('NOTFOUND', 'stage %s has expired | stage it again under another name', s.id)
            end
        end
    end

    local function commit(keys, args)
        no_more_arguments(args, 6)
        local q = queue_open(keys)
        local id, key, actor = want_stage(args[1]), optional(args[2]), want_actor(args[3])
        local batch = optional(args[4]) and batching.want(args[4])
        local following = {job = batching.want_then(q, args[5]),
                           url = batching.want_webhook(q, optional(args[6]) and want_object(args[6], 'webhook', 4096))}
        local hash = key and redis.sha1hex(id)
        expect_queue_types(q)
        if key then
            want_match(key, 'idempotency key', '^[!-~]+$', 128, '1 to 128 printable ASCII characters without space')
            local _, first, count = submitting.earlier(q, key, key, hash)
            if first then
                return commit_ids(q, {first = first, count = count or 1})
            end
        end
        local s = stage_open(q, id)
        if not s.first then
            fail('NOTFOUND', 'there is no stage %s | it expires an hour after its last stoker_stage', id)
        elseif s.done then
            return commit_ids(q, s)
        end
        commit_check(q, s)
        limits.check_new(q, {})
        batch = batch or batching.of_graph(s.first)
        batching.expect_types(q, batch)
        local others, delays, told = commit_others(q, s), commit_delays(s), {}
        expect_type(q, 'zset', 'releases')
        expect_type(q, 'zset', 'jobs:cancelled')
        commit_all(q, s, delays, actor, batch)
        batching.set(q, batch, batching.size_with(q, batch, s.count), following)
        for _, one in ipairs(others) do
            if not one.parent.n then
                call('ZADD', key_of(q, 'outbox'), q.now_text, 'ask ' .. one.parent.id .. ' ' .. one.n)
            elseif STATE_FINAL[one.parent.state] then
                told[#told + 1] = one
            else
                depend.link(q, one.parent.n, one.n)
            end
        end
        for _, one in ipairs(told) do
            depend.tell_ended(q, one.n, {one.parent})
        end
        call('DEL', s.key)
        call('HSET', s.key, 'first', integer_text(s.first), 'count', s.count, 'have', s.count, 'done', '1')
        call('PEXPIRE', s.key, q.meta.key_ttl_ms)
        if key then
            call('SET', key_of(q, 'key:' .. key), ('%.0f %s %d'):format(s.first, hash, s.count), 'PX',
                 q.meta.key_ttl_ms)
        end
        queue_flush(q)
        return commit_ids(q, s)
    end

    register('stage', stage)
    register('commit', commit)
end
