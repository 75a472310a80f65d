-- A job may begin where another one is, or was: `resume` in its spec, or a retry. It is lent records of that job's
-- checkpoints, as those of attempt 0, the one to begin with last; the ones before it are there should that
-- one not verify. The objects stay the other job's, and are kept while the borrower has not ended: a lent record says
-- `lent`, who has it under which id, and `borrowers` has them all.

do
    local RESUME_OF = '^(%l?[%l%d-]*%-%d+)@(.+)$'

    -- "gpu-41@best" → the id of a job and which of its checkpoints; nil for those of the job itself.
    local function split(text)
        local id, which = text:match(RESUME_OF)
        if id then
            return id, which
        elseif text:find('%l') and text:find('%-%d+$') then
            return text, 'latest'
        end
    end

    -- Which of the good ones: latest, best, a step, or an id. Answers its place among them.
    function checkpoints.pick(good, which, best)
        if which == 'latest' then
            return #good > 0 and #good or nil
        end
        local first = which == 'best' and (checkpoints.best(good, best)[1] or {}).id or which
        for i = #good, 1, -1 do
            local step = as_text(good[i].record.step)
            if good[i].id == first or (step and step == first) then
                return i
            end
        end
    end

    local function is_which(which)
        return which == 'latest' or which == 'best' or which:find('^%d+$') ~= nil or which:find(CHECKPOINT_ID) ~= nil
    end

    -- What a retry may be told; nil stays nil.
    function checkpoints.want_which(text)
        if text and text ~= 'none' and not is_which(text) then
            fail('INVALID', 'resume: expected latest, best, none, a step or a checkpoint id like 2-1, got %s',
                 quoted(text))
        end
        return text
    end

    -- What there is of it, for a message.
    local function choices(good)
        local ids = {}
        for i = math.max(#good - 4, 1), #good do
            local step = good[i].record.step
            ids[#ids + 1] = good[i].id .. (step and ' (step ' .. as_text(step) .. ')' or '')
        end
        return #ids > 0 and 'it has ' .. table.concat(ids, ', ') or 'it has no good checkpoint'
    end

    local WHY_NOT = {quarantined = 'is quarantined', rejected = 'did not verify', deleting = 'is being deleted'}

    -- Why the one that was named is none of the good ones, if that can be said.
    local function why_not(list, which)
        for i = #list, 1, -1 do
            local step = as_text(list[i].record.step)
            local why = (list[i].id == which or (step and step == which)) and WHY_NOT[list[i].record.state]
            if why then
                return ('checkpoint %s %s; '):format(list[i].id, why)
            end
        end
        return ''
    end

    -- {good, at, id, count} of what there is of a job. path: what is wrong is wrong with it.
    function checkpoints.choose(q, path, n, list, which, policy)
        local good = checkpoints.committed(list)
        local at = checkpoints.pick(good, which, policy.best)
        if not at then
            fail('INVALID', '%s: job %s has no good checkpoint %s: %s%s | stoker checkpoints %s', path, job_id(q, n),
                 quoted(which), why_not(list, which), choices(good), job_id(q, n))
        end
        return {good = good, at = at, id = good[at].id, count = policy.keep_last}
    end

    -- The same of a job that is there: what another one is to be lent of it.
    function checkpoints.find_loan(q, path, from, which, policy)
        local loan = checkpoints.choose(q, path, from.n, checkpoints.load(q, from.n), which, policy)
        loan.from = from
        return loan
    end

    function checkpoints.want_of_other(which)
        if not is_which(which) then
            fail('INVALID', 'resume: expected latest, best, a step or a checkpoint id behind the @, got %s',
                 quoted(which))
        end
        return which
    end

    -- What a new job is to be lent as its spec says; nil: nothing.
    function checkpoints.loan_of_spec(q, values)
        local text = as_text(values.resume)
        local id, which = split(text)
        if not id then
            if text ~= 'latest' and text ~= 'best' then
                fail('INVALID', 'resume: a new job has no checkpoint %s | <job>@%s is that of another job',
                     quoted(text), text)
            end
            return nil
        end
        local queue, n = depend.split(id)
        checkpoints.want_of_other(which)
        if not queue then
            fail('INVALID', 'resume: expected the id of a job before the @, got %s', quoted(id))
        elseif queue ~= q.name then
            return checkpoints.loan_from_abroad(q, id, which)
        end
        n = want_job_number(n)
        if tonumber(n) > q.meta.next then
            fail('INVALID', 'resume: there is no job %s | stoker ls --queue %s', id, q.name)
        end
        expect_type(q, 'hash', 'checkpoints:' .. n)
        expect_type(q, 'zset', 'borrowers')
        local from = job_find(q, n)
        if not from and q.meta.archive then
            return checkpoints.loan_from_abroad(q, id, which) -- it may be there
        elseif not from then
            fail('INVALID', 'resume: there is no job %s | stoker ls --queue %s', id, q.name)
        end
        local loan = checkpoints.find_loan(q, 'resume', from, which, spec_policy_of(values))
        return checkpoints.loan_or_abroad(q, loan)
    end

    -- While they are few each time, then whenever they have doubled: so many borrowers cost each of them little.
    local function is_time_to_look(count)
        return count < 16 or math.frexp(count) == 0.5
    end

    -- Notes with a job that has the objects, if it still has the record, who else has it by now; those who are done
    -- with it go. Another job of this call may have been lent it, too.
    local function note_borrower(q, from_n, id, to)
        local record = checkpoints.decoded(redis.pcall('HGET', key_of(q, 'checkpoints:' .. from_n), id))
        if not record then
            return
        end
        local c, lent = {id = id, record = record}, {}
        local before = type(c.record.lent) == 'table' and c.record.lent or {}
        local looks = is_time_to_look(#before)
        for _, one in ipairs(before) do
            append(lent, (not looks or checkpoints.is_borrowing(q, one)) and one or nil)
        end
        append(lent, to)
        c.record.lent = lent
        checkpoints.put(q, from_n, c)
    end

    -- What was lent before is lent by the job that saved it, too: the objects are that job's.
    local function note_borrowers(q, loan, lent, to)
        note_borrower(q, loan.from.n, lent.id, to)
        local origin = lent.record.from and tostring(lent.record.from):match('%-(%d+)$')
        if origin then
            note_borrower(q, origin, ('%s-%s'):format(as_text(lent.record.attempt), as_text(lent.record.seq)), to)
        end
    end

    -- Writes it. Answers the newest record, {id, record}.
    function checkpoints.lend(q, loan, to_n)
        local last
        call('DEL', key_of(q, 'checkpoints:' .. to_n)) -- a stranger's, if there is anything
        for i = math.max(loan.at - loan.count + 1, 1), loan.at do
            local lent, seq = loan.good[i], (last and last.seq or 0) + 1
            local record = {}
            for name, value in pairs(lent.record) do
                record[name] = value
            end
            record.from, record.lent = record.from or job_id(q, loan.from.n), nil
            record.used = nil
            last = {id = '0-' .. seq, seq = seq, record = record}
            checkpoints.put(q, to_n, last)
            note_borrowers(q, loan, lent, to_n .. ':' .. last.id)
        end
        call('ZADD', key_of(q, 'borrowers'), q.now_text, to_n)
        return last
    end
end
