-- Packed code that nobody names any more, and that gc deletes from the store. The store knows nothing of jobs, so that
-- each queue is asked, and told before: what is `condemned` is spared by the next submit that names it, and what is
-- `doomed`, since nobody did in any queue, is refused by submits as long as it may be half deleted.
--
-- stoker_code_uses [cursor]: hashes that the next part of the queue's specs names, jobs that have ended among them.
-- stoker_condemn <verb> <run> <hash>…: `mark`, before that is asked, answers those that are condemned now; `doom`, when
-- nothing has named them, those that still were by this run; `done`, when they are deleted or kept after all;
-- `ask`, those that are doomed.

do
    local CONDEMNED_S = 86400 -- of a gc that was killed: a mark alone hinders nobody
    local DOOMED_S = 900      -- whoever deletes gives up long before (scheduler/code_store.c)
    local HASH = ('[%da-f]'):rep(64)

    -- The code that a spec names: one of a job, and one of what it was not committed with.
    local function named(values)
        local lineage = values.lineage
        return {values.code and as_text(values.code) or '',
                type(lineage) == 'table' and as_text(lineage.git_diff) or ''}
    end

    -- Refuses what is doomed. Answers what is to be spared by the first write; nil: nothing.
    function submitting.check_code(q, values)
        if not values.code and not values.lineage or
            expect_type(q, 'hash', 'condemned') + expect_type(q, 'set', 'doomed') == 0 then
            return nil
        end
        local hashes, spared = named(values), nil
        for i = 1, #hashes do
            if call('SISMEMBER', key_of(q, 'doomed'), hashes[i]) == 1 then
                fail('CONFLICT', 'code: %s is being deleted from the store, since nobody needed it | stoker submit ' ..
                     'sends it again, in a minute', hashes[i])
            elseif call('HEXISTS', key_of(q, 'condemned'), hashes[i]) == 1 then
                spared = spared or {}
                spared[#spared + 1] = hashes[i]
            end
        end
        return spared
    end

    function submitting.spare_code(q, spared)
        if spared then
            call('HDEL', key_of(q, 'condemned'), unpack(spared))
        end
    end

    -- ---------------------------------------------------------------- what is named

    local JOBS_A_STEP, STEPS_A_CALL, TEXT_A_CALL = 100, 20, 1048576

    -- Where specs are besides those of jobs: an index, and what a member of it leads to. Each is there before the job
    -- that it makes, so that none is missed on its way.
    local INDEXES = {
        {name = 'schedules', spec = function(q, name)
            return redis.pcall('GET', key_of(q, 'schedule-spec:' .. name))
        end},
        {name = 'batches', spec = function(q, id)
            return redis.pcall('HGET', key_of(q, 'batch:' .. id), 'then')
        end},
        {name = 'outbox', spec = function(q, letter)
            local token = letter:match('^sweep (%x+)$')
            return token and redis.pcall('HGET', key_of(q, 'sweep:' .. token), 'spec')
        end},
    }

    -- Whatever looks like a hash counts as one: too much is kept sooner than too little.
    local function note(found, text)
        if type(text) ~= 'string' then
            return 0
        elseif text:find('\\u', 1, true) then
            local ok, tree = pcall(cjson.decode, text)
            text = ok and cjson.encode(tree) or text
        end
        for hash in text:gmatch(HASH) do
            found[hash] = true
        end
        return #text
    end

    -- Answers where it goes on, nil: with the jobs.
    local function note_index(q, found, which, cursor)
        local index = INDEXES[which]
        expect_type(q, 'zset', index.name)
        local page = call('ZSCAN', key_of(q, index.name), cursor, 'COUNT', 20)
        for i = 1, #page[2], 2 do
            note(found, index.spec(q, page[2][i]))
        end
        if page[1] ~= '0' then
            return which .. ':' .. page[1]
        end
        return INDEXES[which + 1] and which + 1 .. ':0' or 'jobs:1'
    end

    -- The jobs by their numbers, which also meets what is staged.
    local function note_jobs(q, found, n)
        local bytes = 0
        for _ = 1, STEPS_A_CALL do
            local last, keys = math.min(n + JOBS_A_STEP - 1, q.meta.next), {}
            for i = n, last do
                keys[#keys + 1] = key_of(q, 'spec:', integer_text(i))
            end
            local texts = keys[1] and call('MGET', unpack(keys)) or {}
            for i = 1, #texts do
                bytes = bytes + note(found, texts[i])
            end
            n = last + 1
            if n > q.meta.next then
                return ''
            elseif bytes > TEXT_A_CALL then
                break
            end
        end
        return 'jobs:' .. integer_text(n)
    end

    local function uses(keys, args)
        no_more_arguments(args, 1)
        local q, found, parts = queue_open(keys), {}, {}
        local what, at = (optional(args[1]) or '1:0'):match('^(%w+):(%d+)$')
        local cursor
        if what == 'jobs' and #at <= 15 then
            cursor = note_jobs(q, found, tonumber(at))
        elseif what and INDEXES[tonumber(what)] and #at <= 20 then
            cursor = note_index(q, found, tonumber(what), at)
        else
            fail('INVALID', 'cursor: not one of ours')
        end
        for hash in pairs(found) do
            parts[#parts + 1] = cjson.encode(hash)
        end
        table.sort(parts)
        return ('{"cursor":"%s","code":%s}'):format(cursor, json_list(parts))
    end

    -- ---------------------------------------------------------------- three steps

    local VERBS = {
        mark = function(q, run, hash)
            if call('SISMEMBER', key_of(q, 'doomed'), hash) == 1 then
                return false -- somebody else deletes it, or has died over it
            end
            call('HSET', key_of(q, 'condemned'), hash, run)
            call('EXPIRE', key_of(q, 'condemned'), CONDEMNED_S)
            return true
        end,
        doom = function(q, run, hash)
            if call('HGET', key_of(q, 'condemned'), hash) ~= run then
                return false
            end
            call('HDEL', key_of(q, 'condemned'), hash)
            call('SADD', key_of(q, 'doomed'), hash)
            call('EXPIRE', key_of(q, 'doomed'), DOOMED_S)
            return true
        end,
        done = function(q, _, hash)
            return call('SREM', key_of(q, 'doomed'), hash) == 1
        end,
        ask = function(q, _, hash)
            return call('SISMEMBER', key_of(q, 'doomed'), hash) == 1
        end,
    }

    local function condemn(keys, args)
        local q, verb = queue_open(keys), VERBS[args[1] or '']
        local run = want_match(args[2], 'run', '^[%w._-]+$', 64, '1 to 64 letters, digits, dots, hyphens, underscores')
        if not verb or #args < 3 or #args > 2 + MAX_JOBS_A_CALL then
            fail('INVALID', 'expected mark, doom, done or ask, a run, and 1 to %d hashes', MAX_JOBS_A_CALL)
        end
        for i = 3, #args do
            want_match(args[i], 'hash', '^' .. HASH .. '$', 64, '64 hex digits')
        end
        expect_type(q, 'hash', 'condemned')
        expect_type(q, 'set', 'doomed')
        local those = {}
        for i = 3, #args do
            those[#those + 1] = verb(q, run, args[i]) and cjson.encode(args[i]) or nil
        end
        return json_list(those)
    end

    register('code_uses', uses, 'no-writes')
    register('condemn', condemn, 'allow-oom')
end
