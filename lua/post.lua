-- Between queues: what is in `outbox` (lua/depend.lua) is handed out by stoker_promote, carried by a scheduler, and
-- handed out again until it was answered. Every call here may come twice.
--
--   ask <parent> <n>                  → stoker_watch at the parent's queue; an end that it answers → stoker_about
--                                       there, stoker_tell here
--   sweep <token>                     → lua/sweep.lua
--   tell <child> <parent> <state>     → stoker_about here, stoker_tell at the child's queue, then stoker_sent here
--   borrow <lender> <n>, lent <queue> <n> <time>   → lua/abroad.lua

do
    -- ask: the parent's queue knows already who waits, this is for what it lost. sweep: thousands of jobs take a while.
    local AGAIN_MS = {ask = 60000, tell = 5000, sweep = 30000, borrow = 5000, lent = 600000}
    local ABOUT_BYTES = 8192
    local ABOUT = {name = true, checkpoint = true, checkpoint_uri = true, result = true, result_bytes = true}
    local ENDS = {succeeded = true, failed = true, cancelled = true, gone = true}

    -- What is due; nil: nothing. The type of `outbox` is checked.
    function depend.letters(q)
        local key, again = key_of(q, 'outbox'), {}
        local letters = call('ZRANGEBYSCORE', key, '-inf', q.now_text, 'LIMIT', 0, MAX_JOBS_A_CALL)
        for i = 1, #letters do
            local wait_ms = AGAIN_MS[letters[i]:match('^%l+')] or AGAIN_MS.tell
            append(again, integer_text(q.now + wait_ms), letters[i])
        end
        call_with('ZADD', key, again)
        return letters[1] and letters or nil
    end

    local function want_id(text, what)
        local name, n = depend.split(text or '')
        if not name then
            fail('INVALID', '%s: expected a job id, got %s', what, quoted(text))
        end
        return name, n
    end

    -- stoker_watch <n> <child>: a job of another queue waits for this one. Answers its state; gone: there is none.
    local function watch(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        if want_id(args[2], 'child') == q.name then
            fail('INVALID', 'child: expected a job of another queue, got %s', quoted(args[2]))
        end
        local state = call('HGET', key_of(q, 'job:' .. n), 'state')
        expect_type(q, 'zset', 'children:' .. n)
        if state and not STATE_FINAL[state] then
            depend.link(q, n, args[2])
        end
        return state or 'gone'
    end

    -- stoker_about <n>: what this job leaves to children in other queues; {} when it is not there.
    local function about(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local list, more = depend.about(q, want_job_number(args[1]), true)
        return depend.joined(list, more)
    end

    -- What stoker_about said; nil: nothing.
    local function want_about(text)
        if not text then
            return nil
        end
        local fields = want_object(text, 'about', ABOUT_BYTES)
        want_json(text, 'about')
        for name in pairs(fields) do
            if not ABOUT[name] then
                fail('INVALID', 'about.%s: unknown key', name)
            end
        end
        return next(fields) ~= nil and text:match('^%s*(.-)%s*$') or nil
    end

    -- stoker_tell <n> <parent> <state> [about]: a parent in another queue has ended, or is not there. Answers the
    -- child's state.
    local function tell(keys, args)
        no_more_arguments(args, 4)
        local q = queue_open(keys)
        local n, parent, state = want_job_number(args[1]), args[2], args[3]
        local about_it = want_about(optional(args[4]))
        want_id(parent, 'parent')
        if not ENDS[state] then
            fail('INVALID', 'state: expected succeeded, failed, cancelled or gone, got %s', quoted(state))
        end
        expect_queue_types(q)
        expect_type(q, 'zset', 'outbox')
        expect_type(q, 'hash', 'told:' .. n)
        local child = job_find(q, n)
        if child then
            local ok, answer = depend.can_tell(q, child)
            if not ok then
                error(answer)
            end
            depend.tell(q, child, parent, state, about_it)
            queue_flush(q)
        end
        return child and child.f.state or 'gone'
    end

    -- stoker_sent <letter>…: these were carried.
    local function sent(keys, args)
        local q = queue_open(keys)
        if #args < 1 or #args > MAX_JOBS_A_CALL then
            fail('INVALID', 'expected 1 to %d letters, got %d', MAX_JOBS_A_CALL, #args)
        end
        return call('ZREM', key_of(q, 'outbox'), unpack(args))
    end

    register('watch', watch, 'allow-oom')
    register('about', about, 'no-writes')
    register('tell', tell, 'allow-oom')
    register('sent', sent, 'allow-oom')
end
