-- stoker_finish (<n> <uid> <token> <cause> <detail JSON>)…: attempts ended. Each is judged for itself.
do
    local CAUSES = {succeeded = true, error = true, permanent = true, lost = true, corrupted = true, preempted = true,
                    timeout = true, stalled = true, cancelled = true}

    local function want_detail(text)
        text = optional(text) or '{}'
        local detail = want_object(text, 'detail', 65536)
        for _, name in ipairs({'exit', 'signal', 'onset'}) do
            local value = detail[name]
            if value == cjson.null then
                detail[name] = nil
            elseif value ~= nil and (type(value) ~= 'number' or value ~= math.floor(value)) then
                fail('INVALID', 'detail.%s: expected an integer, got %s', name, quoted(value))
            end
        end
        if detail.error == cjson.null or detail.error == '' then
            detail.error = nil
        elseif detail.error ~= nil and type(detail.error) ~= 'string' then
            fail('INVALID', 'detail.error: expected a text, got %s', quoted(detail.error))
        end
        return detail
    end

    local function want_reports(q, args)
        local reports, jobs = {}, {}
        if #args == 0 or #args % 5 ~= 0 or #args > 5 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected 1 to %d times <n> <uid> <token> <cause> <detail>, got %d arguments',
                 MAX_JOBS_A_CALL, #args)
        end
        for i = 1, #args, 5 do
            local n, cause = want_fence(args, i), args[i + 3]
            if not CAUSES[cause] then
                fail('INVALID', 'cause: expected one of those in docs/protocol.md, got %s', quoted(cause))
            end
            jobs[n] = jobs[n] or job_find(q, n)
            if jobs[n] and jobs[n].f.class then
                attempt_expect_types(q, jobs[n], cause)
            end
            reports[#reports + 1] = {n = n, j = jobs[n], uid = args[i + 1], token = args[i + 2], cause = cause,
                                     detail = want_detail(args[i + 4])}
        end
        return reports
    end

    local function finish_one(q, report)
        local j = report.j
        local reason = job_fence_reason(q, j, report.n, report.uid, report.token)
        if reason then
            return {'stale', reason}
        elseif j.f.finished then
            return {'ok', j.f.finished} -- sent again
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

    local function finish(keys, args)
        local q = queue_open(keys)
        local reports = want_reports(q, args)
        expect_queue_types(q)
        for state in pairs({succeeded = 1, failed = 1, cancelled = 1}) do
            expect_type(q, 'zset', 'jobs:' .. state)
        end
        local answers = {}
        for i, report in ipairs(reports) do
            answers[i] = finish_one(q, report)
        end
        queue_flush(q)
        return answers
    end

    register('finish', finish, 'allow-oom')
end
