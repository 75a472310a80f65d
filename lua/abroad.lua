-- A job may begin where one of another queue is, or one that has left Redis for the archive. Nothing of that can be
-- read where it is submitted: it waits, with the reason `dependency`, until a scheduler has fetched the records.
--
--   its own queue    the letter "borrow <lender> <n>"; stoker_borrow says what it is to be lent
--   the lender's     stoker_lend answers the records, having noted in each that this queue has it: "<queue>@<time>"
--   its own queue    stoker_borrow takes them, as those of attempt 0
--   the lender's     the letter "lent <queue> <n> <time>": stoker_borrowing there says what is still needed, and
--                    stoker_returned lets go of the rest
--
-- What is lent is noted before it is given, and let go only by an answer of the queue that has it; an answer from
-- before the last lending is known by its time. So it stays while a borrower may need it, whatever is lost or comes
-- twice.
-- `abroad` has the borrowers, "<lender>:<n>"; each has `lender` in its record, and `borrows` while it waits.
-- A job lends only what it saved itself: of what it was lent, the job that saved it is named instead.

do
    local MOST = 16 -- records a loan
    local RECORDS_BYTES = 131072
    local POLL_MS = 600000

    local function letter_of(lender, n)
        return 'borrow ' .. lender .. ' ' .. n
    end

    local function member_of(lender, n)
        return lender .. ':' .. n
    end

    -- The job that saved it, and which one it is there; nil: it is the job's own.
    local function origin_of(c)
        local from = c.record.from and tostring(c.record.from)
        if from and depend.split(from) then
            return from, ('%s-%s'):format(as_text(c.record.attempt), as_text(c.record.seq))
        end
    end

    local function is_of_other_queue(q, id)
        return depend.split(id) ~= q.name
    end

    -- ------------------------------------------------------------ where it is submitted

    function checkpoints.loan_from_abroad(q, id, which)
        expect_type(q, 'zset', 'outbox')
        expect_type(q, 'zset', 'abroad')
        return {abroad = true, id = id, which = which}
    end

    -- A loan of what another queue lent is one of that queue.
    function checkpoints.loan_or_abroad(q, loan)
        local from, which = origin_of(loan.good[loan.at])
        if from and is_of_other_queue(q, from) then
            return checkpoints.loan_from_abroad(q, from, which)
        end
        local good = {}
        for i = 1, loan.at do
            local other = origin_of(loan.good[i])
            if not (other and is_of_other_queue(q, other)) then
                good[#good + 1] = loan.good[i]
            end
        end
        loan.good, loan.at = good, #good
        return loan
    end

    -- Into the record of a new job: it waits for its loan.
    function checkpoints.ask_for_loan(q, record, values, loan, n)
        append(record, 'lender', loan.id, 'borrows', loan.which, 'needs', '1', 'special', '1')
        if values['rate.key'] then
            append(record, 'rated', '1')
        end
        call('ZADD', key_of(q, 'abroad'), 0, member_of(loan.id, n))
        call('ZADD', key_of(q, 'outbox'), q.now_text, letter_of(loan.id, n))
    end

    -- It does not wait for it any more.
    function checkpoints.ask_no_more(q, j)
        if j.f.borrows and j.f.lender then
            redis.pcall('ZREM', key_of(q, 'outbox'), letter_of(j.f.lender, j.n))
        end
    end

    -- The job leaves Redis.
    function checkpoints.borrows_no_more(q, n, lender)
        redis.pcall('ZREM', key_of(q, 'borrowers'), n)
        if lender then
            redis.pcall('ZREM', key_of(q, 'abroad'), member_of(lender, n))
        end
    end

    -- ------------------------------------------------------------ stoker_borrow <n> [resume] [answer] [wrong]

    local function is_waiting_for(j, resume)
        return j and j.f.state == 'waiting' and j.f.borrows and (not resume or
                                                                j.f.lender .. '@' .. j.f.borrows == resume)
    end

    local function wanted_json(q, j)
        local policy = spec_policy(q, j.n)
        return ('{"lender":%s,"which":%s,"count":%d,"metric":%s,"mode":%s}'):format(
            cjson.encode(j.f.lender), cjson.encode(j.f.borrows), math.min(policy.keep_last, MOST),
            cjson.encode(policy.best.metric), cjson.encode(policy.best.mode))
    end

    -- The answer of stoker_lend: a list of records, or {"instead": "<job>@<id>"}.
    local function want_answer(text)
        local ok, answer = pcall(cjson.decode, #text <= RECORDS_BYTES and text or '')
        local is_right = ok and type(answer) == 'table'
        if is_right and answer.instead then
            local lender, which = tostring(answer.instead):match('^(.+)@(.+)$')
            if lender and depend.split(lender) and which:find(CHECKPOINT_ID) then
                return nil, lender, which
            end
        end
        is_right = is_right and #answer >= 1 and #answer <= MOST
        for _, one in ipairs(is_right and answer or {}) do
            is_right = is_right and type(one) == 'table' and tonumber(one.attempt) and tonumber(one.seq) and
                one.state == 'committed' and depend.split(tostring(one.from))
        end
        if not is_right then
            fail('INVALID', 'answer: expected what stoker_lend answered, got %s', quoted(text))
        end
        return answer
    end

    local function ask_instead(q, j, lender, which)
        call('ZREM', key_of(q, 'outbox'), letter_of(j.f.lender, j.n))
        call('ZREM', key_of(q, 'abroad'), member_of(j.f.lender, j.n))
        call('ZADD', key_of(q, 'abroad'), 0, member_of(lender, j.n))
        call('ZADD', key_of(q, 'outbox'), q.now_text, letter_of(lender, j.n))
        job_set(j, 'lender', lender)
        job_set(j, 'borrows', which)
        job_save(q, j)
    end

    local function take(q, j, records_lent)
        local last
        call('DEL', key_of(q, 'checkpoints:' .. j.n)) -- a stranger's, if there is anything
        for seq, record in ipairs(records_lent) do
            record.lent, record.used = nil, nil
            last = {id = '0-' .. seq, record = record}
            checkpoints.put(q, j.n, last)
        end
        call('ZADD', key_of(q, 'borrowers'), q.now_text, j.n)
        checkpoints.ask_no_more(q, j)
        job_clear(j, 'borrows')
        job_set(j, 'checkpoint', last.id)
        job_set(j, 'checkpoint_step', last.record.step)
        depend.one_less(q, j)
    end

    local function check_borrow(q, j)
        local ok, answer = depend.can_tell(q, j)
        if not ok then
            error(answer)
        end
        expect_type(q, 'hash', 'checkpoints:' .. j.n)
        expect_type(q, 'zset', 'borrowers')
        expect_type(q, 'zset', 'abroad')
    end

    local function act_borrow(q, j, answer, lender, which, wrong)
        if lender then
            ask_instead(q, j, lender, which)
        elseif answer then
            take(q, j, answer)
        else
            depend.give_up(q, j, wrong)
        end
        queue_flush(q)
    end

    local function borrow(keys, args)
        no_more_arguments(args, 4)
        local q = queue_open(keys)
        local n, resume, wrong = want_job_number(args[1]), optional(args[2]), want_reason(args[4])
        local j = job_find(q, n)
        if not resume then
            return is_waiting_for(j) and wanted_json(q, j) or ''
        end
        local asked = resume:match('^(.+)@')
        local answer, lender, which
        if optional(args[3]) then
            answer, lender, which = want_answer(args[3])
        elseif not asked or not wrong then
            fail('INVALID', 'expected <n> <job>@<which>, and the answer of stoker_lend or what is wrong')
        end
        expect_queue_types(q)
        expect_type(q, 'zset', 'outbox')
        if is_waiting_for(j, resume) then
            check_borrow(q, j)
            act_borrow(q, j, answer, lender, which, wrong)
        elseif not is_waiting_for(j) or j.f.lender ~= asked then
            call('ZREM', key_of(q, 'outbox'), letter_of(asked, n))
        end
        return j and j.f.state or 'gone'
    end

    register('borrow', borrow, 'allow-oom')

    -- stoker_borrowing <lender>: what this queue still needs of that job: {"all": true}, or {"ids": […]}. What ended
    -- otherwise than well counts, too, as long as it is not done again: it may be.
    local function borrowing(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local lender = args[1] or ''
        if not depend.split(lender) then
            fail('INVALID', 'lender: expected a job id, got %s', quoted(lender))
        end
        local ids = {}
        for _, member in ipairs(call('ZRANGE', key_of(q, 'abroad'), '[' .. lender .. ':', '(' .. lender .. ';',
                                     'BYLEX')) do
            local n = member:match(':(%d+)$')
            local state, retried_as, borrows = unpack(call('HMGET', key_of(q, 'job:' .. n), 'state', 'retried_as',
                                                           'borrows'))
            if state == 'waiting' and borrows then
                return '{"all":true}'
            elseif state and state ~= 'succeeded' and not retried_as then
                for _, c in ipairs(checkpoints.load(q, n)) do
                    local from, id = origin_of(c)
                    append(ids, c.attempt == 0 and from == lender and cjson.encode(id) or nil)
                end
            end
        end
        return '{"ids":' .. json_list(ids) .. '}'
    end

    register('borrowing', borrowing, 'no-writes')

    -- ------------------------------------------------------------ at the lender's

    -- "<queue>@<time>" among those who have it: its place and its time.
    local function find_note(c, borrower)
        for i, entry in ipairs(type(c.record.lent) == 'table' and c.record.lent or {}) do
            local name, time = tostring(entry):match('^(.+)@(%d+)$')
            if name == borrower then
                return i, tonumber(time)
            end
        end
    end

    local function lent_letter(borrower, n, time)
        return ('lent %s %s %s'):format(borrower, n, integer_text(time))
    end

    -- All that this queue has of the job is noted with one time, and asked for with one letter.
    local function note_lending(q, n, list, chosen, borrower)
        local time, outbox = q.now, key_of(q, 'outbox')
        for _, c in ipairs(list) do
            local _, before = find_note(c, borrower)
            if before then
                time = math.max(time, before + 1)
                call('ZREM', outbox, lent_letter(borrower, n, before))
            end
        end
        for _, c in ipairs(list) do
            local at = find_note(c, borrower)
            if at or chosen[c.id] then
                c.record.lent = type(c.record.lent) == 'table' and c.record.lent or {}
                c.record.lent[at or #c.record.lent + 1] = borrower .. '@' .. integer_text(time)
                checkpoints.put(q, n, c)
            end
        end
        call('ZADD', outbox, integer_text(q.now + POLL_MS), lent_letter(borrower, n, time))
    end

    -- The checkpoints of an archived record, as checkpoints.load has them.
    local function archived_list(q, n, text)
        local kept, texts = want_object(text, 'archived record', 8388608), {}
        for id, record in pairs(type(kept.checkpoints) == 'table' and kept.checkpoints or {}) do
            append(texts, id, record)
        end
        if type(kept.job) ~= 'table' or type(kept.job.uid) ~= 'string' then
            fail('INVALID', 'archived record: this is none of job %s', job_id(q, n))
        end
        return checkpoints.listed(pairs_table(texts))
    end

    local function answer_of(q, n, loan)
        local parts, chosen = {}, {}
        local from, id = origin_of(loan.good[loan.at])
        if from then
            return cjson.encode({instead = from .. '@' .. id}), chosen
        end
        for i = loan.at, 1, -1 do
            local c = loan.good[i]
            if #parts < loan.count and not origin_of(c) then
                local record = {}
                for name, value in pairs(c.record) do
                    record[name] = value
                end
                record.from, record.lent, record.used = job_id(q, n), nil, nil
                table.insert(parts, 1, cjson.encode(record))
                chosen[c.id] = true
            end
        end
        return json_list(parts), chosen
    end

    -- stoker_lend <n> <which> <queue or ''> [count] [metric] [mode] [archived record]: records of a job for one of
    -- another queue, oldest first. Without a queue it only looks.
    local function lend(keys, args)
        no_more_arguments(args, 7)
        local q = queue_open(keys)
        local n, which, text = want_job_number(args[1]), checkpoints.want_of_other(args[2] or ''), optional(args[7])
        local borrower = optional(args[3])
        if borrower and not depend.split(borrower .. '-1') then
            fail('INVALID', 'queue: expected the name of a queue, got %s', quoted(borrower))
        end
        local count = want_integer(optional(args[4]) or '1', 'count', 1, MOST)
        local best = {metric = optional(args[5]) or 'loss', mode = optional(args[6]) or 'min'}
        expect_type(q, 'zset', 'outbox')
        local j = job_find(q, n)
        if not j and not text then
            fail('NOTFOUND', 'there is no job %s | stoker ls --queue %s', job_id(q, n), q.name)
        end
        local list = j and checkpoints.load(q, n) or archived_list(q, n, text)
        local loan = checkpoints.choose(q, 'resume', n, list, which, {best = best, keep_last = count})
        local answer, chosen = answer_of(q, n, loan)
        if j and borrower and next(chosen) then
            note_lending(q, n, list, chosen, borrower)
        end
        return answer
    end

    register('lend', lend, 'allow-oom')

    -- stoker_returned <n> <queue> <time> <answer of stoker_borrowing>: how many of them that queue still has.
    local function returned(keys, args)
        no_more_arguments(args, 4)
        local q = queue_open(keys)
        local n, borrower = want_job_number(args[1]), args[2] or ''
        local time = want_integer(args[3], 'time', 0, LARGEST)
        local answer, needed, left = want_object(args[4], 'answer', 1048576), {}, 0
        local letter = lent_letter(borrower, n, time)
        expect_type(q, 'zset', 'outbox')
        for _, id in ipairs(type(answer.ids) == 'table' and answer.ids or {}) do
            needed[id] = true
        end
        local list = call('ZSCORE', key_of(q, 'outbox'), letter) and checkpoints.load(q, n) or {}
        for _, c in ipairs(list) do
            local at, noted = find_note(c, borrower)
            if at and noted == time and (needed[c.id] or answer.all == true) then
                left = left + 1
            elseif at and noted == time then
                table.remove(c.record.lent, at)
                c.record.lent = c.record.lent[1] and c.record.lent or nil
                checkpoints.put(q, n, c)
            end
        end
        if left == 0 then
            call('ZREM', key_of(q, 'outbox'), letter)
        end
        return left
    end

    register('returned', returned, 'allow-oom')

    -- ------------------------------------------------------------ fsck

    -- A loan that is waited for, or was made, and that nobody carries or asks for.
    function checkpoints.loan_letters(q, j, list)
        local letters, outbox = {}, key_of(q, 'outbox')
        if j.f.state == 'waiting' and j.f.borrows and j.f.lender then
            append(letters, letter_of(j.f.lender, j.n))
        end
        for _, c in ipairs(list) do
            for _, entry in ipairs(type(c.record.lent) == 'table' and c.record.lent or {}) do
                local borrower, time = tostring(entry):match('^(.+)@(%d+)$')
                append(letters, borrower and lent_letter(borrower, j.n, tonumber(time)) or nil)
            end
        end
        for i = #letters, 1, -1 do
            if call('ZSCORE', outbox, letters[i]) then
                table.remove(letters, i)
            end
        end
        return letters
    end

    checkpoints.member_abroad = member_of
end
