-- What a run left: log and metrics without holes, and the records of its checkpoints.
do
    local TEXTS = {stdout = true, stderr = true, stoker = true, gap = true}
    local BYTES_A_STEP = 262144

    -- ---------------------------------------------------------------- log and metrics

    -- Two kinds of streams with ids <attempt>-<number>: how many numbers an entry stands for, and its text.
    local STREAMS = {
        log = {step = 'log', next = 'log_next', measure = function(id, fields)
            local bytes = 0
            for name in pairs(TEXTS) do
                bytes = bytes + #(fields[name] or '')
            end
            return tonumber(fields.lines) or 0, bytes, id
        end},
        metrics = {step = 'metrics', next = 'metric_next', measure = function(id)
            return id:sub(-2) == '-0' and 0 or 1, 0
        end},
    }

    -- So many entries as a step may read.
    local function entries_a_step(q, name, j)
        local length = fsck.ask(q, 'XLEN', name) or 0
        local average = length > 0 and job_number(j, 'log_bytes') / length or 0
        return math.max(1, math.min(500, math.floor(BYTES_A_STEP / math.max(average, 1))))
    end

    -- The state of a walk in one word: "<first id>,<last id>,<bytes>,<attempt>,<next number>".
    local function walk_of(word)
        local first, last, bytes, attempt, expected = (word or ''):match('^([%d-]+),([%d-]+),(%d+),(%d+),(%d+)$')
        return {first = first, last = last, bytes = tonumber(bytes) or 0, attempt = tonumber(attempt),
                expected = tonumber(expected)}
    end

    local function follow(at, walk, stream, what, entries)
        for i = 1, #entries do
            local id = entries[i][1]
            local attempt, number = id:match('^(%d+)%-(%d+)$')
            attempt, number = tonumber(attempt), tonumber(number)
            local count, bytes = stream.measure(id, pairs_table(entries[i][2]))
            local wanted = walk.attempt == attempt and walk.expected or (walk.first and 1) or number
            if count > 0 and number ~= wanted then
                fsck.found(at, 'stream-hole', nil, '%s has a hole before %s (expected %d)', what, id, wanted)
            end
            walk.first, walk.last, walk.bytes = walk.first or id, id, walk.bytes + bytes
            walk.attempt, walk.expected = attempt, number + math.max(count, 1)
        end
    end

    -- At the end of a walk: what the job says of it. If the head was trimmed on the way, the bytes are not known.
    local function ends_well(q, at, j, kind, walk)
        local name, stream = kind .. ':' .. j.n, STREAMS[kind]
        if walk.attempt and walk.attempt == job_number(j, 'attempt') and walk.expected > 1 and
            j.f[stream.next] ~= integer_text(walk.expected) then
            fsck.found(at, 'stream-next', fsck.set_field(q, j, stream.next, walk.expected),
                       '%s ends before %d, %s says %s', name, walk.expected, stream.next, j.f[stream.next] or 'nothing')
        end
        local head = call('XRANGE', key_of(q, name), '-', '+', 'COUNT', 1)[1]
        if kind == 'log' and (not head or head[1] == walk.first) and walk.bytes ~= job_number(j, 'log_bytes') then
            fsck.found(at, 'log-bytes', fsck.set_field(q, j, 'log_bytes', walk.bytes),
                       '%s has %d bytes of text, log_bytes says %d', name, walk.bytes, job_number(j, 'log_bytes'))
        end
    end

    local function walk_on(q, at, kind, n, word)
        local name = kind .. ':' .. n
        local j = fsck.type_of(q, 'job:' .. n) == 'hash' and job_find(q, n)
        if not j or fsck.type_of(q, name) ~= 'stream' then
            return {}
        end
        local walk, count = walk_of(word), entries_a_step(q, name, j)
        if walk.last and #call('XRANGE', key_of(q, name), walk.last, walk.last) == 0 then
            walk = {bytes = 0} -- more of the oldest entries went than were looked at: from the new first one
        end
        repeat
            local entries = call('XRANGE', key_of(q, name), walk.last and '(' .. walk.last or '-', '+', 'COUNT', count)
            follow(at, walk, STREAMS[kind], name, entries)
            at.left = at.left - count / 4 - 1
            if #entries == count and not at.is_mending then
                return {('%s %s %s,%s,%d,%d,%d'):format(STREAMS[kind].step, n, walk.first, walk.last, walk.bytes,
                                                        walk.attempt, walk.expected)}
            end
        until #entries < count
        ends_well(q, at, j, kind, walk)
        return {}
    end

    -- A finding at the end of a long walk is seen again from its beginning.
    local function step_of(kind)
        return function(q, at, n, word)
            at.where = STREAMS[kind].step .. ' ' .. n
            return walk_on(q, at, kind, n, word)
        end
    end
    fsck.steps.log, fsck.steps.metrics = step_of('log'), step_of('metrics')

    -- `sizes` are those of the newest entries: the newest few tell whether it is out of step.
    local function sizes(q, at, j)
        if job_number(j, 'log_bytes') > 0 and not fsck.has_key(q, 'log:' .. j.n) then
            fsck.found(at, 'log-bytes', fsck.set_field(q, j, 'log_bytes', 0), 'log:%s is gone, log_bytes says %s', j.n,
                       j.f.log_bytes)
        end
        local last = fsck.ask(q, 'LRANGE', 'sizes:' .. j.n, -8, -1) or {}
        if not last[1] then
            return
        end
        local entries = fsck.ask(q, 'XREVRANGE', 'log:' .. j.n, '+', '-', 'COUNT', #last) or {}
        for i = 1, #last do
            local entry = entries[#last - i + 1]
            local _, bytes = STREAMS.log.measure('', entry and pairs_table(entry[2]) or {})
            if not entry or tonumber(last[i]) ~= bytes then
                fsck.found(at, 'log-sizes', function()
                    call('DEL', key_of(q, 'sizes:' .. j.n))
                end, 'sizes of job %s are not those of its last entries', job_id(q, j.n))
                return
            end
        end
    end

    function fsck.job_streams(q, j)
        local following = {}
        for _, kind in ipairs({'log', 'metrics'}) do
            if fsck.has_key(q, kind .. ':' .. j.n) then
                following[#following + 1] = STREAMS[kind].step .. ' ' .. j.n
            end
        end
        return following
    end

    -- ---------------------------------------------------------------- checkpoints

    local KNOWN = {committed = true, quarantined = true, rejected = true, deleting = true}

    local function records_hold(q, at, j)
        for id, text in pairs(pairs_table(call('HGETALL', key_of(q, 'checkpoints:' .. j.n)))) do
            local ok, one = pcall(cjson.decode, text)
            if not id:find(CHECKPOINT_ID) then
                fsck.found(at, 'checkpoint-id', nil, 'job %s has a checkpoint called %s', job_id(q, j.n), quoted(id))
            elseif not ok or type(one) ~= 'table' then
                fsck.found(at, 'checkpoint-record', nil, 'checkpoint %s of job %s: its record is no JSON object', id,
                           job_id(q, j.n))
            elseif not KNOWN[one.state] then
                fsck.found(at, 'checkpoint-record', nil, 'checkpoint %s of job %s has the state %s', id,
                           job_id(q, j.n), quoted(one.state))
            end
        end
    end

    -- What others use files of is there, and counts them.
    local function uses(q, at, j, list)
        local count, by_id = {}, {}
        for i = 1, #list do
            local c = list[i]
            by_id[c.id] = c
            if c.record.state ~= 'deleting' and c.attempt > 0 and type(c.record.uses) == 'table' then
                for _, seq in ipairs(c.record.uses) do
                    local id = ('%d-%d'):format(c.attempt, tonumber(seq) or 0)
                    count[id] = (count[id] or 0) + 1
                end
            end
        end
        for id in pairs(count) do
            if not by_id[id] or by_id[id].record.state == 'deleting' then
                fsck.found(at, 'checkpoint-used-gone', nil, 'checkpoint %s of job %s is %s, and others use files of it',
                           id, job_id(q, j.n), by_id[id] and 'being deleted' or 'gone')
            end
        end
        for i = 1, #list do
            local c, is = list[i], count[list[i].id] or 0
            if checkpoints.used(c) ~= is then
                fsck.found(at, 'checkpoint-used', function()
                    c.record.used = is > 0 and is or nil
                    checkpoints.put(q, j.n, c)
                end, 'checkpoint %s of job %s says that %d others use files of it, %d do', c.id, job_id(q, j.n),
                           checkpoints.used(c), is)
            end
        end
    end

    local function saved(q, at, j)
        local list = {}
        if fsck.has_key(q, 'checkpoints:' .. j.n) then
            records_hold(q, at, j)
            list = checkpoints.load(q, j.n)
            uses(q, at, j, list)
        end
        for _, letter in ipairs(checkpoints.loan_letters(q, j, list)) do
            fsck.found(at, 'loan-unasked', fsck.into(q, 'outbox', q.now_text, letter),
                       'nobody carries the letter of job %s: %s', job_id(q, j.n), letter)
        end
        local member = j.f.lender and checkpoints.member_abroad(j.f.lender, j.n)
        if member and not fsck.score(q, 'abroad', member) then
            fsck.found(at, 'index-missing', fsck.into(q, 'abroad', 0, member), 'job %s is not in abroad',
                       job_id(q, j.n))
        end
        local good = checkpoints.committed(list)
        local newest = good[#good]
        if j.f.checkpoint ~= (newest and newest.id) then
            fsck.found(at, 'checkpoint-newest', function()
                checkpoints.note_newest(j, list)
                job_save(q, j)
            end, 'job %s names checkpoint %s, the newest good one is %s', job_id(q, j.n), j.f.checkpoint or 'none',
                       newest and newest.id or 'none')
        end
    end

    fsck.rule(sizes)
    fsck.rule(saved)
end
