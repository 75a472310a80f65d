-- Batches: jobs of one group, counted by state as they move, and a job that is submitted when all of them are done.
--
-- `batch:<id>`: created_ms, actor, total and a count for each state; size (how many there will be: before that it is
-- not done), then (a spec), webhook (a URL), done_ms, then_job or then_error. `members:<id>`: numbers of its jobs, as
-- long as they are kept.
-- `batches`: id by time. `fires`: batches that are done and whose `then` is to be submitted by stoker_promote.
-- A job of a batch names it in its field `batch`, and its `links` say "b".

function batching.want(text)
    return want_match(text, 'batch', '^[A-Za-z0-9][%w._-]*$', 64, 'a batch id (letters, digits, . _ -, at most 64)')
end

function batching.expect_types(q, id)
    if not q.known.batch_types[id] then
        expect_type(q, 'hash', 'batch:' .. id)
        expect_type(q, 'zset', 'members:' .. id)
        expect_type(q, 'zset', 'batches')
        expect_type(q, 'zset', 'fires')
        q.known.batch_types[id] = true
    end
end

-- Counts are collected in a call, and written at its end.
function batching.count(q, id, state, by)
    local counts = q.batch.counts[id] or {}
    counts[state] = (counts[state] or 0) + by
    q.batch.counts[id] = counts
end

-- Makes the batch if it is not there, and answers whether. Its types are checked.
function batching.make(q, id, actor)
    local key = key_of(q, 'batch:' .. id)
    local is_new = call('HSETNX', key, 'created_ms', q.now_text) == 1
    if is_new then
        if actor then
            call('HSET', key, 'actor', actor)
        end
        call('ZADD', key_of(q, 'batches'), q.now_text, id)
    end
    return is_new
end

-- A new job, whose record is written, belongs to the batch from now on.
function batching.join(q, n, id, state, actor)
    local key, job_key = key_of(q, 'batch:' .. id), key_of(q, 'job:' .. n)
    local joined = q.known.joined
    if not joined[id] then
        batching.make(q, id, actor)
        call('PERSIST', key)
        joined[id] = true
    end
    call('HSET', job_key, 'batch', id, 'links', (call('HGET', job_key, 'links') or '') .. 'b', 'special', '1')
    call('ZADD', key_of(q, 'members:' .. id), n, n)
    batching.count(q, id, 'total', 1)
    batching.count(q, id, state, 1)
end

-- Is it done now, or not any more?
function batching.judge(q, id)
    local key = key_of(q, 'batch:' .. id)
    local b = redis.pcall('HMGET', key, 'total', 'succeeded', 'failed', 'cancelled', 'size', 'done_ms', 'then',
                          'then_job', 'created_ms', 'webhook')
    if b.err or not b[9] then
        return
    end
    local total = tonumber(b[1]) or 0
    local ended = (tonumber(b[2]) or 0) + (tonumber(b[3]) or 0) + (tonumber(b[4]) or 0)
    local is_done = ended == total and total >= (tonumber(b[5]) or 1)
    if is_done and not b[6] then
        call('HSET', key, 'done_ms', q.now_text)
        event_of_queue(q, 'batch.done', 'batch', id, 'count', total, 'reason',
                       ('%d succeeded, %d failed, %d cancelled'):format(b[2] or 0, b[3] or 0, b[4] or 0),
                       'succeeded', b[2] or '0', 'failed', b[3] or '0', 'cancelled', b[4] or '0')
        if b[7] and not b[8] then
            redis.pcall('ZADD', key_of(q, 'fires'), q.now_text, id)
        end
    elseif not is_done and b[6] then
        call('HDEL', key, 'done_ms') -- one of its jobs is done again
        if b[10] then
            pcall(batching.watch, q, id)
        end
    end
end

-- A stranger's key in the place of a batch loses its counts, and hinders nothing else.
function batching.flush(q)
    for id, counts in pairs(q.batch.counts) do
        local key = key_of(q, 'batch:' .. id)
        for state, by in pairs(counts) do
            if by ~= 0 then
                redis.pcall('HINCRBY', key, state, by)
            end
        end
        batching.judge(q, id)
    end
end

-- Its key is gone.
function batching.forget(q, id)
    call('ZREM', key_of(q, 'batches'), id)
    redis.pcall('SREM', key_of(q, 'webhooks:batches'), id)
end

-- The job was dropped. The batch goes with the last one.
function batching.drop_job(q, id, n)
    local members = key_of(q, 'members:' .. id)
    redis.pcall('ZREM', members, n)
    if redis.pcall('EXISTS', members) == 0 and redis.pcall('HEXISTS', key_of(q, 'batch:' .. id), 'done_ms') == 1 and
        not redis.pcall('ZSCORE', key_of(q, 'fires'), id) then
        call('DEL', key_of(q, 'batch:' .. id))
        batching.forget(q, id)
    end
end

-- Names of batches that went by themselves: they had no jobs for a day.
function batching.drop_empty(q)
    for _, id in ipairs(call('ZRANDMEMBER', key_of(q, 'batches'), 4)) do
        if call('EXISTS', key_of(q, 'batch:' .. id)) == 0 then
            batching.forget(q, id)
        end
    end
end

-- ---------------------------------------------------------------- functions

