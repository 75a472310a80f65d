-- Webhooks: what happens to jobs is told to whoever wants to know, over HTTP, by the schedulers.
--
-- stoker_webhook_add <url> <events JSON list or ''> <secret> [actor]: of the whole queue; answers its id.
-- stoker_webhook_remove <id> [actor]; stoker_webhook_secret <secret>: signs the webhooks that jobs bring along.
-- stoker_webhooks: the list. stoker_webhook_test <id>: a delivery that only says hello.
-- stoker_webhook_gather [limit]: reads the stream `events` on from the cursor and makes the deliveries (delivery.lua).
--
-- The stream is the source of truth, and the cursor is kept with it: reading on and writing the deliveries is one call,
-- so any number of schedulers make each of them once, and one that dies loses none. The cursor is there from the first
-- webhook to the last, and until the last job or batch that brought one along has ended: without them nothing is read.

local webhook_watch
do
    local HOOKS_MAX = 20
    local BUSY_MS = 100 -- while events come in, they are read as often: the stream keeps 10,000
    local ENDS = {['job.succeeded'] = 'succeeded', ['job.failed'] = 'failed', ['job.cancelled'] = 'cancelled'}
    local ON_ENDS = {'job.succeeded', 'job.failed', 'job.cancelled'}
    local FROM_EVENT = {'cause', 'reason', 'actor', 'worker', 'checkpoint', 'step', 'error'}
    local FROM_JOB = {'state', 'name', 'experiment', 'submitted_ms', 'started_ms', 'ended_ms', 'exit', 'signal',
                      'error'}
    local NUMBERS = {attempt = true, step = true, exit = true, signal = true, time_ms = true, submitted_ms = true,
                     started_ms = true, ended_ms = true, count = true, succeeded = true, failed = true,
                     cancelled = true}

    -- From now on events are read: the cursor is the last one that is of no interest, and its number in the stream.
    local function cursor_begin(q)
        if call('HEXISTS', q.meta_key, 'webhook_cursor') == 1 then
            return
        end
        local last = call('XREVRANGE', key_of(q, 'events'), '+', '-', 'COUNT', 1)[1]
        local added = 0
        if last then
            added = pairs_table(call('XINFO', 'STREAM', key_of(q, 'events')))['entries-added']
        end
        call('HSET', q.meta_key, 'webhook_cursor', (last and last[1] or '0-0') .. '/0/' .. integer_text(added))
    end

    -- A new job whose spec has a webhook. Cannot fail.
    function webhook_watch(q, n)
        if not q.known.webhook.watched then
            cursor_begin(q)
            q.known.webhook.watched = true
        end
        call('SADD', key_of(q, 'webhooks:jobs'), n)
    end

    -- A batch that has a webhook and is not done. The type of the set is checked.
    function batching.watch(q, id)
        cursor_begin(q)
        call('SADD', key_of(q, 'webhooks:batches'), id)
    end

    -- What was given is not shown.
    local function want_secret(text)
        if type(text) ~= 'string' or #text < 16 or #text > 256 or not text:find('^[!-~]+$') then
            fail('INVALID', 'secret: expected 16 to 256 printable ASCII characters without space, got %d bytes',
                 #(text or ''))
        end
        return text
    end

    -- The events of a webhook of the queue: those that a job can ask for, and batch.done.
    local function want_on(url, text)
        local on = optional(text) and select(2, pcall(cjson.decode, text)) or nil
        if optional(text) and type(on) ~= 'table' then
            fail('INVALID', 'webhook.on: expected a JSON list of texts, got %s', quoted(text))
        end
        local of_jobs, of_batches = on and {}, {}
        for _, name in ipairs(on or {}) do
            append(name == 'batch.done' and of_batches or of_jobs, name)
        end
        local values = spec_walk({command = 'x', webhook = {url = url, on = on and #on > 0 and of_jobs or on}})
        on = values['webhook.on'] or {}
        append(on, of_batches[1])
        return on[1] and on or ON_ENDS
    end

    local function add(keys, args)
        no_more_arguments(args, 4)
        local q = queue_open(keys)
        local on = want_on(args[1], args[2])
        local secret, actor = want_secret(args[3]), want_actor(args[4])
        local count = expect_type(q, 'hash', 'webhooks')
        expect_type(q, 'stream', 'events')
        want_integer(call('HGET', q.meta_key, 'webhook_next') or '0', 'webhook_next of meta', 0, LARGEST)
        if count >= HOOKS_MAX then
            fail('FULL', 'queue %s has %d webhooks, which is the bound | remove one: stoker webhooks rm', q.name, count)
        end
        local id = 'h' .. call('HINCRBY', q.meta_key, 'webhook_next', 1)
        cursor_begin(q)
        call('HSET', key_of(q, 'webhooks'), id, cjson.encode({url = args[1], on = on, added_ms = q.now_text,
                                                              actor = actor}))
        call('HSET', webhook_secrets(q), id, secret)
        event_of_queue(q, 'webhook.added', 'webhook', id, 'actor', actor)
        event_flush(q)
        return id
    end

    local function want_hook(q, id)
        want_match(id, 'webhook', '^h%d+$', 20, 'the id of a webhook, like h1')
        return call('HGET', key_of(q, 'webhooks'), id) or
               fail('NOTFOUND', 'queue %s has no webhook %s | stoker webhooks lists them', q.name, id)
    end

    local function remove(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        want_hook(q, args[1])
        local actor = want_actor(args[2])
        delivery_types(q)
        expect_type(q, 'zset', 'deliveries:to:' .. args[1])
        call('HDEL', key_of(q, 'webhooks'), args[1])
        call('HDEL', webhook_secrets(q), args[1])
        delivery_forget(q, args[1])
        event_of_queue(q, 'webhook.removed', 'webhook', args[1], 'actor', actor)
        event_flush(q)
        return 'removed'
    end

    local function set_secret(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        call('HSET', webhook_secrets(q), 'job', want_secret(args[1]))
        call('HSET', q.meta_key, 'webhook_secret_ms', q.now_text)
        return 'ok'
    end

    -- A webhook as it is kept; should a stranger have written there, one that wants nothing.
    local function hook_of(text)
        local ok, hook = pcall(cjson.decode, text)
        if not ok or type(hook) ~= 'table' or type(hook.on) ~= 'table' or type(hook.url) ~= 'string' then
            return {url = '', on = {}}
        end
        return hook
    end

    local function hooks_of(q)
        local hooks, list = {}, call('HGETALL', key_of(q, 'webhooks'))
        for i = 1, #list, 2 do
            local hook = hook_of(list[i + 1])
            hook.id = list[i]
            hooks[#hooks + 1] = hook
        end
        table.sort(hooks, function(a, b)
            return #a.id < #b.id or (#a.id == #b.id and bytes_less(a.id, b.id))
        end)
        return hooks
    end

    local function list(keys, args)
        no_more_arguments(args, 0)
        local q = queue_open(keys)
        expect_type(q, 'hash', 'webhooks')
        local parts = {}
        for i, hook in ipairs(hooks_of(q)) do
            local on = {}
            for k, name in ipairs(hook.on) do
                on[k] = cjson.encode(name)
            end
            parts[i] = json_of_pairs({'id', hook.id, 'url', hook.url, 'added_ms', hook.added_ms or '0', 'actor',
                                      hook.actor or '', 'waiting',
                                      integer_text(call('ZCARD', key_of(q, 'deliveries:to:' .. hook.id)))})
                           :sub(1, -2) .. ',"on":' .. json_list(on) .. '}'
        end
        local secret_ms, waiting = unpack(call('HMGET', q.meta_key, 'webhook_secret_ms', 'webhook_waiting'))
        return ('{"webhooks":%s,"secret_ms":"%s","waiting":%d,"dead":%d,"jobs":%d}'):format(
            json_list(parts), secret_ms or '', tonumber(waiting or 0) or 0,
            expect_type(q, 'zset', 'deliveries:dead'), expect_type(q, 'set', 'webhooks:jobs'))
    end

    -- ---------------------------------------------------------------- from events to deliveries

    local function is_wanted(on, name)
        for i = 1, #on do
            if on[i] == name or on[i] == '*' or on[i] == name:match('^[^.]*') .. '.*' then
                return true
            end
        end
        return false
    end

    local function member(name, value)
        if NUMBERS[name] and tostring(value):find('^%d+$') then
            return '"' .. name .. '":' .. value
        end
        return '"' .. name .. '":' .. cjson.encode(value)
    end

    -- What the receiver gets: what the event says, then what the job's record says of it by now.
    local function body_of(q, event, message, job, attempt, record)
        local parts = {member('id', message), member('event', event.event), member('queue', q.name), member('job', job),
                       member('attempt', attempt), member('time_ms', event.time_ms)}
        local said = {state = event.state or ENDS[event.event]}
        for _, name in ipairs(FROM_EVENT) do
            said[name] = event[name]
            parts[#parts + 1] = event[name] and is_utf8(event[name]) and member(name, event[name]) or nil
        end
        for i, name in ipairs(FROM_JOB) do
            local value = name == 'state' and said.state or record[i]
            if value and (name == 'state' or not said[name]) then
                parts[#parts + 1] = member(name, value)
            end
        end
        return '{' .. table.concat(parts, ',') .. '}'
    end

    -- All that came along with jobs and batches and goes to one origin shares a lane, and the queue's secret for them.
    local function brought(url)
        local origin = url:match('^https?://[^/?]*') or ''
        return {id = 'job', url = url, target = 'job-' .. redis.sha1hex(origin:lower()):sub(1, 12)}
    end

    -- The webhook that a job brought along, if it wants this event.
    local function own_hook(q, n, event)
        local ok, spec = pcall(cjson.decode, redis.pcall('GET', key_of(q, 'spec:' .. n))) -- a stranger's is none
        local hook = ok and type(spec) == 'table' and spec.webhook
        if type(hook) ~= 'table' or type(hook.url) ~= 'string' then
            return nil
        end
        local on = type(hook.on) == 'table' and hook.on[1] and hook.on or ON_ENDS
        if is_wanted(on, event.event) then
            return brought(hook.url)
        end
    end

    -- The deliveries of one event of one job; how many they are.
    local function tell(q, event, at, n, attempt, hooks)
        local job = job_id(q, n)
        local stem = event.id .. '-' .. at
        local message = q.name .. '-' .. stem
        local record = redis.pcall('HMGET', key_of(q, 'job:' .. n), unpack(FROM_JOB)) -- empty of what is no job
        local body = body_of(q, event, message, job, attempt, record)
        for _, hook in ipairs(hooks) do
            delivery_put(q, stem .. '-' .. hook.id,
                         {hook = hook.id, target = hook.target or hook.id, url = hook.url, event = event.event,
                          message = message, body = body, job = job})
        end
        return #hooks
    end

    -- A batch is done: whoever asked for that by name, and its own webhook. Answers how many deliveries that makes.
    local function tell_batch(q, event, hooks)
        local all = {}
        for _, hook in ipairs(hooks) do
            for i = 1, #hook.on do
                all[#all + 1] = hook.on[i] == 'batch.done' and hook or nil
            end
        end
        if redis.pcall('SREM', key_of(q, 'webhooks:batches'), event.batch) == 1 then
            local url = redis.pcall('HGET', key_of(q, 'batch:' .. event.batch), 'webhook')
            all[#all + 1] = type(url) == 'string' and brought(url) or nil
        end
        local message = q.name .. '-' .. event.id .. '-1'
        local parts = {member('id', message), member('event', event.event), member('queue', q.name),
                       member('batch', event.batch), member('time_ms', event.time_ms)}
        for _, name in ipairs({'count', 'succeeded', 'failed', 'cancelled', 'reason'}) do
            parts[#parts + 1] = event[name] and member(name, event[name]) or nil
        end
        for _, hook in ipairs(all) do
            delivery_put(q, event.id .. '-1-' .. hook.id,
                         {hook = hook.id, target = hook.target or hook.id, url = hook.url, event = event.event,
                          message = message, body = '{' .. table.concat(parts, ',') .. '}', batch = event.batch})
        end
        return #all
    end

    -- The jobs that an entry stands for, as {n, attempt}.
    local function jobs_in(q, event)
        local found, stem = {}, q.name .. '-'
        for id, attempt in ((event.jobs or (event.job or '') .. ':' .. (event.attempt or '0')) .. ' '):gmatch(
            '([^ ]+):(%d+) ') do
            local n = id:sub(1, #stem) == stem and id:sub(#stem + 1)
            found[#found + 1] = {n = n and n:find('^%d+$') and n or nil, attempt = attempt}
        end
        return found
    end

    -- One entry from job number `skip` on. Answers how many deliveries it made, and the job it stopped at, if it did.
    local function tell_entry(q, event, skip, budget, hooks, has_own)
        local wanted, made = {}, 0
        if event.event == 'batch.done' then
            return event.batch and is_utf8(event.batch) and tell_batch(q, event, hooks) or 0
        end
        for _, hook in ipairs(hooks) do
            if is_wanted(hook.on, event.event) then
                wanted[#wanted + 1] = hook
            end
        end
        if not wanted[1] and not has_own then
            return 0
        end
        local jobs = jobs_in(q, event)
        for at = skip + 1, #jobs do
            local job, all = jobs[at], wanted
            if job.n and has_own and call('SISMEMBER', key_of(q, 'webhooks:jobs'), job.n) == 1 then
                local own = own_hook(q, job.n, event)
                if own then
                    all = {own, unpack(wanted)}
                end
                if ENDS[event.event] then
                    call('SREM', key_of(q, 'webhooks:jobs'), job.n)
                end
            end
            if job.n and all[1] then
                made = made + tell(q, event, at, job.n, job.attempt, all)
            end
            if made >= budget and at < #jobs then
                return made, at
            end
        end
        return made
    end

    -- Entries that were trimmed before they were read: how many, and the number of the first that is there.
    local function missed(q, index, is_inside)
        local info = pairs_table(call('XINFO', 'STREAM', key_of(q, 'events')))
        local first = info['entries-added'] - info.length + 1
        local expected = is_inside and index or index + 1
        if first > expected then
            event_of_queue(q, 'webhook.missed', 'count', first - expected, 'reason',
                           'events were trimmed before a scheduler read them')
        end
        return math.max(first, expected)
    end

    -- Reads on; whether there is more, and whether there was anything.
    local function read_on(q, cursor, limit, hooks, has_own)
        local id, skip, index = cursor:match('^(%d+%-%d+)/(%d+)/(%d+)$')
        id, skip, index = id or '0-0', tonumber(skip or 0), tonumber(index or 0)
        local entries = call('XRANGE', key_of(q, 'events'), (skip > 0 and '' or '(') .. id, '+', 'COUNT', limit)
        if not entries[1] then
            return false, false
        end
        local made, number, stopped = 0, missed(q, index, skip > 0) - 1, nil
        for i = 1, #entries do
            local event = pairs_table(entries[i][2])
            event.id, event.time_ms = entries[i][1], entries[i][1]:match('^%d+')
            number = number + 1
            local more
            if event.event then
                more, stopped = tell_entry(q, event, event.id == id and skip or 0, limit - made, hooks, has_own)
                made = made + more
            end
            call('HSET', q.meta_key, 'webhook_cursor', event.id .. '/' .. (stopped or 0) .. '/' .. integer_text(number))
            if stopped or made >= limit then
                return true, true
            end
        end
        return #entries == limit, true
    end

    local function gather(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        local cursor = call('HGET', q.meta_key, 'webhook_cursor')
        local is_more, is_busy = false, false
        if cursor then
            delivery_types(q)
            local own, batches = expect_type(q, 'set', 'webhooks:jobs'), expect_type(q, 'set', 'webhooks:batches')
            if expect_type(q, 'hash', 'webhooks') == 0 and own == 0 and batches == 0 then
                call('HDEL', q.meta_key, 'webhook_cursor')
            else
                is_more, is_busy = read_on(q, cursor, limit, hooks_of(q), own > 0)
            end
            event_flush(q)
        end
        local first = call('ZRANGE', key_of(q, 'deliveries'), 0, 0, 'WITHSCORES')
        local next_ms = first[2] and math.max(tonumber(first[2]) - q.now, 0) or -1
        if is_busy and (next_ms < 0 or next_ms > BUSY_MS) then
            next_ms = BUSY_MS
        end
        return {is_more and 1 or 0, next_ms}
    end

    local function test(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local hook = hook_of(want_hook(q, args[1]))
        delivery_types(q)
        local id = ('test-%s-%s'):format(q.now_text, args[1])
        local message = q.name .. '-' .. id
        local body = {member('id', message), member('event', 'webhook.test'), member('queue', q.name),
                      member('time_ms', q.now_text)}
        delivery_put(q, id, {hook = args[1], target = args[1], url = hook.url, event = 'webhook.test',
                             message = message, body = '{' .. table.concat(body, ',') .. '}'})
        event_flush(q)
        return id
    end

    register('webhook_add', add)
    register('webhook_remove', remove, 'allow-oom')
    register('webhook_secret', set_secret)
    register('webhooks', list, 'no-writes')
    register('webhook_test', test)
    register('webhook_gather', gather)
end
