-- stoker_log <n> <uid> <token> (<first> <time_ms> <stream> <lines> <text>)…: lines of an attempt's output, dense.
do
    local TEXT_KEPT = 8388608   -- bytes of text a job
    local ENTRIES_KEPT = 20000
    local TEXT_A_CALL = 1048576
    local STREAMS = {stdout = true, stderr = true, stoker = true, gap = true}

    local function count_lines(text)
        local lines, at = 1, text:find('\n', 1, true)
        while at do
            lines, at = lines + 1, text:find('\n', at + 1, true)
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
        return entries
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

    -- Drops the oldest entries beyond the cap. Answers the bytes of text that are left.
    local function trim(key, bytes)
        local entries = call('XLEN', key)
        while bytes > TEXT_KEPT or entries > ENTRIES_KEPT do
            -- What must go if all were of one size: each that is read is copied here with its text.
            local surplus = math.max(entries - ENTRIES_KEPT, math.ceil((bytes - TEXT_KEPT) / bytes * entries), 1)
            local oldest = call('XRANGE', key, '-', '+', 'COUNT', math.min(surplus, 64))
            local ids = {}
            for _, entry in ipairs(oldest) do
                if bytes <= TEXT_KEPT and entries <= ENTRIES_KEPT then
                    break
                end
                ids[#ids + 1] = entry[1]
                bytes, entries = bytes - #(entry[2][4] or ''), entries - 1
            end
            if #ids == 0 then
                return 0
            end
            call('XDEL', key, unpack(ids))
        end
        return bytes
    end

    local function log(keys, args)
        local q = queue_open(keys)
        local entries = want_entries(args)
        local j = job_fenced(q, args)
        local stream = 'log:' .. j.n
        expect_type(q, 'stream', stream)
        local next_line, bytes = math.max(job_number(j, 'log_next'), 1), job_number(j, 'log_bytes')
        local verdict = 'ok'
        for _, entry in ipairs(entries) do
            if entry.first > next_line then
                verdict = 'want'
                break
            end
            entry = cut_known(entry, next_line)
            if entry then
                stream_add(q, stream, j.f.attempt .. '-' .. integer_text(entry.first), nil,
                           {'time_ms', entry.time_ms, entry.stream, entry.text, 'lines', integer_text(entry.lines)})
                next_line, bytes = entry.first + entry.lines, bytes + #entry.text
            end
        end
        job_set(j, 'log_next', next_line)
        job_set(j, 'log_bytes', trim(key_of(q, stream), bytes))
        job_save(q, j)
        return {verdict, next_line}
    end

    register('log', log)
end
