-- stoker_discard <n> [actor] last <k>, or <id>…: checkpoints that somebody wants to be rid of. They are marked, and
-- answered as JSON with what is needed to delete their objects; then stoker_drop forgets them. Asked again, the same is
-- answered until they are forgotten.
do
    -- Why this one has to stay, or nil. freed: for each id, how many that use files of it are about to go.
    local function objection(q, j, c, freed)
        local borrower = checkpoints.borrower(q, c)
        if borrower then
            return borrower .. ' goes on from it'
        elseif checkpoints.is_being_read(j, c) then
            return 'it is being restored'
        elseif c.id == j.f.resume_next then
            return 'the next attempt goes on from it'
        elseif checkpoints.used(c) > (freed[c.id] or 0) then
            return ('%d later ones use files of it | delete those first, or with it'):format(checkpoints.used(c))
        end
    end

    local function refuse(q, j, id, why)
        fail('CONFLICT', 'checkpoint %s of job %s stays: %s', id, job_id(q, j.n), why)
    end

    local function mark(q, j, list, c, actor)
        if c.record.state == 'deleting' then
            return
        end
        checkpoints.let_go(q, j, list, c)
        c.record.state = 'deleting'
        event_note(q, j, 'checkpoint.discarded', 'checkpoint', c.id, 'step', c.record.step, 'actor', actor)
    end

    local function count_freed(list, c, freed)
        for _, other in ipairs(c.record.state ~= 'deleting' and checkpoints.uses(list, c) or {}) do
            freed[other.id] = (freed[other.id] or 0) + 1
        end
    end

    -- Those with these ids; nothing is marked when one of them has to stay.
    local function named(q, j, list, ids)
        local chosen, good, going, freed = {}, checkpoints.committed(list), {}, {}
        for i, id in ipairs(ids) do
            local c = checkpoints.find(list, id)
            if not c then
                fail('NOTFOUND', 'job %s has no checkpoint %s | stoker checkpoints %s', job_id(q, j.n), id,
                     job_id(q, j.n))
            end
            chosen[i] = c
            if not going[c.id] then
                going[c.id] = true
                count_freed(list, c, freed)
            end
        end
        for _, c in ipairs(chosen) do
            local why = c.record.state ~= 'deleting' and objection(q, j, c, freed)
            if why then
                refuse(q, j, c.id, why)
            end
        end
        for i = #good, 1, -1 do
            if not going[good[i].id] then
                return chosen
            end
        end
        if good[1] then
            refuse(q, j, good[#good].id, ('it is the last good one | stoker rm %s, and then stoker gc, take all it has')
                   :format(job_id(q, j.n)))
        end
        return chosen
    end

    -- All but the last k, up to as many as a call may have; what has to stay stays.
    local function all_but(q, j, list, k)
        local good, chosen, freed = checkpoints.committed(list), {}, {}
        local first_kept, is_older = #good > k and good[#good - k + 1], false
        for i = #list, 1, -1 do -- before those whose files they use
            local c = list[i]
            if #chosen < MAX_JOBS_A_CALL and
                (c.record.state == 'deleting' or (is_older and not objection(q, j, c, freed))) then
                table.insert(chosen, 1, c)
                count_freed(list, c, freed)
            end
            is_older = is_older or c == first_kept
        end
        return chosen
    end

    local function answer(q, j, chosen)
        local parts = {}
        for _, c in ipairs(chosen) do
            if c.attempt > 0 then
                append(parts, ('{"id":%s,"summary":%s}'):format(cjson.encode(c.id), cjson.encode(c.record)))
            end
        end
        return ('{"job":%s,"uid":%s,"token":%s,"count":%d,"checkpoints":%s}'):format(
            cjson.encode(job_id(q, j.n)), cjson.encode(j.f.uid), cjson.encode(j.f.token or ''), #chosen,
            json_list(parts))
    end

    local function discard(keys, args)
        local q = queue_open(keys)
        local n, actor, is_last = want_job_number(args[1]), want_actor(args[2]), args[3] == 'last'
        if #args < 3 or #args > 2 + MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <n> <actor>, and last <k> or 1 to %d checkpoint ids', MAX_JOBS_A_CALL)
        end
        local k = is_last and want_integer(args[4], 'last', 1, 1000000)
        for i = 3, is_last and 0 or #args do
            checkpoints.want_id(args[i])
        end
        expect_type(q, 'stream', 'events')
        expect_type(q, 'hash', 'checkpoints:' .. n)
        expect_type(q, 'list', 'history:' .. n)
        local j = job_load(q, n)
        local list = checkpoints.load(q, n)
        local chosen = is_last and all_but(q, j, list, k) or named(q, j, list, {unpack(args, 3)})
        for _, c in ipairs(chosen) do
            mark(q, j, list, c, actor)
        end
        checkpoints.note_newest(j, list)
        job_save(q, j)
        queue_flush(q)
        return answer(q, j, chosen)
    end

    register('discard', discard, 'allow-oom')
end
