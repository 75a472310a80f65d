-- stoker_graph <{"jobs": [spec, …], "batch": id, "then": spec, "webhook": {"url": …}}> [key] [actor]: jobs that name
-- each other in `after`, all of them or none. They are one batch.
-- queue/graph.c says the same sentences.
do
    local GRAPH_KEYS = {jobs = true, batch = true, ['then'] = true, webhook = true}

    -- Runs a check of one job: what is wrong is said with its place.
    local function graph_at(i, check, ...)
        local ok, answer = pcall(check, ...)
        if ok then
            return answer
        elseif type(answer) == 'table' and answer.fail then
            answer.fail = answer.fail:gsub('^INVALID ', ('INVALID jobs[%d]: '):format(i - 1))
        end
        error(answer)
    end

    local function graph_names(jobs)
        local of_name = {}
        for i = 1, #jobs do
            local name = jobs[i].values.name
            if name and of_name[name] then
                fail('INVALID', 'jobs[%d]: name: jobs[%d] has the name %s, too', i - 1, of_name[name].at - 1,
                     quoted(name))
            elseif name then
                of_name[name] = jobs[i]
            end
        end
        return of_name
    end

    -- Names in `after` that are neither a job of this graph nor an id.
    local function graph_check_names(jobs, of_name)
        local candidates = {}
        for name in pairs(of_name) do
            candidates[#candidates + 1] = name
        end
        table.sort(candidates, bytes_less)
        for i = 1, #jobs do
            for _, name in ipairs((depend.wanted(jobs[i].values.after))) do
                if not of_name[name] and not depend.split(name) then
                    local meant = nearest(name, candidates)
                    fail('INVALID', 'jobs[%d]: after: %s is no job of this graph, and no job id%s', i - 1, quoted(name),
                         meant and ' | did you mean ' .. meant .. '?' or '')
                end
            end
        end
    end

    -- The first circle that is met from a job on, in words; nil: there is none.
    local function graph_circle(jobs, of_name)
        local mark = {} -- 1: on the way, 2: without a circle
        local way = {}
        local function visit(job)
            mark[job], way[#way + 1] = 1, job
            for _, name in ipairs((depend.wanted(job.values.after))) do
                local parent = of_name[name]
                if parent and mark[parent] == 1 then
                    local words, at = {}, #way
                    while way[at] ~= parent do
                        at = at - 1
                    end
                    for k = at, #way do
                        local following = way[k + 1] or parent
                        words[#words + 1] = way[k].values.name .. ' waits for ' .. following.values.name
                    end
                    return table.concat(words, ', ')
                end
                local found = parent and not mark[parent] and visit(parent)
                if found then
                    return found
                end
            end
            mark[job], way[#way] = 2, nil
        end
        for i = 1, #jobs do
            local found = not mark[jobs[i]] and visit(jobs[i])
            if found then
                return found
            end
        end
    end

    local function graph_read(q, text)
        local tree = want_object(text, 'graph', MAX_JOBS_A_CALL * spec_table.max_bytes)
        local members, is_double = batching.members(text)
        for name in pairs(tree) do
            if not GRAPH_KEYS[name] then
                fail('INVALID', '%s: unknown key; known here: jobs, batch, then, webhook', quoted(name))
            end
        end
        if is_double then
            fail('INVALID', 'graph: a name stands twice')
        elseif tree.batch ~= nil then
            batching.want(tree.batch)
        end
        local following = members['then']
        if following and not following:find('^{') then
            fail('INVALID', 'then: expected a spec, got %s', quoted(following))
        end
        following = {job = batching.want_then(q, following), url = batching.want_webhook(q, tree.webhook)}
        local texts = (members.jobs or ''):find('^%[') and batching.items(members.jobs) or {}
        if #texts < 1 or #texts > MAX_JOBS_A_CALL then
            fail('INVALID', 'jobs: expected a list of 1 to %d specs%s', MAX_JOBS_A_CALL,
                 #texts > MAX_JOBS_A_CALL and ' | larger graphs are staged: stoker_stage' or '')
        end
        local jobs = {}
        for i = 1, #texts do
            jobs[i] = {at = i, text = texts[i]}
            jobs[i].values = graph_at(i, submitting.read, q, jobs[i].text)
            if jobs[i].values.batch then
                fail('INVALID', 'jobs[%d]: batch: a graph is one batch: name it beside jobs', i - 1)
            end
        end
        return jobs, tree.batch, following
    end

    -- Everything that may be wrong with the graph; what it counts is counted.
    local function graph_check(q, jobs)
        local of_name, parent_of = graph_names(jobs), {}
        graph_check_names(jobs, of_name)
        local circle = graph_circle(jobs, of_name)
        if circle then
            fail('INVALID', 'jobs: a circle: %s', circle)
        end
        for name, job in pairs(of_name) do
            parent_of[name] = {n = integer_text(q.meta.next + job.at), state = 'waiting'}
        end
        local checked = {}
        for i = 1, #jobs do
            local wanted = graph_at(i, submitting.wanted, q, jobs[i].values, parent_of)
            checked[i] = graph_at(i, submit_check, q, jobs[i].values)
            checked[i].text, checked[i].wanted, checked[i].waits = jobs[i].text, wanted, wanted ~= nil
            if checked[i].rival then
                fail('INVALID', 'jobs[%d]: unique.key: another job of this graph has the key %s, too', i - 1,
                     quoted(jobs[i].values['unique.key']))
            end
        end
        return checked
    end

    local function graph_ids(q, first, count)
        local ids = {}
        for i = 1, count do
            ids[i] = job_id(q, integer_text(first + i - 1))
        end
        return ids
    end

    local function graph(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local text, key, actor = args[1] or '', optional(args[2]), want_actor(args[3])
        local hash = key and redis.sha1hex(text)
        expect_queue_types(q)
        if key then
            want_match(key, 'idempotency key', '^[!-~]+$', 128, '1 to 128 printable ASCII characters without space')
            local _, first, count = submitting.earlier(q, key, key, hash)
            if first then
                return graph_ids(q, first, count or 1)
            end
        end
        local jobs, batch, following = graph_read(q, text)
        local checked = graph_check(q, jobs)
        local first = q.meta.next + 1
        batch = batch or batching.of_graph(first)
        batching.expect_types(q, batch)
        submit_reserve(q, #checked)
        for i = 1, #checked do
            checked[i].batch = batch
            submitting.make(q, checked[i], actor)
        end
        batching.set(q, batch, batching.size_with(q, batch, #checked), following)
        for i = 1, #checked do
            if checked[i].ended then
                depend.tell_ended(q, checked[i].n, checked[i].ended)
            end
        end
        if key then
            call('SET', key_of(q, 'key:' .. key), ('%.0f %s %d'):format(first, hash, #checked), 'PX', q.meta.key_ttl_ms)
        end
        queue_flush(q)
        return graph_ids(q, first, #checked)
    end

    register('graph', graph)
end
