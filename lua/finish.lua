-- stoker_finish (<n> <uid> <token> <cause> <detail JSON>)…: attempts ended. Each is judged for itself.
do
    local CAUSES = {succeeded = true, error = true, permanent = true, lost = true, corrupted = true, preempted = true,
                    timeout = true, stalled = true, cancelled = true}

    local META = {'queue', 'paused', 'active', 'max_running'}
    local EXIT_0 = {exit = 0}
    local SUCCEEDED = STATE_MOVES['running succeed']
    local SUCCEEDED_ANSWER = {'ok', SUCCEEDED} -- one for all
    local RESULT_MAX_BYTES = 65536
    local DETAIL_MAX_BYTES = 65536 + 2 * RESULT_MAX_BYTES -- inside a text a quote takes two bytes

    -- The result is a text with JSON in it: what cjson would write is not what the program wrote.
    local function want_result(detail)
        if detail.result == cjson.null then
            detail.result = nil
        elseif detail.result ~= nil then
            if type(detail.result) ~= 'string' or #detail.result > RESULT_MAX_BYTES then
                fail('INVALID', 'detail.result: expected a text of at most %d bytes with JSON in it', RESULT_MAX_BYTES)
            end
            want_json(detail.result, 'detail.result')
        end
    end

    local function want_detail(text)
        if text == '{"exit":0}' then
            return EXIT_0 -- so most end
        end
        text = optional(text) or '{}'
        local detail = want_object(text, 'detail', DETAIL_MAX_BYTES)
        for _, name in ipairs({'exit', 'signal', 'onset', 'good', 'step', 'total'}) do
            local value = detail[name]
            if value == cjson.null then
                detail[name] = nil
            elseif value ~= nil and (type(value) ~= 'number' or value ~= math.floor(value)) then
                fail('INVALID', 'detail.%s: expected an integer, got %s', name, quoted(value))
            end
        end
        for _, name in ipairs({'error', 'trace'}) do
            local value = detail[name]
            if value == cjson.null or value == '' then
                detail[name] = nil
            elseif value ~= nil and type(value) ~= 'string' then
                fail('INVALID', 'detail.%s: expected a text, got %s', name, quoted(value))
            end
        end
        if detail.cut == cjson.null then
            detail.cut = nil
        elseif detail.cut ~= nil and type(detail.cut) ~= 'boolean' then
            fail('INVALID', 'detail.cut: expected true or false, got %s', quoted(detail.cut))
        end
        if detail.spent == cjson.null then
            detail.spent = nil
        elseif detail.spent ~= nil then
            spent.want(as_text(detail.spent))
        end
        want_result(detail)
        return detail
    end

    -- Most jobs succeed at their first attempt, and nothing was asked of it meanwhile: then there is nothing of a past
    -- to clear, and little needs to be read and written. false: it is not one of those, or not of this token. The type
    -- of its lane is checked.
    local function find_plain(q, n, uid, token)
        local known = redis.pcall('HMGET', key_of(q, 'job:', n), 'state', 'uid', 'lane', 'entry', 'token', 'worker',
                                  'claimed_ms', 'special', 'phase')
        if known.err or known[1] ~= 'running' or known[2] ~= uid or known[5] ~= token or known[8] then
            return false
        end
        local lanes, lane = q.known.lanes, known[3]
        if lanes[lane] == nil then
            expect_type(q, 'stream', 'ready:' .. lane)
            lanes[lane] = share.is_common(lane) -- else it may have a tenant
        end
        return lanes[lane] and known
    end

    -- Its record goes on to say in which lane it was: a field that goes costs one more command.
    local function finish_plain(q, n, known, detail)
        local lane, worker, exit = known[3], known[6], detail.exit or 0
        local ran_ms = math.max(q.now - known[7], 0)
        spent.plain(q, ran_ms)
        call('HSET', key_of(q, 'job:', n), 'state', SUCCEEDED, 'ran_ms', integer_text(ran_ms),
             'ended_ms', q.now_text, 'exit', exit == 0 and '0' or exit)
        if known[9] then
            call('HDEL', key_of(q, 'job:', n), 'phase')
        end
        local ack, final, unlease = q.batch.ack, q.batch.final, q.batch.unlease
        local ids, ended = ack[lane], final[SUCCEEDED]
        if not ids then
            ids = {}
            ack[lane] = ids
        end
        if not ended then
            ended = {}
            final[SUCCEEDED] = ended
        end
        ids[#ids + 1] = known[4]
        ended[#ended + 1] = q.now_text
        ended[#ended + 1] = n
        unlease[#unlease + 1] = n
        q.active = q.active - 1
        local said = q.known.succeeded
        said[worker] = said[worker] or event_open(q, 'job.succeeded', 'state', SUCCEEDED, 'worker', worker)
        event_join(q, said[worker], n, '1')
        return SUCCEEDED_ANSWER
    end

    -- Two reports of one job in one call share its record.
    local function load_job(q, report, before)
        if before and before.plain then
            before.plain, before.j = nil, job_find(q, report.n)
        end
        report.j = before and before.j or job_find(q, report.n)
        if report.j and report.j.f.class then
            attempt_expect_types(q, report.j, report.cause)
        end
    end

    local function want_reports(q, args)
        local reports, report_of = {}, {}
        if #args == 0 or #args % 5 ~= 0 or #args > 5 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected 1 to %d times <n> <uid> <token> <cause> <detail>, got %d arguments',
                 MAX_JOBS_A_CALL, #args)
        end
        for i = 1, #args, 5 do
            local n, uid, token, cause = args[i], args[i + 1], args[i + 2], args[i + 3]
            if not n:find('^[1-9]%d*$') then
                n = want_fence(args, i)
            end
            if not CAUSES[cause] then
                fail('INVALID', 'cause: expected one of those in docs/protocol.md, got %s', quoted(cause))
            end
            local detail = want_detail(args[i + 4])
            local report = {n = n, uid = uid, token = token, cause = cause, detail = detail, plain = false}
            if cause == 'succeeded' and not report_of[n] then
                report.plain = not (detail.signal or detail.result or detail.step or detail.total or detail.spent or
                                    detail.cut) and
                    find_plain(q, n, uid, token)
            end
            if not report.plain then
                if not q.meta.max_jobs then
                    queue_read(q, META_FIELDS) -- of the ends that are not plain some let other jobs go
                end
                want_fence(args, i)
                load_job(q, report, report_of[n])
            end
            report_of[n] = report
            reports[#reports + 1] = report
        end
        return reports
    end

    local function finish_one(q, report)
        if report.plain then
            return finish_plain(q, report.n, report.plain, report.detail)
        end
        local j = report.j
        local reason = job_fence_reason(q, j, report.n, report.uid, report.token)
        if reason then
            return {'stale', reason}
        elseif j.f.finished or j.f.state == SUCCEEDED then
            return {'ok', j.f.finished or SUCCEEDED} -- sent again
        elseif attempt_can_return(j) and report.cause == 'lost' then
            job_set(j, 'finished', j.f.state) -- the reaper was faster: nothing comes back to take it back
            job_save(q, j)
            return {'ok', j.f.state}
        elseif j.f.state ~= 'running' and not attempt_can_return(j) then
            return {'stale', ('job %s is %s: this attempt has ended'):format(job_id(q, j.n), j.f.state)}
        end
        attempt_revive(q, j)
        attempt_end(q, j, report.cause, report.detail, 'worker:' .. j.f.worker)
        job_set(j, 'finished', j.f.state)
        job_save(q, j)
        return {'ok', j.f.state}
    end

    local function expect_written(q, reports)
        local all_plain = true
        for i = 1, #reports do
            all_plain = all_plain and reports[i].plain
        end
        expect_type(q, 'zset', 'jobs:succeeded')
        if all_plain then
            expect_type(q, 'stream', 'events')
            expect_type(q, 'zset', 'lanes')
            expect_type(q, 'zset', 'leases')
            return
        end
        expect_queue_types(q)
        expect_type(q, 'zset', 'jobs:failed')
        expect_type(q, 'zset', 'jobs:cancelled')
    end

    local function finish(keys, args)
        local q = queue_open(keys, META)
        local reports = want_reports(q, args)
        expect_written(q, reports)
        local answers = {}
        for i, report in ipairs(reports) do
            answers[i] = finish_one(q, report)
        end
        queue_flush(q)
        return answers
    end

    register('finish', finish, 'allow-oom')
end
