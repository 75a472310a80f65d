-- Dependencies: a job that waits until others have ended. The child keeps `parents:<n>`: id of a parent →
-- "<condition> <state>", the state "-" until it has ended; `needs` in its record counts those, `parents` all of them.
-- `told:<n>` is what is known of parents in other queues.
-- A parent keeps `children:<n>`: the children that are still to be told of its end. The field `links` says "p" of a
-- child and "c" of a parent, so that other jobs need not look.
--
-- Whoever brings a parent to its end tells at most CHILDREN_A_CALL children. Parents with more are in `releases`, where
-- stoker_promote goes on. A child is told once of each parent, however often that is said.
--
-- Parents in other queues: `outbox` holds what a scheduler carries there, "ask <parent> <n of the child>" and "tell
-- <child> <parent> <state>", with the time at which it is handed out (again). lua/post.lua hands it out until it was
-- answered.

depend.CHILDREN_A_CALL = 100

-- "gpu-42" → "gpu", "42"; nil for what is no job id.
function depend.split(id)
    local name, n = id:match('^([a-z0-9][a-z0-9-]*)%-([1-9]%d*)$')
    if name and #name <= 63 and #n <= 15 then
        return name, n
    end
end

function depend.is_met(condition, state)
    return condition == state or (condition == 'finished' and STATE_FINAL[state] == true)
end

