-- stoker_fsck [cursor] [limit]: looks at the next part of the queue and changes nothing; from the beginning without a
-- cursor. Answers {"cursor","looked","partial","findings":[{"where","code","repair","detail"}]}; the cursor is "" at
-- the end.
-- stoker_repair <where> <code> [actor]: looks once more at where a finding was, and mends it if it is still there.
-- Answers "repaired" or "gone"; CONFLICT if there is no one right answer.
do
    local CURSOR_MAX = 1048576
    local FINDINGS_A_CALL = 200

    -- What stands behind the name of a step, a letter a word.
    local ARGUMENTS = {
        queue = '', counts = '', job = 'n', jobs = 'n', lanes = 'c', lane = 't', entries = 'ti',
        pending = 'ti', entry = 'ti',
        index = 'tc', indexed = 'tt', marked = 'tc', mark = 'tt', batches = 'c', batch = 't', members = 'tc',
        member = 'tt', holders = 'tc', holder = 'tt', schedules = 'c', schedule = 't', targets = 'c', target = 't',
        ['waiting-for'] = 'tc', waits = 'tt', dead = 'c', delivery = 't', log = 'nw', metrics = 'nw',
        keys = 'c', key = 't',
        stray = 't', reply = 't', abroad = 'c', borrower = 't',
    }
    local PATTERNS = {n = '^[1-9]%d*$', t = '^.+$', c = '^%d+$', i = '^%(?[%d-]+$', w = '^[%d,-]+$'}
    local LONGEST = {n = 15, t = 512, c = 20, i = 42, w = 120}

    -- "lane cpu1:5:-" → its words. A log may be walked from its beginning: the last word of it may be left out.
    local function parse(line)
        local words = {}
        for word in line:gmatch('%S+') do
            words[#words + 1] = word
        end
        local letters = ARGUMENTS[words[1] or '']
        local is_good = letters and #words <= #letters + 1
        for i = 1, is_good and #letters or 0 do
            local letter, word = letters:sub(i, i), words[i + 1]
            is_good = is_good and (word and #word <= LONGEST[letter] and word:find(PATTERNS[letter]) or
                                   not word and letter == 'w')
        end
        if not is_good then
            fail('INVALID', 'fsck: there is no step %s', quoted(line))
        end
        return words
    end

    local function lines_of(text)
        local lines = {}
        for line in text:gmatch('[^\n]+') do
            lines[#lines + 1] = line
        end
        return lines
    end

    -- The list of steps is a stack: the next one is its last.
    local function push(stack, lines)
        for i = #lines, 1, -1 do
            stack[#stack + 1] = lines[i]
        end
    end

    local function run(q, at, stack)
        while #stack > 0 and at.left > 0 and #at.found < FINDINGS_A_CALL do
            local words = parse(table.remove(stack))
            push(stack, fsck.take(q, at, unpack(words)))
            at.left, at.looked = at.left - 1, at.looked + 1
        end
    end

    local function json_of(finding)
        return ('{"where":%s,"code":%s,"repair":%s,"detail":%s}'):format(
            cjson.encode(finding.where), cjson.encode(finding.code), finding.mend and 'true' or 'false',
            cjson.encode(finding.text))
    end

    local function check(keys, args)
        no_more_arguments(args, 2)
        local cursor = optional(args[1]) or 'queue'
        local limit = want_integer(optional(args[2]) or '50', 'limit', 1, 1000)
        if #cursor > CURSOR_MAX then
            fail('INVALID', 'cursor: not one of ours')
        end
        local stack, at, findings = {}, {found = {}, left = limit, looked = 0, where = 'queue'}, {}
        local q = queue_new(keys)
        if fsck.type_holds(q, at, 'meta', 'hash') then -- else nothing is known of it
            queue_read(q, META_FIELDS)
            push(stack, lines_of(cursor))
            run(q, at, stack)
        end
        for i = 1, #at.found do
            findings[i] = json_of(at.found[i])
        end
        local rest = {}
        push(rest, stack)
        return ('{"cursor":%s,"looked":%d,"partial":%s,"findings":%s}'):format(
            cjson.encode(table.concat(rest, '\n')), at.looked, at.is_partial and 'true' or 'false',
            json_list(findings))
    end

    local function find(q, where, code)
        local at, other = {found = {}, left = math.huge, looked = 0, is_mending = true}, nil
        fsck.take(q, at, unpack(parse(where)))
        for i = 1, #at.found do
            if at.found[i].code == code and at.found[i].where == where then
                if at.found[i].mend then
                    return at.found[i]
                end
                other = at.found[i]
            end
        end
        return other
    end

    local function repair(keys, args)
        no_more_arguments(args, 3)
        expect_type(queue_new(keys), 'hash', 'meta')
        local q = queue_open(keys)
        local where = want_match(args[1], 'where', '^%l[^%z\n]*$', 1024, 'what a finding of stoker_fsck says')
        local code = want_match(args[2], 'code', '^[%l-]+$', 64, 'the code of a finding')
        local actor = want_actor(args[3])
        for name, kind in pairs(fsck.fixed) do
            expect_type(q, kind, name)
        end
        local finding = find(q, where, code)
        if not finding then
            return 'gone'
        elseif not finding.mend then
            fail('CONFLICT', '%s: there is no one right answer to that | docs/fsck.md says what to do', finding.text)
        end
        finding.mend()
        event_of_queue(q, 'queue.repaired', 'where', where, 'code', code, 'reason', sentence_of(finding.text), 'actor',
                       actor)
        queue_flush(q)
        return 'repaired'
    end

    register('fsck', check, 'no-writes')
    register('repair', repair, 'allow-oom')
end
