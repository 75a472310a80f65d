-- What ties a job to others: limits by key, dependencies, batches.
do
    -- ---------------------------------------------------------------- slots and unique keys

    local function is_in_line(f)
        return f.state == 'waiting' and f.reason == 'limit' and not f.due_ms
    end

    local function has_slot(f)
        return f.state == 'queued' or f.state == 'running'
    end

    -- Who is first in the line goes as soon as a slot is free.
    local function head_of_line(q, at, j, slots, line)
        if call('ZRANGE', key_of(q, line), 0, 0)[1] ~= j.n then
            return
        end
        if call('ZCARD', key_of(q, slots)) < job_number(j, 'slot_max') then
            fsck.found(at, 'line-stuck', function()
                expect_can_queue(q, j)
                limits.ready(q, j, 'promote')
            end, 'job %s waits though %s has a free slot', job_id(q, j.n), j.f.slot)
        end
    end

    local function slot(q, at, j)
        if not j.f.slot then
            return
        end
        local slots, line = limits.names(j.f.slot)
        if not (fsck.type_holds(q, at, slots, 'zset') and fsck.type_holds(q, at, line, 'zset')) then
            return
        end
        local id, has, lined = job_id(q, j.n), fsck.score(q, slots, j.n), fsck.score(q, line, j.n)
        local holds, waits = has_slot(j.f), is_in_line(j.f)
        if holds and not has then
            fsck.found(at, 'slot-missing', fsck.into(q, slots, q.now_text, j.n), '%s job %s holds no slot of %s',
                       j.f.state, id, j.f.slot)
        elseif has and not holds then
            fsck.found(at, 'slot-wrong', fsck.out_of(q, slots, j.n), '%s job %s holds a slot of %s', j.f.state, id,
                       j.f.slot)
        end
        if waits and not lined then
            fsck.found(at, 'line-missing', function()
                limits.line_up(q, j.n, j.f.slot, j.f.priority)
            end, 'job %s waits for a slot of %s and is not in the line', id, j.f.slot)
        elseif lined and not waits then
            fsck.found(at, 'line-wrong', fsck.out_of(q, line, j.n), '%s job %s is in the line of %s', j.f.state, id,
                       j.f.slot)
        elseif waits then
            head_of_line(q, at, j, slots, line)
        end
    end

    local function unique_key(q, at, j)
        local key = not STATE_FINAL[j.f.state] and j.f.unique
        if key and fsck.type_holds(q, at, 'unique:' .. key, 'string') and not fsck.has_key(q, 'unique:' .. key) and
            spec_of_job(q, j.n)['unique.until'] ~= 'expired' then
            fsck.found(at, 'unique-lost', function()
                call('SET', key_of(q, 'unique:' .. key), j.n)
            end, 'job %s has lost its key %s', job_id(q, j.n), quoted(key))
        end
    end

    -- Of a key's holders, or of its line: those that are no such jobs.
    function fsck.steps.holder(q, at, name, n)
        local wanted = name:match('^[^:]+:(.*)$')
        local f = fsck.job_fields(q, n, 'slot', 'reason', 'due_ms')
        if fsck.score(q, name, n) and not (f and f.slot == wanted) then
            fsck.found(at, 'slot-ghost', fsck.out_of(q, name, n), '%s has %s, which is no job with this key', name, n)
        end
        return {}
    end

    -- ---------------------------------------------------------------- dependencies

    local function lists_of(q, n)
        local parents = fsck.ask(q, 'HGETALL', 'parents:' .. n) or {}
        local open, count = {}, 0
        for id, entry in pairs(pairs_table(parents)) do
            count = count + 1
            append(open, entry:sub(-2) == ' -' and id or nil)
        end
        return open, count
    end

    -- Tells the child what the parent came to, the next time that promote looks.
    local function release(q, parent, child)
        return function()
            call('ZADD', key_of(q, 'children:' .. parent), (child:match('%d+$')), child)
            call('ZADD', key_of(q, 'releases'), q.now_text, parent)
        end
    end

    local function parent_of(q, at, j, id)
        local name, n = depend.split(id)
        local child = job_id(q, j.n)
        if name ~= q.name then
            local letter = 'ask ' .. id .. ' ' .. j.n
            if not fsck.score(q, 'outbox', letter) then
                fsck.found(at, 'parent-unasked', fsck.into(q, 'outbox', q.now_text, letter),
                           'job %s waits for %s, and nobody asks there', child, id)
            end
            return
        end
        if not fsck.type_holds(q, at, 'children:' .. n, 'zset') then
            return
        end
        local f, knows = fsck.job_fields(q, n), fsck.score(q, 'children:' .. n, j.n)
        local is_told = knows and fsck.score(q, 'releases', n)
        if (not f or STATE_FINAL[f.state]) and not is_told then
            fsck.found(at, 'parent-over', release(q, n, j.n), 'job %s waits for %s, which %s', child, id,
                       f and 'has ended' or 'is gone')
        elseif not knows then
            fsck.found(at, 'parent-unknowing', function()
                depend.link(q, n, j.n)
            end, 'job %s waits for %s, which does not know', child, id)
        end
    end

    local function parents(q, at, j)
        local open, count = lists_of(q, j.n)
        local id = job_id(q, j.n)
        if count ~= job_number(j, 'parents') then
            fsck.found(at, 'parents-count', fsck.set_field(q, j, 'parents', count > 0 and count or nil),
                       'job %s says %d parents, there are %d', id, job_number(j, 'parents'), count)
        end
        local waits = j.f.state == 'waiting' and (job_number(j, 'needs') > 0 or j.f.unmet)
        if not waits then
            if j.f.reason == 'dependency' then
                fsck.found(at, 'waits-for-nobody', function()
                    expect_can_queue(q, j)
                    depend.met(q, j)
                end, 'job %s waits for nobody', id)
            end
            if j.f.needs or j.f.unmet then
                fsck.found(at, 'needs-left', function()
                    job_clear(j, 'needs', 'unmet')
                    job_save(q, j)
                end, '%s job %s still needs %s', j.f.state, id, j.f.needs or j.f.unmet)
            end
            return
        end
        local needs = #open + (j.f.borrows and 1 or 0)
        if job_number(j, 'needs') ~= needs then
            fsck.found(at, 'needs-count', fsck.set_field(q, j, 'needs', needs > 0 and needs or nil),
                       'job %s needs %d, %d have not ended', id, job_number(j, 'needs'), needs)
        end
        for i = 1, #open do
            parent_of(q, at, j, open[i])
        end
    end

    local function children(q, at, j)
        local count = fsck.ask(q, 'ZCARD', 'children:' .. j.n) or 0
        if STATE_FINAL[j.f.state] and count > 0 and not fsck.score(q, 'releases', j.n) then
            fsck.found(at, 'children-untold', fsck.into(q, 'releases', q.now_text, j.n),
                       '%s job %s has %d children that were not told', j.f.state, job_id(q, j.n), count)
        end
    end

    -- The letters by which a job is known to have ties: what is there must be said.
    local function letters(q, at, j)
        local given, missing = j.f.links or '', ''
        local ties = {p = fsck.has_key(q, 'parents:' .. j.n), c = fsck.has_key(q, 'children:' .. j.n),
                      b = j.f.batch ~= nil}
        for letter, is_there in pairs(ties) do
            if is_there and not given:find(letter, 1, true) then
                missing = missing .. letter
            end
        end
        if missing ~= '' then
            fsck.found(at, 'links', fsck.set_field(q, j, 'links', given .. missing),
                       'job %s has the links %s without %s', job_id(q, j.n), quoted(given), quoted(missing))
        end
        for _, letter in ipairs({'p', 'b'}) do
            if given:find(letter, 1, true) and not ties[letter] then
                fsck.found(at, 'links', fsck.set_field(q, j, 'links', (given:gsub(letter, ''))),
                           'job %s has the link %s to nothing', job_id(q, j.n), letter)
            end
        end
    end

    local function member(q, at, j)
        local batch = j.f.batch
        if not batch or not fsck.type_holds(q, at, 'members:' .. batch, 'zset') then
            return
        end
        if not fsck.score(q, 'members:' .. batch, j.n) then
            fsck.found(at, 'member-missing', fsck.into(q, 'members:' .. batch, j.n, j.n),
                       'job %s is not among the members of its batch %s', job_id(q, j.n), batch)
        elseif not fsck.has_key(q, 'batch:' .. batch) or not fsck.score(q, 'batches', batch) then
            fsck.take(q, at, 'batch', batch)
        end
    end

    fsck.rule(slot)
    fsck.rule(unique_key)
    fsck.rule(parents)
    fsck.rule(children)
    fsck.rule(letters)
    fsck.rule(member)
end
