-- Which checkpoints of a job are kept: the newest ones (keep_last), the best ones (keep_best), one of each so many
-- steps or of each time (keep_every), and what is young (keep_for). What somebody is about to read stays, whatever the
-- rules say. The others are marked `deleting`; whoever has deleted the objects forgets the record (stoker_drop).

-- The value of this metric when the checkpoint was saved, or nil. `loss` is that of metrics.watch.
function checkpoints.metric(c, metric)
    local values = c.record.metrics
    local value = type(values) == 'table' and values[metric] or nil
    if value == nil and metric == 'loss' then
        value = c.record.loss
    end
    return type(value) == 'number' and value or nil
end

-- The good ones that know the metric, the best first; of equals the newer.
function checkpoints.best(list, rule)
    local known = {}
    for at, c in ipairs(checkpoints.committed(list)) do
        local value = checkpoints.metric(c, rule.metric)
        if value then
            known[#known + 1] = {c = c, at = at, value = rule.mode == 'max' and -value or value}
        end
    end
    table.sort(known, function(a, b)
        if a.value ~= b.value then
            return a.value < b.value
        end
        return a.at > b.at
    end)
    for i = 1, #known do
        known[i] = known[i].c
    end
    return known
end

-- "<n>:<id>": has this unfinished job still what it was lent? "<queue>@<time>": it was lent to a job there, which says
-- itself when it needs it no more (lua/abroad.lua). Answers who, in words, or nil.
function checkpoints.is_borrowing(q, lent)
    local queue = tostring(lent):match('^(.+)@%d+$')
    if queue then
        return 'a job of queue ' .. queue
    end
    local n, id = tostring(lent):match('^(%d+):(.+)$')
    local state = n and redis.pcall('HGET', key_of(q, 'job:' .. n), 'state')
    if type(state) == 'string' and not STATE_FINAL[state] and
        redis.pcall('HEXISTS', key_of(q, 'checkpoints:' .. n), id) == 1 then
        return 'job ' .. job_id(q, n)
    end
end

-- The unfinished job that still has what it was lent of this one, in words, or nil; and its place among those who were.
function checkpoints.borrower(q, c)
    local lent = type(c.record.lent) == 'table' and c.record.lent or {}
    for i = #lent, 1, -1 do -- who came last is the most likely
        local who = checkpoints.is_borrowing(q, lent[i])
        if who then
            return who, i
        end
    end
end

-- The running attempt may still be restoring it.
function checkpoints.is_being_read(j, c)
    return j.f.state == 'running' and c.id == j.f.resume and not j.f.started_ms
end

-- How many others, which are not marked, use files of it.
function checkpoints.used(c)
    return tonumber(c.record.used) or 0
end

-- Those of the list that it uses files of: earlier ones of its attempt.
function checkpoints.uses(list, c)
    local used = {}
    for _, seq in ipairs(c.attempt > 0 and type(c.record.uses) == 'table' and c.record.uses or {}) do
        used[#used + 1] = checkpoints.find(list, ('%d-%d'):format(c.attempt, seq))
    end
    return used
end

do
    -- The first one at or behind each so many steps, or in each so long a time since the submit.
    local function keep_every(j, good, every, kept)
        local steps = tonumber(every:match('^(%d+) steps?$'))
        local length = steps or spec_table.duration(every)
        local last = 0
        for _, c in ipairs(good) do
            local at = steps and tonumber(c.record.step) or
                not steps and (tonumber(c.record.time_ms) or 0) - job_number(j, 'submitted_ms')
            local window = math.floor((at or 0) / length)
            if window > last then
                last = window
                kept[c.id] = true
            end
        end
    end

    local function kept_of(q, j, list, policy)
        local good, kept = checkpoints.committed(list), {}
        for i = math.max(#good - policy.keep_last + 1, 1), #good do
            kept[good[i].id] = true
        end
        local best = policy.keep_best and checkpoints.best(list, policy.keep_best) or {}
        for i = 1, math.min(#best, policy.keep_best and policy.keep_best.count or 0) do
            kept[best[i].id] = true
        end
        if policy.keep_every then
            keep_every(j, good, tostring(policy.keep_every), kept)
        end
        for _, c in ipairs(policy.keep_for > 0 and good or {}) do
            kept[c.id] = kept[c.id] or q.now - (tonumber(c.record.time_ms) or 0) < policy.keep_for
        end
        return kept
    end

    local function is_past_its_term(q, c, term_ms)
        local state = c.record.state
        return (state == 'quarantined' or state == 'rejected') and
            q.now - (tonumber(c.record.time_ms) or 0) >= term_ms
    end

    -- A borrower keeps it; those who came after that one are done with it, and looked at no more.
    local function is_lent(q, j, c)
        local borrower, at = checkpoints.borrower(q, c)
        if borrower and at < #c.record.lent then
            for i = #c.record.lent, at + 1, -1 do
                c.record.lent[i] = nil
            end
            checkpoints.put(q, j.n, c)
        end
        return borrower
    end

    -- What was lent to this job (attempt 0) is only forgotten: the objects are those of the job that lent it. Without
    -- any it is no borrower.
    local function let_go(q, j, list, c)
        if c.attempt == 0 then
            call('HDEL', key_of(q, 'checkpoints:' .. j.n), c.id)
            c.is_forgotten = true
            for _, other in ipairs(list) do
                if other.attempt == 0 and not other.is_forgotten then
                    return
                end
            end
            redis.pcall('ZREM', key_of(q, 'borrowers'), j.n)
            return
        end
        checkpoints.mark(q, j, c, 'deleting')
        for _, other in ipairs(checkpoints.uses(list, c)) do
            local left = checkpoints.used(other) - 1
            other.record.used = left > 0 and left or nil
            checkpoints.put(q, j.n, other)
        end
    end

    function checkpoints.keep(q, j, list, policy)
        local kept = kept_of(q, j, list, policy)
        for i = #list, 1, -1 do -- before those whose files it uses
            local c = list[i]
            local is_over = c.record.state == 'committed' and not kept[c.id] or
                is_past_its_term(q, c, policy.quarantine)
            if is_over and checkpoints.used(c) == 0 and not checkpoints.is_being_read(j, c) and
                not is_lent(q, j, c) then
                let_go(q, j, list, c)
            end
        end
    end

    checkpoints.let_go = let_go
end
