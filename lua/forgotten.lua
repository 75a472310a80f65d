-- What Redis has forgotten. A replica that takes over, or a file that is cut, holds everything up to some moment and
-- nothing of what came after. Nobody can tell that from inside, but by what others bring: a scheduler says the newest
-- number that it has seen, a runner the job and the attempt that it is busy with (lua/adopt.lua).
--
-- The zset `forgotten` has the numbers of jobs that were given out and are not known here; who comes back leaves it. No
-- number is given out again from the moment that this is noticed. `lost_next` of meta is the newest of them.

local forgotten = {}
do
    local KEPT = 10000
    local ADDED_A_COMMAND = 1000

    function forgotten.expect(q)
        expect_type(q, 'zset', 'forgotten')
    end

    -- Somebody has seen a job of this number. If that is more than Redis has given out, it has lost writes.
    function forgotten.upto(q, newest, who)
        local first = q.meta.next + 1
        if newest < first then
            return
        end
        local key, list = key_of(q, 'forgotten'), {}
        for n = math.max(first, newest - KEPT + 1), newest do
            append(list, q.now_text, integer_text(n))
            if #list == 2 * ADDED_A_COMMAND or n == newest then
                call('ZADD', key, unpack(list))
                list = {}
            end
        end
        for _ = 1, call('ZCARD', key) - KEPT, ADDED_A_COMMAND do
            local over = math.min(call('ZCARD', key) - KEPT, ADDED_A_COMMAND)
            call('ZREM', key, unpack(call('ZRANGE', key, 0, over - 1)))
        end
        call('HSET', q.meta_key, 'next', integer_text(newest), 'lost_next', integer_text(newest))
        q.meta.next = newest
        event_of_queue(q, 'queue.writes_lost', 'count', newest - first + 1, 'reason',
                       ('Redis has lost writes: it did not know of job%s %s%s, which %s has seen'):format(
                           newest > first and 's' or '', job_id(q, integer_text(first)),
                           newest > first and ' to ' .. job_id(q, integer_text(newest)) or '', who))
    end

    -- Whether a job of this number that is not there was lost, rather than removed after its end.
    function forgotten.has(q, n)
        return tonumber(n) > q.meta.next or call('ZSCORE', key_of(q, 'forgotten'), n) or
            call('ZSCORE', key_of(q, 'leases'), n)
    end

    function forgotten.is_back(q, n)
        call('ZREM', key_of(q, 'forgotten'), n)
    end
end
