-- The inbox: an app whose user may do nothing but XADD to `inbox:<submitter>` and read `reply:<submitter>` gets its
-- jobs in. Only the streams of those in the set `submitters` are looked at, so nobody can make us read other keys.
--
-- stoker_submitter add | remove <name> [actor]: an operator lets an app in, or shuts it out again.
-- stoker_submitters: who is let in, and how much of theirs waits.
-- stoker_inbox [limit]: takes what one of them put in, the next in turn.
--
-- Entry, job, answer and the end of the entry are one call: a scheduler that dies does it or does not, and of two that
-- come at once the second finds the entry gone. What an app does to its streams can hurt only itself: they are bounded
-- in entries and bytes before anything of them is read, and an inbox is deleted when it is empty, which also frees one
-- that an entry of the largest id had closed. But not within the second of its last entry: ids would come twice.
do
    local NAME = '^[A-Za-z0-9][A-Za-z0-9_-]*$'
    local SUBMITTERS_MAX = 1000
    local BACKLOG_MAX = 10000             -- entries of one inbox that wait; older ones are dropped, with an answer
    local BACKLOG_BYTES = 16 * 1024 * 1024 -- of one inbox; above it all of it is dropped, with an answer
    local TURN_BYTES = 2 * 1024 * 1024    -- what one call is to read, about
    local REPLIES_KEPT = 1000

    local function want_submitter(name)
        return want_match(name, 'submitter', NAME, 64, '1 to 64 letters, digits, hyphens, underscores')
    end

    local function change(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local verb, name, actor = args[1], want_submitter(args[2]), want_actor(args[3])
        if verb ~= 'add' and verb ~= 'remove' then
            fail('INVALID', 'expected add or remove, got %s', quoted(verb))
        end
        local count = expect_type(q, 'set', 'submitters')
        expect_type(q, 'stream', 'events')
        local is_there = call('SISMEMBER', key_of(q, 'submitters'), name) == 1
        if (verb == 'add') == is_there then
            return is_there and 'added' or 'removed'
        elseif verb == 'add' and count >= SUBMITTERS_MAX then
            fail('FULL', 'queue %s has %d submitters, which is the bound | remove one that is not used', q.name, count)
        end
        call(is_there and 'SREM' or 'SADD', key_of(q, 'submitters'), name)
        call('UNLINK', key_of(q, 'inbox:' .. name), key_of(q, 'reply:' .. name))
        event_of_queue(q, is_there and 'submitter.removed' or 'submitter.added', 'submitter', name, 'actor', actor)
        event_flush(q)
        return is_there and 'removed' or 'added'
    end

    local function names_of(q)
        return call('SMEMBERS', key_of(q, 'submitters'))
    end

    -- What a stranger put in the place of a stream counts as an empty one.
    local function length_of(q, key)
        local length = redis.pcall('XLEN', key_of(q, key))
        return type(length) == 'number' and length or 0
    end

    local function submitters(keys, args)
        no_more_arguments(args, 0)
        local q = queue_open(keys)
        expect_type(q, 'set', 'submitters')
        local list, names = {}, names_of(q)
        table.sort(names, bytes_less)
        for i, name in ipairs(names) do
            list[i] = ('{"name":%s,"waiting":%d,"replies":%d}'):format(
                cjson.encode(name), length_of(q, 'inbox:' .. name), length_of(q, 'reply:' .. name))
        end
        return '{"submitters":' .. json_list(list) .. '}'
    end

    -- The answer to an entry. Only schedulers write there; should one have spoiled the stream, it begins again.
    local function answer(q, name, ...)
        local key, list = key_of(q, 'reply:' .. name), {...}
        if type(redis.pcall('XADD', key, 'MAXLEN', '~', REPLIES_KEPT, '*', unpack(list))) == 'table' then
            call('DEL', key)
            call('XADD', key, '*', unpack(list))
        end
    end

    -- Brings an inbox within its bounds; how many entries are left, and how many of them to read at once.
    local function bound(q, name)
        local key = key_of(q, 'inbox:' .. name)
        local length = length_of(q, 'inbox:' .. name)
        if length > BACKLOG_MAX then
            call('XTRIM', key, 'MAXLEN', BACKLOG_MAX)
            answer(q, name, 'error', ('FULL %d entries were dropped unread, the oldest: at most %d may wait in an ' ..
                   'inbox | send less at a time, and wait for the answers'):format(length - BACKLOG_MAX, BACKLOG_MAX))
            length = BACKLOG_MAX
        end
        local bytes = call('MEMORY', 'USAGE', key, 'SAMPLES', 0)
        if bytes > BACKLOG_BYTES then
            call('UNLINK', key)
            answer(q, name, 'error', ('FULL all %d entries were dropped unread: the inbox held %d bytes, its bound ' ..
                   'is %d | a spec has at most %d bytes'):format(length, bytes, BACKLOG_BYTES, spec_table.max_bytes))
            length = 0
        end
        return length, math.floor(TURN_BYTES / math.max(bytes / math.max(length, 1), 1)) + 1
    end

    -- An empty inbox goes, unless the ids of a new one could be those of the old.
    local function sweep(q, name)
        local info = redis.pcall('XINFO', 'STREAM', key_of(q, 'inbox:' .. name))
        local last_ms = not info.err and tonumber(pairs_table(info)['last-generated-id']:match('^%d+'))
        if last_ms and math.abs(last_ms - q.now) > 1000 then
            call('DEL', key_of(q, 'inbox:' .. name))
        end
    end

    -- The fields of an entry: its spec and key, or what is wrong with it.
    local function fields_of(fields)
        local found = {}
        if #fields > 4 then
            return nil, ('INVALID inbox: expected the fields spec and key, got %d fields'):format(#fields / 2)
        end
        for i = 1, #fields, 2 do
            local name = fields[i]
            if name ~= 'spec' and name ~= 'key' then
                local shown = is_utf8(name) and quoted(name) or 'a name that is not UTF-8'
                return nil, ('INVALID inbox: unknown field %s; known here: spec, key'):format(shown)
            elseif found[name] then
                return nil, ('INVALID inbox: the field %s stands twice'):format(name)
            end
            found[name] = fields[i + 1]
        end
        if not found.spec then
            return nil, 'INVALID inbox: the field spec is missing | XADD … * spec \'{"command":["true"]}\''
        end
        return found
    end

    -- Submits what the entries hold, answers each of them and removes it.
    local function take(q, name, entries)
        local list, refused, ids = {}, {}, {}
        for i, entry in ipairs(entries) do
            local found, wrong = fields_of(entry[2])
            ids[i], refused[i] = entry[1], wrong
            if found then
                append(list, found.spec, found.key or '')
            end
        end
        local answers, at = submit_each(q, list, 1, 'inbox:' .. name, name), 0
        for i, id in ipairs(ids) do
            at = at + (refused[i] and 0 or 1)
            local verdict = refused[i] and {'error', refused[i]} or answers[at]
            answer(q, name, 'entry', id, verdict[1] == 'ok' and 'job' or 'error', clip(verdict[2], TEXT_MAX))
        end
        call('XDEL', key_of(q, 'inbox:' .. name), unpack(ids))
        queue_flush(q)
        return #ids
    end

    -- The next in turn whose inbox holds anything.
    local function next_in_turn(q)
        if expect_type(q, 'set', 'submitters') == 0 then
            return nil
        end
        local names, keys = names_of(q), {}
        for i, name in ipairs(names) do
            keys[i] = key_of(q, 'inbox:' .. name)
        end
        if call('EXISTS', unpack(keys)) == 0 then
            return nil
        end
        local last, count, first, behind = call('HGET', q.meta_key, 'inbox_last') or '', 0, nil, nil
        for i = 1, #names do
            local name, length = names[i], redis.pcall('XLEN', keys[i])
            if length == 0 and call('EXISTS', keys[i]) == 1 then
                sweep(q, name)
            elseif type(length) == 'number' and length > 0 then
                count = count + 1
                first = first and bytes_less(first, name) and first or name
                if bytes_less(last, name) then
                    behind = behind and bytes_less(behind, name) and behind or name
                end
            end
        end
        return behind or first, count > 1
    end

    local function inbox(keys, args)
        no_more_arguments(args, 1)
        local q = queue_open(keys)
        local limit = want_integer(optional(args[1]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        local name, has_others = next_in_turn(q)
        if not name then
            return {0, -1}
        end
        expect_queue_types(q)
        expect_type(q, 'hash', 'classes')
        local key = key_of(q, 'inbox:' .. name)
        call('HSET', q.meta_key, 'inbox_last', name)
        local length, fit = bound(q, name)
        local taken = length > 0 and take(q, name, call('XRANGE', key, '-', '+', 'COUNT', math.min(limit, fit))) or 0
        if taken == length then
            sweep(q, name)
        end
        return {taken, (has_others or taken < length) and 0 or -1}
    end

    register('submitter', change, 'allow-oom')
    register('submitters', submitters, 'no-writes')
    register('inbox', inbox)
end
