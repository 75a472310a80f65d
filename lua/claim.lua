-- stoker_claim <worker> <free JSON> <max> <request>: walks the ready lanes in order, takes what fits and begins an
-- attempt of each. One round trip, no gap between claim and lease.
do
    local LANES_A_PAGE = 64
    local RING_AHEAD = 8            -- lanes behind the last that was taken from, whose doorbells it rings
    local RING_AGAIN_MS = 1000
    local RESERVE_AFTER_MS = 600000 -- a job that waits so long for a machine that could run it gets one emptied
    local RESERVED_MS = 30000       -- as long as that worker goes on asking
    local RUNNING = STATE_MOVES['queued claim']
    local META = {'queue', 'installation', 'paused', 'max_running', 'lease_min_ms', 'lease_max_ms',
                  'preempt'}

    local function want_amounts(amounts, path)
        for _, what in ipairs({'cpus', 'gpus', 'memory'}) do
            local value = amounts[what] or 0
            if type(value) ~= 'number' or value ~= value then
                fail('INVALID', '%s.%s: expected a number, got %s', path, what, quoted(value))
            end
            amounts[what] = value
        end
    end

    local function want_free(text)
        local free = want_object(text, 'free', 65536)
        want_amounts(free, 'free')
        if free.total ~= nil and type(free.total) ~= 'table' then
            fail('INVALID', 'free.total: expected an object, got %s', quoted(free.total))
        elseif free.total then
            want_amounts(free.total, 'free.total')
        end
        if free.labels ~= nil and type(free.labels) ~= 'table' then
            fail('INVALID', 'free.labels: expected an object, got %s', quoted(free.labels))
        end
        if free.given ~= nil and type(free.given) ~= 'table' then
            fail('INVALID', 'free.given: expected a list, got %s', quoted(free.given))
        end
        free.labels, free.given = free.labels or {}, free.given or {}
        local ok, labels_json = pcall(cjson.encode, free.labels) -- no number that JSON has no word for
        if not ok then
            fail('INVALID', 'free.labels: expected texts, finite numbers, true or false')
        end
        free.labels_json = next(free.labels) and labels_json or '{}'
        if free.total then
            free.total.labels = free.labels
        end
        return free
    end

    local NO_NEEDS = {'0', '0', '0'}

    -- The needs of a class as texts.
    local function needs_of(q, class)
        local requirement = class_get(q, class)
        return requirement and requirement.texts or NO_NEEDS
    end

    -- The answer for one that has a past, or parents.
    local function describe_whole(q, j, spec, summary, age_ms)
        local answer = offers.describe(q, j.n, j.f, needs_of(q, j.f.class), spec)
        if j.f.log_next or j.f.metric_next then -- a runner was there already, but did not live to renew
            append(answer, 'log_next', j.f.log_next or '1', 'metric_next', j.f.metric_next or '1')
        end
        if j.f.scheduled_ms then
            append(answer, 'scheduled_ms', j.f.scheduled_ms)
        end
        if j.f.corrupted then
            append(answer, 'corrupted', j.f.corrupted)
        end
        if summary then
            append(answer, 'resume', j.f.resume, 'checkpoint', summary)
        end
        if j.f.parents then
            append(answer, 'parents', depend.parents_json(q, j.n, true))
        end
        if age_ms then
            append(answer, 'age_ms', integer_text(age_ms))
        end
        return answer
    end

    local function describe_all(q, claims)
        local keys, answers = {}, {}
        for i = 1, #claims do
            keys[i] = key_of(q, 'spec:', claims[i].n)
        end
        local specs = keys[1] and call('MGET', unpack(keys))
        for i = 1, #claims do
            local one = claims[i]
            answers[i] = one.j and describe_whole(q, one.j, specs[i], one.summary, one.age_ms) or
                offers.describe(q, one.n, one, needs_of(q, one.class), specs[i])
        end
        return answers
    end

    -- What of "<n>:<token> …" still holds. Where a runner renewed the lease already there is nothing to start: should
    -- two machines use one worker id by mistake, the second must not begin it as well.
    -- Those that run, started or not, take of what is free, if that is given.
    local function still_held(q, worker, answer, free)
        local claims = {}
        for n, token in answer:gmatch('(%d+):(%d+)') do
            local j = job_find(q, n)
            local holds = j and j.f.state == 'running' and j.f.token == token and j.f.worker == worker
            local requirement = holds and free and class_get(q, j.f.class)
            if requirement then
                class_take(requirement, free, 1)
            end
            if holds and not j.f.renewed_ms then
                local summary = j.f.resume and call('HGET', key_of(q, 'checkpoints:' .. n), j.f.resume)
                claims[#claims + 1] = {n = n, token = token, j = j, summary = summary or nil,
                                       age_ms = math.max(q.now - job_number(j, 'claimed_ms'), 1)}
            end
        end
        return claims
    end

    -- What was handed over since the last request, and did not reach the worker.
    local function missed(q, worker, free, given)
        local known = {}
        for i = 1, #free.given do
            known[free.given[i]] = true
        end
        given = given:gsub('%S+', function(one) return known[one] and '' end)
        return still_held(q, worker, given, free)
    end

    local function begin_attempt(q, j, worker)
        lane_forget_elsewhere(q, j)
        job_move(j, 'claim')
        job_set(j, 'attempt', job_number(j, 'attempt') + 1)
        job_set(j, 'token', math.max(job_number(j, 'token') + 1, q.now))
        job_set(j, 'worker', worker)
        job_set(j, 'claimed_ms', q.now)
        job_clear(j, 'reason', 'started_ms', 'renewed_ms', 'log_next', 'metric_next', 'finished', 'pace')
        if j.f.unique_until then
            unique.leave(q, j)
            job_clear(j, 'unique', 'unique_until')
        end
        if j.f.tenant then
            share.prepay(q, j, class_get(q, j.f.class))
        end
        event_say(q, j, 'job.claimed', 'state', 'running', 'worker', worker)
        local summary = recovery_select(q, j)
        job_save(q, j)
        return summary
    end

    -- The claim of the queued job of a delivered entry; nil for an entry that no job knows, which goes. Whatever a
    -- stranger has put in the place of a job, this cannot fail. Of a first attempt with nothing special, which most
    -- are, little is read and written: {n =, and the fields that its answer needs}. Else {n =, j =}, not begun yet.
    local function claim_entry(q, lane, class, is_common, worker, id, n)
        local key = n and key_of(q, 'job:', n)
        local known = n and redis.pcall('HMGET', key, 'state', 'uid', 'lease_ms', 'entry', 'special')
        if not known or known.err or known[1] ~= 'queued' or known[4] ~= id then
            lane_drop(q, job_of_fields(n, {lane = lane, entry = id}))
            return nil
        elseif known[5] or not is_common then
            return {n = n, j = job_find(q, n)}
        end
        call('HSET', key, 'state', RUNNING, 'attempt', '1', 'token', q.now_text, 'worker', worker, 'claimed_ms',
             q.now_text)
        q.claimed = q.claimed or event_open(q, 'job.claimed', 'state', RUNNING, 'worker', worker)
        event_join(q, q.claimed, n, '1')
        return {n = n, uid = known[2], attempt = '1', token = q.now_text, lease_ms = known[3], class = class}
    end

    -- Claims up to `count` of one lane. Answers whether work is left there.
    local function claim_lane(q, lane, worker, count, claims)
        local last
        local class, is_common = lane:match('^[^:]+'), share.is_common(lane)
        local expiries = q.known.expiries
        local entries = lane_take(q, lane, worker, count)
        for i = 1, #entries do
            local id, fields = entries[i][1], entries[i][2]
            local one = claim_entry(q, lane, class, is_common, worker, id, fields[1] == 'n' and fields[2] or nil)
            last = id
            if one then
                if one.j then
                    one.summary = begin_attempt(q, one.j, worker)
                    one.token, one.lease_ms = one.j.f.token, one.j.f.lease_ms
                end
                local leases, lease_ms = q.batch.leases, one.lease_ms or '0'
                expiries[lease_ms] = expiries[lease_ms] or integer_text(q.now + (tonumber(lease_ms) or 0))
                leases[#leases + 1] = expiries[lease_ms]
                leases[#leases + 1] = one.n
                claims[#claims + 1] = one
            end
        end
        return lane_settle(q, lane, last)
    end

    -- One walk: what is free, what was taken. `left` gets the classes where work is left, `misfit` those that did not
    -- fit from the start.
    local function walk_new(worker, free, most, claims)
        return {worker = worker, not_here = ':!not@' .. worker, free = free, most = most, claims = claims or {},
                left = {}, misfit = {}, removed = 0, passed = 0,
                all = {cpus = free.cpus, gpus = free.gpus, memory = free.memory, labels = free.labels}}
    end

    -- The foremost job that this machine could run if it were empty has waited too long: then it is emptied for it, and
    -- nothing behind that job is taken here. One machine a lane: the others go on.
    local function walk_reserve(q, w, lane, requirement)
        local may_be_kept = q.meta.preempt == 1 -- for this lane: lua/preempt.lua
        if (w.has_reserved and not may_be_kept) or not w.free.total or not requirement or
            class_fits(requirement, w.free.total, 1) == 0 then
            return
        end
        local head_ms = call('ZSCORE', key_of(q, 'lanes'), lane) % LANE_RANK_STEP
        local is_old = not w.has_reserved and q.now - head_ms >= RESERVE_AFTER_MS
        w.has_reserved = true
        if not is_old and not may_be_kept then
            return
        end
        local key = key_of(q, 'reserved:' .. lane)
        local holder = redis.pcall('GET', key)
        if holder == w.worker or (is_old and not holder) then
            redis.pcall('SET', key, w.worker, 'PX', RESERVED_MS)
            w.most = #w.claims
        end
    end

    -- Nothing of this lane can be taken any more: what fits was. However many lanes there are, a claim looks into few.
    local function walk_is_over(w, lane)
        return #w.claims >= w.most or (w.free.cpus < 1 and #w.claims > 0 and not lane:find('^cpu0[:-]'))
    end

    -- Others are to be rung for what it passes by, but not for all of it: who takes the next ring rings on further.
    local function walk_has_passed(w)
        return #w.claims >= w.most and w.passed >= RING_AHEAD
    end

    -- Takes up to `most` from a lane. Answers how many, and whether work is left there.
    local function walk_lane(q, w, lane, most)
        local class = lane:match('^[^:]+')
        if lane:sub(-#w.not_here) == w.not_here then
            w.misfit[class] = true -- others are to be rung for
            return 0, true
        elseif walk_is_over(w, lane) then
            w.passed = w.passed + 1
            w.left[class] = w.left[class] or w.passed <= RING_AHEAD or nil
            return 0, true
        end
        local requirement = class_get(q, class)
        local room = requirement and class_fits(requirement, w.free, math.min(most, w.most - #w.claims)) or 0
        if room > 0 then
            local before = #w.claims
            local has_more = claim_lane(q, lane, w.worker, room, w.claims)
            if has_more then
                w.left[class] = true
            else
                w.removed = w.removed + 1
            end
            class_take(requirement, w.free, #w.claims - before)
            return #w.claims - before, has_more
        elseif requirement and class_fits(requirement, w.all, 1) > 0 then
            w.left[class] = true
        else
            w.misfit[class] = true
            walk_reserve(q, w, lane, requirement)
        end
        return 0, true
    end

    -- Lanes of several tenants in one priority: job by job from the one whose turn it is.
    local function walk_tenants(q, w, lanes)
        local tenants, open = {}, {}
        local scores = call('ZMSCORE', key_of(q, 'lanes'), unpack(lanes))
        for i, lane in ipairs(lanes) do
            local tenant = lane:match('[^:]+$')
            tenants[tenant] = true
            open[i] = {lane = lane, tenant = tenant, head_ms = (tonumber(scores[i]) or 0) % LANE_RANK_STEP}
        end
        share.load(q, tenants)
        while open[1] and not walk_has_passed(w) do
            local i = share.pick(q, open)
            local taken, has_more = walk_lane(q, w, open[i].lane, 1)
            if taken == 1 and has_more then
                open[i].head_ms = call('ZSCORE', key_of(q, 'lanes'), open[i].lane) % LANE_RANK_STEP
            else
                table.remove(open, i)
            end
        end
    end

    -- The lanes from `first` on that stand in one priority with it.
    local function walk_group(lanes, first)
        local group, rank = {}, lanes[first]:match(':(%d:!?)')
        local i = first
        while lanes[i] and lanes[i]:match(':(%d:!?)') == rank do
            group[#group + 1] = lanes[i]
            i = i + 1
        end
        return group
    end

    -- No tenant is called '-' or '!…'; one search is faster than one a lane.
    local function has_tenants(lanes)
        return table.concat(lanes, ' '):find(':%d:%w') ~= nil
    end

    local function walk_page(q, w, lanes)
        local i, is_shared = 1, has_tenants(lanes)
        while lanes[i] and not walk_has_passed(w) do
            local group = is_shared and walk_group(lanes, i) or lanes
            if #group > 1 and is_shared and has_tenants(group) then
                walk_tenants(q, w, group)
            else
                local k = 1
                while group[k] and not walk_has_passed(w) do
                    walk_lane(q, w, group[k], w.most)
                    k = k + 1
                end
            end
            i = i + #group
        end
    end

    local function walk(q, w)
        local offset = 0
        repeat
            local from = offset - w.removed
            local lanes = call('ZRANGE', key_of(q, 'lanes'), from, from + LANES_A_PAGE - 1)
            walk_page(q, w, lanes)
            offset = offset + LANES_A_PAGE
        until #lanes < LANES_A_PAGE or walk_has_passed(w)
    end

    -- Whoever took the doorbell's member must ring on while work is left: always after taking some (each ring then
    -- stands for progress), and at most once a second when nothing of a class fits, so that a worker that keeps
    -- listening to what it cannot run does not spin, and the bell is not lost for others either.
    local function ring_on(q, key, rang_ms, claims, left, misfit)
        if #claims > 0 then
            for class in pairs(left) do
                q.batch.bells[class] = true
            end
        end
        if next(misfit) and q.now - (tonumber(rang_ms) or 0) >= RING_AGAIN_MS then
            call('HSET', key, 'rang_ms', integer_text(q.now))
            call('EXPIRE', key, WORKER.kept_s, 'NX')
            for class in pairs(misfit) do
                q.batch.bells[class] = true
            end
        end
    end

    -- Keeps the request's number and answer.
    local function remember(q, key, request, claims)
        local parts = {}
        for i = 1, #claims do
            parts[i] = claims[i].n .. ':' .. claims[i].token
        end
        call('HSET', key, 'claim_request', integer_text(request), 'claim_answer', table.concat(parts, ' '))
        offers.note_leases(q, q.known.expiries)
    end

    -- What this worker takes anew, behind what it holds already.
    local function take(q, w, key, rang_ms)
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'leases') -- `lanes` is read first
        walk(q, w)
        ring_on(q, key, rang_ms, w.claims, w.left, w.misfit)
    end

    -- How many it may take, at most `most`.
    local function bounded(q, most)
        if q.meta.paused == 'paused' then
            return 0
        elseif q.meta.max_running > 0 then -- then whoever ends rings for the next
            return math.min(most, q.meta.max_running - call('ZCARD', key_of(q, 'leases')))
        end
        return most
    end

    local function claim(keys, args)
        no_more_arguments(args, 5)
        local q = queue_open(keys, META)
        local worker = want_worker(args[1])
        local free = want_free(args[2])
        local most = want_integer(args[3], 'max', 0, MAX_JOBS_A_CALL)
        local request = want_integer(args[4], 'request', 1, LARGEST)
        local channel = offers.want_channel(args[5])
        local key = key_of(q, 'worker:' .. worker)
        local known = call('HMGET', key, 'claim_request', 'claim_answer', 'rang_ms', 'offer', 'given')
        local last_request = tonumber(known[1] or 0)
        if request < last_request then
            fail('STALE', 'worker %s: claim request %d is older than the last one, %d', worker, request, last_request)
        elseif request == last_request then
            return describe_all(q, still_held(q, worker, known[2] or ''))
        end
        local w = walk_new(worker, free, bounded(q, most), known[5] and missed(q, worker, free, known[5]))
        if w.most > 0 then
            w.most = w.most + #w.claims
            take(q, w, key, known[3])
        end
        if known[4] or known[5] then
            offers.take_back(q, worker, key)
        end
        local has_offer = channel and #w.claims < w.most and not next(w.left) and
            offers.make(q, worker, key, {channel = channel, request = request, made_ms = q.now, free = w.free})
        if #w.claims > 0 then
            remember(q, key, request, w.claims)
        end
        if not known[1] and (has_offer or #w.claims > 0) then
            call('EXPIRE', key, WORKER.kept_s, 'NX') -- it may never have registered
        end
        queue_flush(q)
        return describe_all(q, w.claims)
    end

    register('claim', claim)
end