-- The value of `after` → what it names in the order of the bytes, and the condition of each.
function depend.wanted(after)
    local names, conditions = {}, {}
    for key, value in pairs(after or {}) do
        local name = type(key) == 'number' and value or key
        if not conditions[name] then
            names[#names + 1] = name
        end
        conditions[name] = name == key and value or 'succeeded'
    end
    table.sort(names, bytes_less)
    return names, conditions
end

-- ---------------------------------------------------------------- before the first write

-- The types of what the end of this job may write.
function depend.expect_types(q, j)
    if not j.f.links then
        return
    end
    if j.f.batch then
        expect_type(q, 'hash', 'batch:' .. j.f.batch)
        expect_type(q, 'zset', 'fires')
    end
    expect_type(q, 'zset', 'releases')
    expect_type(q, 'zset', 'children:' .. j.n)
    expect_type(q, 'hash', 'parents:' .. j.n)
    expect_type(q, 'zset', 'outbox')
end

-- One parent that is a job which exists: {id, n (nil: of another queue), state}.
function depend.find(q, id)
    local name, n = depend.split(id)
    if not name then
        fail('INVALID', 'after: %s is no job of this submit, and no job id | names in after mean jobs of the same ' ..
             'submit', quoted(id))
    elseif name ~= q.name then
        expect_type(q, 'zset', 'outbox')
        return {id = id}
    end
    local known = q.known.parents[n]
    if not known then
        local state = call('HGET', key_of(q, 'job:' .. n), 'state')
        if not state then
            fail('INVALID', 'after: there is no job %s (the newest is %s)', id, job_id(q, q.meta.next))
        end
        expect_type(q, 'zset', 'children:' .. n)
        known = {id = id, n = n, state = state}
        q.known.parents[n] = known
    end
    return known
end

-- What a new job waits for: a list of {parent, condition}; nil: nothing. of_name: jobs of the same submit by name.
function depend.check(q, after, of_name)
    local names, conditions = depend.wanted(after)
    if not names[1] then
        return nil
    end
    expect_type(q, 'zset', 'releases')
    expect_type(q, 'zset', 'jobs:cancelled')
    local list = {}
    for i = 1, #names do
        local own = of_name and of_name[names[i]]
        list[i] = {parent = own or depend.find(q, names[i]), condition = conditions[names[i]]}
    end
    return list
end

-- ---------------------------------------------------------------- one child

-- It does not wait for its parents any more: they need not tell it.
function depend.forget(q, j)
    for id, entry in pairs(pairs_table(call('HGETALL', key_of(q, 'parents:' .. j.n)))) do
        local name, n = depend.split(id)
        if entry:sub(-2) == ' -' and name == q.name then
            redis.pcall('ZREM', key_of(q, 'children:' .. n), j.n)
        elseif entry:sub(-2) == ' -' then
            redis.pcall('ZREM', key_of(q, 'outbox'), 'ask ' .. id .. ' ' .. j.n)
        end
    end
    checkpoints.ask_no_more(q, j)
    job_clear(j, 'needs', 'unmet')
end

depend.ENDS = {succeeded = 'succeeded', failed = 'failed', cancelled = 'was cancelled', gone = 'is not there'}

-- What it waits for never comes.
function depend.give_up(q, child, why)
    append(q.batch.unwait, child.n)
    job_set(child, 'cause', 'cancelled')
    job_set(child, 'error', why)
    job_settle(q, child, 'cancel')
    event_note(q, child, 'job.cancelled', 'state', 'cancelled', 'reason', why)
    job_save(q, child)
end

-- The condition can never hold any more: the child is cancelled, or stays as it is.
function depend.unmet(q, child, parent_id, condition, state)
    local why = parent_id .. (condition == 'failed' and ', whose failure it needs, ' or ', which it needs, ') ..
        depend.ENDS[state]
    if child.f.on_unmet == 'hold' then
        job_set(child, 'unmet', why)
        event_note(q, child, 'job.unmet', 'state', 'waiting', 'reason', why)
        return job_save(q, child)
    end
    depend.give_up(q, child, why)
end

-- All that it waited for has come: it is queued, or waits on for its time.
function depend.met(q, child)
    if child.f.reason ~= 'dependency' then
        return job_save(q, child) -- something else keeps it, too
    end
    local is_rated = child.f.rated or q.meta.rate_max > 0
    local due_ms = is_rated and limits.rate(q, child.f.rated and spec_of_job(q, child.n) or {}) or 0
    local reason = due_ms > job_number(child, 'due_ms') and 'limit' or 'delay'
    job_set(child, 'due_ms', math.max(due_ms, job_number(child, 'due_ms')))
    if job_number(child, 'due_ms') <= q.now then
        job_clear(child, 'due_ms')
        return limits.ready(q, child, 'meet') -- saves it
    end
    job_set(child, 'reason', reason)
    append(q.batch.waiting, child.f.due_ms, child.n)
    job_save(q, child)
end

-- One of the things that it waits for has come.
function depend.one_less(q, child)
    local needs = job_number(child, 'needs') - 1
    job_set(child, 'needs', needs > 0 and needs or nil)
    if needs == 0 and not child.f.unmet then
        return depend.met(q, child)
    end
    job_save(q, child)
end

-- Tells a child that a parent has ended: once, the second time is nothing.
-- about: what a parent in another queue leaves to its children, as JSON.
function depend.tell(q, child, parent_id, state, about)
    local key = key_of(q, 'parents:' .. child.n)
    local condition = (call('HGET', key, parent_id) or ''):match('^(%a+) %-$')
    if not condition or child.f.state ~= 'waiting' or not child.f.needs then
        return
    end
    call('HSET', key, parent_id, condition .. ' ' .. state)
    if about then
        call('HSET', key_of(q, 'told:' .. child.n), parent_id, about)
    end
    if depend.split(parent_id) ~= q.name then
        redis.pcall('ZREM', key_of(q, 'outbox'), 'ask ' .. parent_id .. ' ' .. child.n)
    end
    if depend.is_met(condition, state) or child.f.unmet then
        return depend.one_less(q, child)
    end
    local needs = job_number(child, 'needs') - 1
    job_set(child, 'needs', needs > 0 and needs or nil)
    depend.unmet(q, child, parent_id, condition, state)
end

-- The types of what being told may write: false when something of another type is in the way.
function depend.can_tell(q, child)
    return pcall(function()
        expect_can_queue(q, child)
        limits.check_new(q, child.f.rated and spec_of_job(q, child.n) or {})
        expect_type(q, 'hash', 'parents:' .. child.n)
        expect_type(q, 'list', 'history:' .. child.n)
        expect_type(q, 'zset', 'jobs:cancelled')
        depend.expect_types(q, child)
    end)
end

-- ---------------------------------------------------------------- a parent

-- Tells up to `most` children of a job that has ended. Answers how many, and whether none is left.
function depend.tell_children(q, n, state, most)
    local key, told = key_of(q, 'children:' .. n), {}
    local children = most > 0 and redis.pcall('ZRANGE', key, 0, most - 1) or {}
    for i = 1, #children do
        local id = children[i]
        local is_abroad, is_read, child = id:find('-', 1, true), false, nil
        if not is_abroad then
            is_read, child = pcall(job_find, q, id) -- a stranger's key is no child of ours
        end
        if is_abroad then
            call('ZADD', key_of(q, 'outbox'), q.now_text, ('tell %s %s %s'):format(id, job_id(q, n), state))
        elseif is_read and child and not depend.can_tell(q, child) then
            break -- it is tried again, and said by the tick
        elseif is_read and child then
            depend.tell(q, child, job_id(q, n), state)
        end
        told[i] = id
    end
    call_with('ZREM', key, told)
    return #told, redis.pcall('ZCARD', key) == 0
end

-- What the jobs that have ended in this call had to tell. A child that is cancelled may have children, too.
function depend.flush(q)
    local left = depend.CHILDREN_A_CALL
    local settled, at = q.batch.settled, 1
    while settled[at] do
        local j = settled[at]
        local told, is_done = depend.tell_children(q, j.n, j.f.state, left)
        left, at = left - told, at + 1
        if not is_done then
            call('ZADD', key_of(q, 'releases'), q.now_text, j.n)
        end
    end
end

-- Goes on where a call left children to be told. Answers how many were, and whether more are left.
function depend.drain(q, most)
    local all = 0
    for _, n in ipairs(call('ZRANGE', key_of(q, 'releases'), 0, most - 1)) do
        local state = call('HGET', key_of(q, 'job:' .. n), 'state')
        local told, is_done = depend.tell_children(q, n, state or 'gone', most - all)
        all = all + told
        if is_done then
            call('ZREM', key_of(q, 'releases'), n)
        end
    end
    return all, call('ZCARD', key_of(q, 'releases')) > 0
end

-- ---------------------------------------------------------------- a new child

function depend.link(q, parent_n, child)
    local linked, key = q.known.linked, key_of(q, 'children:' .. parent_n)
    if not linked[parent_n] then
        local links = call('HGET', key_of(q, 'job:' .. parent_n), 'links') or ''
        if not links:find('c', 1, true) then
            call('DEL', key)
            call('HSET', key_of(q, 'job:' .. parent_n), 'links', links .. 'c', 'special', '1')
        end
        linked[parent_n] = true
    end
    call('ZADD', key, (child:match('%d+$')), child)
end

-- Ties a new job, which was written as waiting, to what it waits for. One that has ended already counts at once.
function depend.attach(q, child, wanted, values)
    local pairs_list, ended, needs = {}, {}, #wanted
    for i = 1, #wanted do
        local parent, condition = wanted[i].parent, wanted[i].condition
        parent.id = parent.id or job_id(q, parent.n)
        append(pairs_list, parent.id, condition .. ' ' .. (wanted[i].over or '-'))
        if wanted[i].over then
            needs = needs - 1
        elseif not parent.n then
            call('ZADD', key_of(q, 'outbox'), q.now_text, 'ask ' .. parent.id .. ' ' .. child.n)
        elseif STATE_FINAL[parent.state] then
            ended[#ended + 1] = parent
        else
            depend.link(q, parent.n, child.n)
        end
    end
    local key = key_of(q, 'parents:' .. child.n)
    call('DEL', key)
    call('HSET', key, unpack(pairs_list))
    local links, others = unpack(call('HMGET', key_of(q, 'job:' .. child.n), 'links', 'needs'))
    local record = {'parents', #wanted, 'special', '1', 'links', (links or '') .. 'p'}
    needs = needs + (tonumber(others) or 0) -- a loan (lua/abroad.lua)
    if needs > 0 then
        append(record, 'needs', needs)
    end
    if values.on_unmet == 'hold' then
        append(record, 'on_unmet', 'hold')
    end
    if values['rate.key'] then
        append(record, 'rated', '1')
    end
    if values.delay > 0 then
        append(record, 'due_ms', integer_text(q.now + values.delay))
    end
    call('HSET', key_of(q, 'job:' .. child.n), unpack(record))
    return ended
end

-- After the submit was said: what had ended before it.
function depend.tell_ended(q, n, ended)
    for i = 1, #ended do
        depend.tell(q, job_find(q, n), ended[i].id, ended[i].state)
    end
end

-- What a job that is done again waits for: those parents of the old one, or what they are done again as, that have not
-- ended. Of those that have, somebody knows better.
function depend.inherit(q, old)
    local list = {}
    for id, entry in pairs(old.f.parents and pairs_table(call('HGETALL', key_of(q, 'parents:' .. old.n))) or {}) do
        local condition, state = entry:match('^(%a+) (%S+)$')
        local name, n = depend.split(id)
        local one = {parent = {id = id, state = state}, condition = condition, over = state ~= '-' and state or 'gone'}
        if name == q.name then
            local known = call('HMGET', key_of(q, 'job:' .. n), 'state', 'retried_as')
            if known[2] then
                n, id = known[2], job_id(q, known[2])
                known[1] = call('HGET', key_of(q, 'job:' .. n), 'state')
            end
            expect_type(q, 'zset', 'children:' .. n)
            one.parent = {id = id, n = n, state = known[1]}
            one.over = known[1] and STATE_FINAL[known[1]] and known[1] or (not known[1] and one.over or nil)
        end
        list[#list + 1] = one
    end
    return list[1] and list or nil
end

function depend.is_open(wanted)
    for i = 1, #(wanted or {}) do
        if not wanted[i].over then
            return true
        end
    end
    return false
end

-- ---------------------------------------------------------------- reading

depend.RESULT_BYTES = 4096 -- a larger one is fetched by whoever wants it
depend.JSON_BYTES = 65536  -- it becomes one variable of a program's environment

-- The pairs, as JSON, and what more there is of an object behind them.
function depend.joined(list, more)
    local text = json_of_pairs(list)
    if more == '' then
        return text
    end
    return text:sub(1, -2) .. (list[1] and ',' or '') .. more .. '}'
end

-- What a job of this queue leaves to its children: pairs, what follows them as JSON ("": nothing), its state (nil: it
-- is not there). is_full: for their programs.
function depend.about(q, n, is_full)
    local list, more = {}, ''
    local known = redis.pcall('HMGET', key_of(q, 'job:' .. n), 'state', 'checkpoint', 'name')
    if known.err or not known[1] then
        return list, more
    end
    pairs_given(list, 'name', known[3] or nil, 'checkpoint', known[2] or nil)
    local summary = is_full and known[2] and redis.pcall('HGET', key_of(q, 'checkpoints:' .. n), known[2])
    local uri = type(summary) == 'string' and summary:match('"uri":"([^"]*)"')
    if uri then
        append(list, 'checkpoint_uri', (uri:gsub('\\/', '/')))
    end
    local result = is_full and redis.pcall('GET', key_of(q, 'result:' .. n))
    if type(result) == 'string' and #result <= depend.RESULT_BYTES then
        more = '"result":' .. result
    elseif type(result) == 'string' then
        more = '"result_bytes":' .. #result
    end
    return list, more, known[1]
end

function depend.parent_json(q, child_n, id, entry, is_full)
    local condition, state = entry:match('^(%a+) (%S+)$')
    local name, n = depend.split(id)
    if name == q.name then
        local list, more, is = depend.about(q, n, is_full)
        append(list, 'condition', condition, 'state', is or state)
        return depend.joined(list, more)
    end
    local told = is_full and redis.pcall('HGET', key_of(q, 'told:' .. child_n), id)
    return depend.joined({'condition', condition, 'state', state}, type(told) == 'string' and told:sub(2, -2) or '')
end

-- What is known of the parents of a job, as JSON by id; is_full: for its program, with their results.
function depend.parents_json(q, n, is_full)
    local parts, bytes = {}, 0
    for id, entry in pairs(pairs_table(call('HGETALL', key_of(q, 'parents:' .. n)))) do
        local text = depend.parent_json(q, n, id, entry, is_full)
        if bytes + #text > depend.JSON_BYTES then
            text = depend.parent_json(q, n, id, entry)
        end
        bytes = bytes + #text
        parts[#parts + 1] = cjson.encode(id) .. ':' .. text
    end
    table.sort(parts, bytes_less)
    return '{' .. table.concat(parts, ',') .. '}'
end
