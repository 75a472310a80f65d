-- Limits by key, and unique jobs. What a limit holds back waits outside the ready lanes and blocks nothing.
--
-- concurrency: `slots:<key>` holds the jobs that are queued or running with this key, `limited:<key>` those that wait
-- for a slot, by priority and number. A job that gives its slot back lets the next one go in the same call.
-- rate: `rate:<key>` is a time: the next job of this key takes the place behind it (a token bucket in one number); its
-- due time is fixed when it is submitted.
-- unique: `unique:<key>` is the number of the job that has the key, and "expired" behind it when it keeps it for its
-- time.

limits.QUEUE_RATE = '*' -- not a key that a spec can have

function limits.names(key)
    return 'slots:' .. key, 'limited:' .. key
end

-- ---------------------------------------------------------------- checks before the first write

-- Of a new job. What the same call has taken already counts.
function limits.check_new(q, values)
    local key = values['concurrency.key']
    if key then
        local slots, line = limits.names(key)
        expect_type(q, 'zset', slots)
        expect_type(q, 'zset', line)
    end
    if values['rate.key'] then
        expect_type(q, 'string', 'rate:' .. values['rate.key'])
    end
    if q.meta.rate_max > 0 then
        expect_type(q, 'string', 'rate:' .. limits.QUEUE_RATE)
    end
end

-- Fails when another job has the key. Answers the job of this very call that takes it, if one does.
function unique.check(q, values)
    local key = values['unique.key']
    if not key or q.known.unique[key] then
        return key and q.known.unique[key]
    end
    expect_type(q, 'string', 'unique:' .. key)
    local n, mode = (call('GET', key_of(q, 'unique:' .. key)) or ''):match('^([1-9]%d*)( ?%a*)$')
    local j = n and job_find(q, n)
    if n and (mode == ' expired' or (j and not job_is_final(j))) then
        fail('CONFLICT', 'unique.key: job %s (%s) has the key %s', job_id(q, n), j and j.f.state or 'gone', quoted(key))
    end
end

-- Of a job that may give its slot back in this call: the types, and whether who comes next can be queued.
function limits.expect(q, j)
    local key = j.f.slot
    if not key then
        return
    end
    local slots, line = limits.names(key)
    expect_type(q, 'zset', slots)
    expect_type(q, 'zset', line)
    local following = q.known.following[key] or {}
    q.known.following[key] = following
    local n = call('ZRANGE', key_of(q, line), #following, #following)[1]
    if n then
        local other = job_of_call(q, n) or job_of_fields(n, {})
        if other.f.class then
            expect_can_queue(q, other)
        end
        following[#following + 1] = other
    end
end

-- ---------------------------------------------------------------- taking and giving back

-- Takes a slot for the job, if one is free.
function limits.take(q, key, most, n)
    local slots = key_of(q, (limits.names(key)))
    if call('ZCARD', slots) >= most then
        return false
    end
    call('ZADD', slots, q.now_text, n)
    return true
end

-- Higher priority first, then who came first.
function limits.line_up(q, n, key, priority)
    local _, line = limits.names(key)
    call('ZADD', key_of(q, line), (9 - priority) * 1099511627776 + n, n)
end

-- A waiting job is let go: queued, or in the line for a slot.
function limits.ready(q, j, event)
    if not j.f.slot then
        job_ready(q, j, event)
        return
    elseif limits.take(q, j.f.slot, job_number(j, 'slot_max'), j.n) then
        call('ZREM', key_of(q, select(2, limits.names(j.f.slot))), j.n)
        job_ready(q, j, event)
        return
    end
    limits.line_up(q, j.n, j.f.slot, j.f.priority)
    job_set(j, 'reason', 'limit')
    job_clear(j, 'due_ms')
    append(q.batch.waiting, '+inf', j.n)
    job_save(q, j)
end

-- Those in the line whose turn it is, of the ones that were checked before.
function limits.let_go(q, key)
    local _, line = limits.names(key)
    local following = q.known.following[key]
    while following and following[1] do
        local other = following[1]
        if other.f.state ~= 'waiting' or other.f.reason ~= 'limit' or other.f.slot ~= key then
            call('ZREM', key_of(q, line), other.n) -- a number without its job
        elseif limits.take(q, key, job_number(other, 'slot_max'), other.n) then
            call('ZREM', key_of(q, line), other.n)
            job_ready(q, other, 'promote')
        else
            return
        end
        table.remove(following, 1)
    end
end

-- The job needs its slot no more, or not for now; it may also be in the line.
function limits.leave(q, j)
    local key = j.f.slot
    if not key then
        return
    end
    local slots, line = limits.names(key)
    call('ZREM', key_of(q, line), j.n)
    if call('ZREM', key_of(q, slots), j.n) == 1 then
        limits.let_go(q, key)
    end
end

-- Moves the bucket on by one job. Answers when that job may go.
function limits.reserve(q, key, most, per_ms)
    local name = key_of(q, 'rate:' .. key)
    local step = per_ms / most
    local place = math.max(tonumber(call('GET', name) or 0) or 0, q.now) + step
    call('SET', name, number_text(place), 'PX', integer_text(math.ceil(place - q.now + per_ms)))
    return math.ceil(place - per_ms)
end

-- Takes a job's place under the rates of its key and of the queue. Answers when it may go.
function limits.rate(q, values)
    local due_ms = 0
    if values['rate.key'] then
        due_ms = limits.reserve(q, values['rate.key'], values['rate.max'], values['rate.per'])
    end
    if q.meta.rate_max > 0 then
        local per_ms = math.max(q.meta.rate_per_ms, 1)
        due_ms = math.max(due_ms, limits.reserve(q, limits.QUEUE_RATE, q.meta.rate_max, per_ms))
    end
    return due_ms
end

-- ---------------------------------------------------------------- a new job

-- Before when it must not be queued, and why; the reason is nil when that is now.
function limits.due_of(q, values, delay_ms)
    local due_ms, reason = q.now, nil
    if delay_ms > 0 then
        due_ms, reason = q.now + delay_ms, 'delay'
    end
    local rate_ms = limits.rate(q, values)
    if rate_ms > due_ms then
        due_ms, reason = rate_ms, 'limit'
    end
    return due_ms, reason
end

-- What it has to wait for before it is queued ({reason, due_ms}); nil: nothing, and its slot is taken.
function limits.wait_of(q, values, n, delay_ms)
    local due_ms, reason = limits.due_of(q, values, delay_ms)
    if reason then
        return {reason = reason, due_ms = due_ms}
    elseif values['concurrency.key'] and
        not limits.take(q, values['concurrency.key'], values['concurrency.max'], n) then
        return {reason = 'limit', in_line = true}
    end
    return nil
end

function unique.take(q, values, n)
    local name = key_of(q, 'unique:' .. values['unique.key'])
    if values['unique.until'] == 'expired' then
        call('SET', name, n .. ' expired', 'PX', integer_text(values['unique.for']))
    else
        call('SET', name, n)
    end
end

-- It gives the key up, if it still has it and not for a time.
function unique.leave(q, j)
    local name = j.f.unique and key_of(q, 'unique:' .. j.f.unique)
    if name and redis.pcall('GET', name) == j.n then
        call('DEL', name)
    end
end
