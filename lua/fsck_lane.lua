-- Ready lanes: queued ⇔ exactly one entry, not pending, that the job knows; running ⇔ it is pending for its worker.
do
    local function parse(id)
        local ms, seq = id:match('^(%d+)%-(%d+)$')
        return tonumber(ms), tonumber(seq)
    end

    local function is_up_to(id, last)
        local a_ms, a_seq = parse(id)
        local b_ms, b_seq = parse(last)
        return a_ms < b_ms or (a_ms == b_ms and a_seq <= b_seq)
    end

    -- The last delivered id of the group `workers`; nil when the lane has not exactly this group.
    local function delivered_of(q, lane)
        local groups = call('XINFO', 'GROUPS', key_of(q, 'ready:' .. lane))
        if #groups ~= 1 then
            return nil
        end
        local group = pairs_table(groups[1])
        return group.name == 'workers' and group['last-delivered-id'] or nil
    end

    local function consumer_of(q, lane, id)
        local pending = fsck.ask(q, 'XPENDING', 'ready:' .. lane, 'workers', id, id, 1)
        return pending and pending[1] and pending[1][2]
    end

    local function entry_read(q, lane, id)
        local found = fsck.ask(q, 'XRANGE', 'ready:' .. lane, id, id)
        return found and found[1] and pairs_table(found[1][2])
    end

    -- ---------------------------------------------------------------- what a job knows

    local function has_place(j)
        return j.f.lane and (j.f.entry or ''):find('^%d+%-%d+$')
    end

    -- Before anything is written: where it leaves must be a lane.
    local function expect_place(q, j)
        if has_place(j) then
            expect_type(q, 'stream', 'ready:' .. j.f.lane)
        end
    end

    -- To the end of its lane, under a new entry; what was preempted or lost stays in front.
    local function queue_again(q, j)
        return function()
            local special = (j.f.lane or ''):match(':(!front)$') or (j.f.lane or ''):match(':(!not@.+)$') or
                (j.f.reason and '!front')
            expect_can_queue(q, j)
            expect_place(q, j)
            if has_place(j) then
                lane_drop(q, j)
                q.batch.away[j.n] = nil
            end
            job_renew_class(q, j)
            lane_push(q, j, special or nil)
            job_save(q, j)
        end
    end

    -- It runs on, under an entry that is pending for its worker.
    local function hold_again(q, j)
        return function()
            expect_type(q, 'stream', 'ready:' .. lane_name(j, '!held'))
            expect_place(q, j)
            if has_place(j) then
                lane_drop(q, j)
            end
            lane_hold(q, j, j.f.worker)
            job_save(q, j)
        end
    end

    local function queued(q, at, j, consumer, delivered)
        local id = job_id(q, j.n)
        if consumer then
            fsck.found(at, 'queued-pending', queue_again(q, j), 'queued job %s is pending for %s', id, consumer)
        elseif delivered and is_up_to(j.f.entry, delivered) then
            fsck.found(at, 'queued-passed', queue_again(q, j), 'queued job %s was delivered, and is pending for nobody',
                       id)
        elseif j.f.lane:find(':!held$') or j.f.lane:find(':!given$') then
            fsck.found(at, 'queued-unread', queue_again(q, j), 'queued job %s is in %s, where nobody reads', id,
                       j.f.lane)
        elseif j.f.lane:find(':!not@', 1, true) and j.f.lane:match(':!not@(.*)$') ~= j.f.worker then
            fsck.found(at, 'queued-elsewhere', nil, 'queued job %s of worker %s waits in lane %s', id,
                       j.f.worker or 'none', j.f.lane)
        end
    end

    local function delivery(q, at, j)
        local is_running = j.f.state == 'running'
        if not is_running and j.f.state ~= 'queued' or is_running and not j.f.worker then
            return
        end
        if j.f.lane and not fsck.type_holds(q, at, 'ready:' .. j.f.lane, 'stream') then
            return
        end
        local mend = is_running and hold_again(q, j) or queue_again(q, j)
        local entry = has_place(j) and entry_read(q, j.f.lane, j.f.entry)
        if not entry or entry.n ~= j.n then
            fsck.found(at, 'entry-lost', mend, '%s job %s knows the entry %s of lane %s, which is not there', j.f.state,
                       job_id(q, j.n), j.f.entry or 'none', j.f.lane or 'none')
            return
        end
        local consumer = consumer_of(q, j.f.lane, j.f.entry)
        if not is_running then
            queued(q, at, j, consumer, delivered_of(q, j.f.lane))
        elseif consumer ~= j.f.worker then
            fsck.found(at, 'running-pending', mend, 'running job %s of %s is pending for %s', job_id(q, j.n),
                       j.f.worker, consumer or 'nobody')
        end
    end
    fsck.rule(delivery)

    -- ---------------------------------------------------------------- what a lane has

    -- Entries that no job knows, and pending ones whose entry is gone.
    function fsck.steps.entry(q, at, lane, id)
        local entry, consumer = entry_read(q, lane, id), consumer_of(q, lane, id)
        local j = entry and fsck.job_fields(q, entry.n or '', 'lane', 'entry')
        local function drop()
            q.batch.ack[lane] = {id}
        end
        if not entry and consumer then
            fsck.found(at, 'pending-deleted', drop, '%s of lane %s is pending for %s but deleted', id, lane, consumer)
        elseif entry and not (j and (j.state == 'queued' or j.state == 'running') and j.lane == lane and
                              j.entry == id) then
            fsck.found(at, 'entry-stray', drop, '%s of lane %s is of job %s, which does not know it', id, lane,
                       entry.n or 'none')
        end
        return {}
    end

    local function class_of_lane(lane)
        return lane:match('^[^:]+')
    end

    -- The labels of a class are those of its jobs' specs.
    local function make_class(q, lane)
        return function()
            local first = call('XRANGE', key_of(q, 'ready:' .. lane), '-', '+', 'COUNT', 1)[1]
            local ok, values = pcall(spec_of_job, q, pairs_table(first[2]).n or '')
            class_put(q, class_of_lane(lane), class_needs(class_of_lane(lane), ok and values['resources.labels'] or {}))
        end
    end

    -- A lane with something undelivered is in `lanes`, and its class in `classes`.
    local function lane_is_listed(q, at, lane, delivered)
        local head = call('XRANGE', key_of(q, 'ready:' .. lane), '(' .. delivered, '+', 'COUNT', 1)[1]
        local is_read = not lane:find(':!held$') and not lane:find(':!given$')
        if head and is_read and not fsck.score(q, 'lanes', lane) then
            fsck.found(at, 'lane-unlisted', function()
                call('ZADD', key_of(q, 'lanes'), lane_score(lane, head[1]), lane)
                q.batch.bells[class_of_lane(lane)] = true
            end, 'lane %s has undelivered entries and is not in lanes', lane)
        end
        if head and call('HEXISTS', key_of(q, 'classes'), class_of_lane(lane)) == 0 then
            fsck.found(at, 'class-missing', make_class(q, lane), 'lane %s has work and its class is not in classes',
                       lane)
        end
    end

    -- The group alone. Everything was delivered up to its end: what is queued there is found by its jobs then, and
    -- queued again.
    local function make_group(q, lane)
        return function()
            local key, has_ours = key_of(q, 'ready:' .. lane), false
            for _, group in ipairs(call('XINFO', 'GROUPS', key)) do
                local name = pairs_table(group).name
                if name == 'workers' then
                    has_ours = true
                else
                    call('XGROUP', 'DESTROY', key, name)
                end
            end
            if not has_ours then
                call('XGROUP', 'CREATE', key, 'workers', '$')
            end
        end
    end

    function fsck.steps.lane(q, at, lane)
        local is = fsck.type_of(q, 'ready:' .. lane)
        if is == 'none' then
            if fsck.score(q, 'lanes', lane) then
                fsck.found(at, 'lane-gone', fsck.out_of(q, 'lanes', lane), 'lanes has %s, which has no stream', lane)
            end
            return {}
        elseif not fsck.type_holds(q, at, 'ready:' .. lane, 'stream') then
            return {}
        elseif not lane:find('^[^:]+:%d:[^:]+$') then
            fsck.found(at, 'key-unknown', nil, 'ready:%s is no lane', lane)
            return {}
        end
        local delivered = delivered_of(q, lane)
        if not delivered then
            fsck.found(at, 'lane-group', make_group(q, lane), 'lane %s has not just the group workers', lane)
            return {}
        elseif call('XLEN', key_of(q, 'ready:' .. lane)) == 0 then
            fsck.found(at, 'lane-empty', function()
                call('DEL', key_of(q, 'ready:' .. lane))
                call('ZREM', key_of(q, 'lanes'), lane)
            end, 'lane %s is empty and still there', lane)
        end
        lane_is_listed(q, at, lane, delivered)
        return {'entries ' .. lane .. ' -', 'pending ' .. lane .. ' -'}
    end

    local function walk(q, at, lane, list, step)
        for _, one in ipairs(list or {}) do
            fsck.take(q, at, 'entry', lane, one[1])
        end
        at.left = at.left - #(list or {}) / 4
        return list and #list == fsck.MEMBERS and {step .. ' ' .. lane .. ' (' .. list[#list][1]} or {}
    end

    function fsck.steps.entries(q, at, lane, from)
        return walk(q, at, lane, fsck.ask(q, 'XRANGE', 'ready:' .. lane, from, '+', 'COUNT', fsck.MEMBERS), 'entries')
    end

    function fsck.steps.pending(q, at, lane, from)
        return walk(q, at, lane, fsck.ask(q, 'XPENDING', 'ready:' .. lane, 'workers', from, '+', fsck.MEMBERS),
                    'pending')
    end
end