do
    local EMPTY_S = 86400
    local KNOWN = {size = true, ['then'] = true, webhook = true}
    local MOST = 1000000
    local FIRE_AGAIN_MS = 5000
    local FIRES_A_CALL = 8

    -- What follows a batch, checked as any spec; nil: nothing.
    function batching.want_then(q, text)
        text = optional(text)
        if text then
            local ok, values = pcall(submitting.read, q, text)
            if not ok and type(values) == 'table' and values.fail then
                values.fail = values.fail:gsub('^INVALID ', 'INVALID then: ')
            end
            if not ok then
                error(values)
            elseif values['schedule.name'] then
                fail('INVALID', 'then: schedule: not of a job that follows a batch')
            elseif values.after then
                fail('INVALID', 'then: after: it waits for the batch, and for nothing else')
            end
            q.spared_then = submitting.check_code(q, values)
        end
        return text
    end

    -- Who is told when a batch is done: its URL; nil: nobody. Signed as the webhooks of jobs are.
    function batching.want_webhook(q, webhook)
        if webhook == nil or webhook == cjson.null then
            return nil
        end
        for name in pairs(type(webhook) == 'table' and webhook or {}) do
            if name ~= 'url' then
                fail('INVALID', 'webhook: %s: unknown key; known here: url', quoted(name))
            end
        end
        local values = spec_walk({command = 'x', webhook = webhook})
        expect_type(q, 'set', 'webhooks:batches')
        return values['webhook.url']
    end

    -- The batch of a graph that names none.
    function batching.of_graph(first)
        return 'graph-' .. integer_text(first)
    end

    -- How many jobs the batch is to have when so many come in now.
    function batching.size_with(q, id, count)
        local known = call('HMGET', key_of(q, 'batch:' .. id), 'size', 'total')
        return math.max(tonumber(known[1]) or 0, (tonumber(known[2]) or 0) + count)
    end

    -- The fields of a batch that a caller sets, and what follows it: {job = a spec, url =}; the batch is there.
    function batching.set(q, id, size, following)
        local key = key_of(q, 'batch:' .. id)
        if size then
            call('HSET', key, 'size', integer_text(size))
        end
        if following.job then
            submitting.spare_code(q, q.spared_then)
            call('HSET', key, 'then', following.job)
        end
        if following.url then
            call('HSET', key, 'webhook', following.url)
            batching.watch(q, id)
        end
        batching.count(q, id, 'total', 0) -- judged at the end
    end

    -- stoker_batch <id> <{"size":n,"then":spec,"webhook":{"url":…}}> [actor]: makes a batch before its jobs, or changes
    -- it.
    local function batch(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local id, actor = batching.want(args[1]), want_actor(args[3])
        local given = want_object(optional(args[2]) or '{}', 'batch', 2 * spec_table.max_bytes)
        for name in pairs(given) do
            if not KNOWN[name] then
                fail('INVALID', 'batch: %s: unknown key; known here: size, then, webhook', quoted(name))
            end
        end
        local size, following = given.size, given['then']
        if size ~= nil and (type(size) ~= 'number' or size ~= math.floor(size) or size < 1 or size > MOST) then
            fail('INVALID', 'size: expected an integer from 1 to %d, got %s', MOST, quoted(size))
        elseif following ~= nil and type(following) ~= 'table' then
            fail('INVALID', 'then: expected a spec, got %s', quoted(following))
        end
        local text = batching.want_then(q, following and batching.members(args[2])['then'])
        local url = batching.want_webhook(q, given.webhook)
        expect_type(q, 'stream', 'events')
        batching.expect_types(q, id)
        local known = call('HMGET', key_of(q, 'batch:' .. id), 'total', 'then_job')
        if size and size < (tonumber(known[1]) or 0) then
            fail('CONFLICT', 'batch %s has %s jobs already, size may not be less', id, known[1])
        elseif text and known[2] then
            fail('CONFLICT', 'batch %s is done, and job %s was submitted then', id, known[2])
        end
        batching.make(q, id, actor)
        batching.set(q, id, size, {job = text, url = url})
        if not known[1] then
            call('EXPIRE', key_of(q, 'batch:' .. id), EMPTY_S)
        end
        queue_flush(q)
        return id
    end

    local function fire(q, id)
        local key = key_of(q, 'batch:' .. id)
        local b = call('HMGET', key, 'then', 'then_job', 'actor')
        if b[1] and not b[2] then
            local ok, checked = pcall(function()
                return submit_check(q, submitting.read(q, b[1]))
            end)
            local wrong = not ok and (type(checked) == 'table' and (checked.fail or checked.err) or checked)
            if not ok and wrong:match('^FULL ') then
                return call('ZADD', key_of(q, 'fires'), integer_text(q.now + FIRE_AGAIN_MS), id)
            elseif not ok then
                call('HSET', key, 'then_error', sentence_of(wrong))
            else
                checked.text = b[1]
                submit_reserve(q, 1)
                call('HSET', key, 'then_job', submitting.make(q, checked, b[3] or nil))
            end
        end
        call('ZREM', key_of(q, 'fires'), id)
    end

    -- Submits what follows the batches that are done. Answers how many. The type of `fires` is checked.
    function batching.fire(q)
        local due = call('ZRANGEBYSCORE', key_of(q, 'fires'), '-inf', q.now_text, 'LIMIT', 0, FIRES_A_CALL)
        for _, id in ipairs(due) do
            fire(q, id)
        end
        return #due
    end

    register('batch', batch)
end
