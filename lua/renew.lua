-- stoker_renew <n> <uid> <token> [field value]…: lengthens the lease and answers what is asked of the runner.
do
    local LINEAGE_MAX_BYTES = 16384
    local LINEAGE_ATTEMPTS = 10 -- the newest of them are kept
    local PHASES = {restoring = true, running = true, stopping = true, shipping = true}

    local function want_fields(args)
        local fields = {}
        for i = 4, #args, 2 do
            local name, value = args[i], args[i + 1] or ''
            if name == 'phase' then
                if not PHASES[value] then
                    fail('INVALID', 'phase: expected restoring, running, stopping or shipping, got %s', quoted(value))
                end
                fields.phase = value
            elseif name == 'step' or name == 'total' then
                fields[name] = want_integer(value, name, 0, LARGEST)
            elseif name == 'pace' then
                fields.pace = want_match(value, 'pace', '^%d+%.?%d*$', 32, 'milliseconds a step as a decimal number')
            elseif name == 'resumed' then
                fields.resumed = want_match(value, 'resumed', '^[%w-]+$', 40, 'a checkpoint id or cold')
            elseif name == 'spent' then
                fields.spent = spent.want(value)
            elseif name == 'lineage' then
                want_object(value, 'lineage', LINEAGE_MAX_BYTES)
                fields.lineage = value
            else
                fail('INVALID', '%s: expected phase, step, total, pace, resumed, spent or lineage', quoted(name))
            end
        end
        return fields
    end

    -- What the runner really started from, said once an attempt.
    local function note_resumed(q, j, resumed)
        if not resumed or j.f.resumed == j.f.attempt then
            return
        end
        job_set(j, 'resumed', j.f.attempt)
        if j.f.attempt ~= '1' or resumed ~= 'cold' then
            event_note(q, j, 'recovery.resumed', 'checkpoint', resumed, 'step', j.f.recover_step, 'worker', j.f.worker)
        end
    end

    -- What the attempt found on its machine. The field says that there is some.
    local function note_lineage(q, j, lineage)
        if not lineage then
            return
        end
        local key = key_of(q, 'lineage:' .. j.n)
        call('HSET', key, j.f.attempt, lineage)
        call('HDEL', key, integer_text(tonumber(j.f.attempt) - LINEAGE_ATTEMPTS))
        job_set(j, 'lineage', j.f.attempt)
    end

    local function renew(keys, args)
        local q = queue_open(keys)
        local fields = want_fields(args)
        expect_queue_types(q)
        local j = attempt_fenced(q, args)
        if fields.lineage then
            expect_type(q, 'hash', 'lineage:' .. j.n)
        end
        attempt_revive(q, j)
        job_set(j, 'renewed_ms', q.now)
        job_set(j, 'phase', fields.phase or j.f.phase)
        if fields.phase == 'running' and not j.f.started_ms then
            job_set(j, 'started_ms', q.now)
        end
        note_resumed(q, j, fields.resumed)
        note_lineage(q, j, fields.lineage)
        recovery_progress(q, j, fields.step)
        if fields.step then
            job_set(j, 'step', fields.step)
        end
        job_set(j, 'total', fields.total or j.f.total)
        job_set(j, 'pace', fields.pace or j.f.pace)
        job_set(j, 'spent', fields.spent or j.f.spent)
        share.renew(q, j)
        append(q.batch.leases, integer_text(q.now + job_number(j, 'lease_ms')), j.n)
        lane_claim(q, j)
        job_save(q, j)
        queue_flush(q)
        return {j.f.stop or 'ok', j.f.stop_reason or ''}
    end

    register('renew', renew, 'allow-oom')
end
