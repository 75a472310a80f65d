-- stoker_list <state or all> <limit> [cursor]: jobs, newest first, from the indexes that there are anyway. A cursor
-- is where the next page begins; it stays right while jobs come and go.
do
    local SCAN_MAX = 1000 -- numbers of dropped jobs that one call skips

    -- Every job, by number.
    local function page_all(q, limit, cursor)
        local found, n = {}, cursor and want_integer(cursor, 'cursor', 0, LARGEST) or q.meta.next
        local stop = math.max(n - SCAN_MAX, 0)
        while n > stop and #found < limit do
            local j = job_find(q, integer_text(n))
            found[#found + 1] = j
            n = n - 1
        end
        return found, n > 0 and integer_text(n) or ''
    end

    local function load_members(q, members)
        local found = {}
        for _, n in ipairs(members) do
            found[#found + 1] = job_find(q, n)
        end
        return found
    end

    -- What stands behind a member that is not there any more: those of its time with a smaller name, then the earlier.
    local function page_behind(key, score, n, limit)
        local members, offset, page = {}, 0
        repeat
            page = call('ZREVRANGEBYSCORE', key, score, score, 'LIMIT', offset, MAX_JOBS_A_CALL)
            for _, member in ipairs(page) do
                if #members < limit and bytes_less(member, n) then
                    append(members, member)
                end
            end
            offset = offset + MAX_JOBS_A_CALL
        until #page < MAX_JOBS_A_CALL or #members == limit
        for _, member in ipairs(call('ZREVRANGEBYSCORE', key, '(' .. score, '-inf', 'LIMIT', 0, limit)) do
            if #members < limit then
                append(members, member)
            end
        end
        return members
    end

    -- Final states by the time of their end, and what waits by its due time. The cursor is "<score>:<n>" of the last
    -- one of the page before.
    local function page_scored(key, limit, cursor)
        local members
        if cursor then
            local score, n = cursor:match('^(%w+):(%d+)$')
            if not tonumber(score) then
                fail('INVALID', 'cursor: expected one that stoker_list answered, got %s', quoted(cursor))
            end
            local start = call('ZREVRANK', key, n)
            if start then
                members = call('ZREVRANGE', key, start + 1, start + limit)
            else
                members = page_behind(key, score, n, limit)
            end
        else
            members = call('ZREVRANGE', key, 0, limit - 1)
        end
        local last = members[limit]
        return members, last and call('ZSCORE', key, last) .. ':' .. last or ''
    end

    -- What is archived, as far as its index goes: `index` says whether that is all there is.
    local function list_archived(q, limit, cursor)
        local members, following = page_scored(key_of(q, 'archived'), limit, cursor)
        local known = call('HMGET', q.meta_key, 'index', 'index_past')
        return ('{"jobs":%s,"cursor":%s,"index":%s,"past":%s}'):format(
            json_list(records.indexed(q, members)), cjson.encode(following), cjson.encode(known[1] or ''),
            known[2] or '0')
    end

    -- What runs or waits is bounded by the machines there are and is few: sorted here. The cursor is a number.
    local function page_index(q, index, limit, cursor)
        local before = cursor and want_integer(cursor, 'cursor', 0, LARGEST) or LARGEST
        local numbers = {}
        for i, n in ipairs(call('ZRANGE', key_of(q, index), 0, -1)) do
            numbers[i] = tonumber(n)
        end
        table.sort(numbers, function(a, b)
            return a > b
        end)
        local members = {}
        for _, n in ipairs(numbers) do
            if n < before and #members < limit then
                members[#members + 1] = integer_text(n)
            end
        end
        return load_members(q, members), members[limit] or ''
    end

    local function entry_parts(id)
        local ms, seq = id:match('^(%d+)-(%d+)$')
        return tonumber(ms), tonumber(seq)
    end

    -- Of one lane, the newest undelivered entries at or before `newest`.
    local function lane_tail(q, lane, newest, limit)
        local key = key_of(q, 'ready:' .. lane)
        local group = redis.pcall('XINFO', 'GROUPS', key)
        if group.err or not group[1] then
            return {}
        end
        local delivered = pairs_table(group[1])['last-delivered-id']
        return call('XREVRANGE', key, newest, '(' .. delivered, 'COUNT', limit + 2) -- that of the cursor, and one more
    end

    -- What is queued, from the ready streams. The cursor is "<entry id>@<lane>" of the last one of the page before.
    local function page_queued(q, limit, cursor)
        local last_id, last_lane
        if cursor then
            last_id, last_lane = cursor:match('^(%d+%-%d+)@(.+)$')
            if not last_id then
                fail('INVALID', 'cursor: expected one that stoker_list answered, got %s', quoted(cursor))
            end
        end
        local entries = {}
        for _, lane in ipairs(call('ZRANGE', key_of(q, 'lanes'), 0, -1)) do
            for _, entry in ipairs(lane_tail(q, lane, last_id or '+', limit)) do
                if entry[1] ~= last_id or lane < last_lane then
                    local ms, seq = entry_parts(entry[1])
                    append(entries, {id = entry[1], ms = ms, seq = seq, lane = lane, n = pairs_table(entry[2]).n})
                end
            end
        end
        table.sort(entries, function(a, b)
            if a.ms ~= b.ms then
                return a.ms > b.ms
            elseif a.seq ~= b.seq then
                return a.seq > b.seq
            end
            return a.lane > b.lane
        end)
        local members = {}
        for i = 1, math.min(limit, #entries) do
            members[i] = entries[i].n
        end
        local last = #entries > limit and entries[limit]
        return load_members(q, members), last and last.id .. '@' .. last.lane or ''
    end

    -- What makes queued jobs wait beside workers.
    local function limits_json(q)
        if q.meta.max_running == 0 then
            return ''
        end
        return (',"max_running":%.0f,"running":%.0f'):format(q.meta.max_running, call('ZCARD', key_of(q, 'leases')))
    end

    local function list(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local state, cursor = optional(args[1]) or 'all', optional(args[3])
        local limit = want_integer(optional(args[2]) or '50', 'limit', 1, MAX_JOBS_A_CALL)
        local found, following
        if state == 'all' then
            found, following = page_all(q, limit, cursor)
        elseif state == 'queued' then
            found, following = page_queued(q, limit, cursor)
        elseif state == 'waiting' or state == 'running' then
            found, following = page_index(q, state == 'waiting' and 'waiting' or 'leases', limit, cursor)
        elseif state == 'archived' then
            return list_archived(q, limit, cursor)
        elseif STATE_FINAL[state] or state == 'due' then
            local key = state == 'due' and key_of(q, 'waiting') or final_key(q, state)
            found, following = page_scored(key, limit, cursor)
            found = load_members(q, found)
        else
            fail('INVALID', 'state: expected all, waiting, queued, running, succeeded, failed or cancelled, got %s',
                 quoted(state))
        end
        local parts, requirements = {}, {}
        for i, j in ipairs(found) do
            j.f.id = job_id(q, j.n)
            parts[i] = cjson.encode(j.f) -- in no order: a page is for programs, and sorting was most of its price
            if j.f.state == 'queued' then -- what it waits for
                local class = j.f.class
                requirements[class] = requirements[class] or call('HGET', key_of(q, 'classes'), class) or '{}'
                parts[i] = parts[i]:sub(1, -2) .. ',"requirement":' .. requirements[class] .. '}'
            end
        end
        local paused = queue_paused_json(q)
        return '{"jobs":' .. json_list(parts) .. ',"cursor":' .. cjson.encode(following) ..
            (paused and ',"paused":' .. paused or '') .. limits_json(q) .. ',"now_ms":' .. q.now_text .. '}'
    end

    register('list', list, 'no-writes')
end
