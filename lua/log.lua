-- stoker_log <n> <uid> <token> (<first> <time_ms> <stream> <lines> <text>)…: lines of an attempt's output, dense.
do
    local TEXT_KEPT = 8388608   -- bytes of text a job
    local ENTRIES_KEPT = 20000
    local TEXT_A_CALL = 1048576
    local TEXT_TOLD = 4096      -- bytes of a text that is published whole
    local SIZES_FROM = 1048576  -- bytes of text from which on the sizes of entries are noted
    local STREAMS = {stdout = true, stderr = true, stoker = true, gap = true}

    local function count_lines(text)
        local find = string.find
        local lines, at = 1, find(text, '\n', 1, true)
        while at do
            lines, at = lines + 1, find(text, '\n', at + 1, true)
        end
        return lines
    end

    local function want_entries(args)
        local entries, bytes = {}, 0
        if #args < 8 or (#args - 3) % 5 ~= 0 or #args > 3 + 5 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <n> <uid> <token> and 1 to %d times <first> <time_ms> <stream> <lines> <text>',
                 MAX_JOBS_A_CALL)
        end
        for i = 4, #args, 5 do
            local entry = {first = want_integer(args[i], 'first', 1, LARGEST), time_ms = args[i + 1],
                           stream = args[i + 2], lines = want_integer(args[i + 3], 'lines', 1, LARGEST),
                           text = want_utf8(args[i + 4], 'text')}
            want_integer(entry.time_ms, 'time_ms', 0, LARGEST)
            if not STREAMS[entry.stream] then
                fail('INVALID', 'stream: expected stdout, stderr, stoker or gap, got %s', quoted(entry.stream))
            elseif entry.stream ~= 'gap' and count_lines(entry.text) ~= entry.lines then
                fail('INVALID', 'lines: the text of the entry at %d has %d lines, not %d', entry.first,
                     count_lines(entry.text), entry.lines)
            end
            bytes = bytes + #entry.text
            entries[#entries + 1] = entry
        end
        if bytes > TEXT_A_CALL then
            fail('INVALID', 'log: %d bytes of text, at most %d a call', bytes, TEXT_A_CALL)
        end
        return entries, bytes
    end

    -- Without the lines before `next_line`, which are there already; nil when nothing is left.
    local function cut_known(entry, next_line)
        local known = next_line - entry.first
        if known <= 0 then
            return entry
        elseif known >= entry.lines then
            return nil
        end
        local text = entry.text
        if entry.stream ~= 'gap' then
            for _ = 1, known do
                text = text:sub(text:find('\n', 1, true) + 1)
            end
        end
        return {first = next_line, time_ms = entry.time_ms, stream = entry.stream, lines = entry.lines - known,
                text = text}
    end

    -- Drops the oldest entries beyond the cap. Answers the bytes of text that are left. To read an entry is to copy
    -- its text, so `sizes:<n>` tells those of a long log; it has the newest `known` entries, since it begins late.
    local function trim(q, n, bytes, known)
        local key, sizes = key_of(q, 'log:' .. n), key_of(q, 'sizes:' .. n)
        local entries = call('XLEN', key)
        if known > entries then -- somebody else deleted entries
            for _, size in ipairs(call('LRANGE', sizes, 0, known - entries - 1)) do
                bytes = bytes - (tonumber(size) or 0)
            end
            call('LTRIM', sizes, known - entries, -1)
            known = entries
        end
        while entries > 0 and (bytes > TEXT_KEPT or entries > ENTRIES_KEPT) do
            -- What must go if all were of one size.
            local surplus = math.max(entries - ENTRIES_KEPT, math.ceil((bytes - TEXT_KEPT) / bytes * entries), 1)
            local is_told, oldest = known == entries
            if is_told then
                oldest = call('LRANGE', sizes, 0, math.min(surplus, 1000) - 1)
            else
                oldest = call('XRANGE', key, '-', '+', 'COUNT', math.min(surplus, 64, entries - known))
            end
            local gone = 0
            while gone < #oldest and (bytes > TEXT_KEPT or entries > ENTRIES_KEPT) do
                gone, entries = gone + 1, entries - 1
                bytes = bytes - (is_told and (tonumber(oldest[gone]) or 0) or #(oldest[gone][2][4] or ''))
            end
            call('XTRIM', key, 'MAXLEN', entries)
            if is_told then
                call('LTRIM', sizes, gone, -1)
                known = entries
            end
        end
        return entries > 0 and math.max(bytes, 0) or 0
    end

    -- A long text is not published: it would be copied for listeners that read the stream anyway.
    local function add(q, stream, attempt, entry)
        local id, lines = attempt .. '-' .. integer_text(entry.first), integer_text(entry.lines)
        local told = #entry.text > TEXT_TOLD and
                     {'time_ms', entry.time_ms, 'bytes', integer_text(#entry.text), 'lines', lines}
        stream_add(q, stream, id, nil, {'time_ms', entry.time_ms, entry.stream, entry.text, 'lines', lines}, told)
    end

    local function log(keys, args)
        local q = queue_open(keys)
        local entries, most = want_entries(args)
        local j = job_fenced(q, args)
        local stream = 'log:' .. j.n
        expect_type(q, 'stream', stream)
        local next_line, bytes = math.max(job_number(j, 'log_next'), 1), job_number(j, 'log_bytes')
        local known = expect_type(q, 'list', 'sizes:' .. j.n)
        local is_noted = known > 0 or bytes + most > SIZES_FROM
        local verdict, sizes = 'ok', {}
        for _, entry in ipairs(entries) do
            if entry.first > next_line then
                verdict = 'want'
                break
            end
            entry = cut_known(entry, next_line)
            if entry then
                add(q, stream, j.f.attempt, entry)
                next_line, bytes = entry.first + entry.lines, bytes + #entry.text
                sizes[#sizes + 1] = #entry.text
            end
        end
        if is_noted and sizes[1] then
            known = call('RPUSH', key_of(q, 'sizes:' .. j.n), unpack(sizes))
        end
        job_set(j, 'log_next', next_line)
        job_set(j, 'log_bytes', trim(q, j.n, bytes, known))
        job_save(q, j)
        return {verdict, next_line}
    end

    register('log', log)
end
