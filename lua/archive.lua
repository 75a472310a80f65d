-- What has ended and is beyond max_finished goes to the archive, the object store, before it leaves Redis:
--   stoker_archive_take <who> [limit]     the oldest of it, for who, who alone may archive for a while
--   stoker_archive (<n> <version>)…       leaves Redis, as far as nothing has changed since
-- stoker_prune drops nothing as long as the field `archive` of meta says "on", or "behind": then more has ended than is
-- kept for the archive's sake, and new jobs are refused.
do
    local TAKEN_MS = 60000
    local TAKEN_BYTES = 1048576
    local FINAL = {'succeeded', 'failed', 'cancelled'}

    function records.count_final(q)
        local count = 0
        for _, state in ipairs(FINAL) do
            count = count + call('ZCARD', final_key(q, state))
        end
        return count
    end

    -- The jobs that ended first, of all final states: {n, state, ms}.
    function records.oldest(q, count)
        local list = {}
        for _, state in ipairs(count > 0 and FINAL or {}) do
            local members = call('ZRANGE', final_key(q, state), 0, count - 1, 'WITHSCORES')
            for i = 1, #members, 2 do
                list[#list + 1] = {n = members[i], state = state, ms = tonumber(members[i + 1])}
            end
        end
        table.sort(list, function(a, b)
            if a.ms ~= b.ms then
                return a.ms < b.ms
            end
            return tonumber(a.n) < tonumber(b.n)
        end)
        for i = #list, count + 1, -1 do
            list[i] = nil
        end
        return list
    end

    -- Out of Redis, all of it.
    function records.drop(q, n, state, batch, lender)
        call('ZREM', final_key(q, state), n)
        call('UNLINK', unpack(job_keys(q, n, {})))
        if batch then
            batching.drop_job(q, batch, n)
        end
        call('SREM', key_of(q, 'webhooks:jobs'), n)
        checkpoints.borrows_no_more(q, n, lender)
    end

    local function texts_json(list)
        local parts = {}
        for i = 1, #list do
            parts[i] = cjson.encode(list[i])
        end
        return json_list(parts)
    end

    -- Everything but the streams, each value as the text that it is in Redis. Its hash is the version of the record:
    -- what comes late into a stream changes a field, too.
    local function dump(q, j)
        local parts = {'{"job":', records.json(j.f), ',"spec":',
                       cjson.encode(call('GET', key_of(q, 'spec:' .. j.n)) or '{}')}
        local function add(name, value)
            append(parts, ',"' .. name .. '":', value)
        end
        local history = call('LRANGE', key_of(q, 'history:' .. j.n), 0, -1)
        local saved = call('HGETALL', key_of(q, 'checkpoints:' .. j.n))
        if history[1] then
            add('history', texts_json(history))
        end
        if saved[1] then
            add('checkpoints', records.json(pairs_table(saved)))
        end
        if j.f.result_bytes then
            add('result', cjson.encode(call('GET', key_of(q, 'result:' .. j.n)) or 'null'))
        end
        if j.f.lineage then
            add('lineage', records.json(pairs_table(call('HGETALL', key_of(q, 'lineage:' .. j.n)))))
        end
        if j.f.parents then
            add('parents', records.json(pairs_table(call('HGETALL', key_of(q, 'parents:' .. j.n)))))
            add('told', records.json(pairs_table(call('HGETALL', key_of(q, 'told:' .. j.n)))))
        end
        parts[#parts + 1] = '}'
        return table.concat(parts)
    end

    -- The limit of what may have ended before new jobs are refused, and from where on they are taken again.
    local function is_behind(q, kept)
        local room = math.max(q.meta.max_finished, 100)
        return kept > q.meta.max_finished + (q.meta.archive == 'behind' and room / 2 or room)
    end

    -- Called by stoker_prune; is_able: whoever ticks has a store.
    function records.archive_look(q, kept, is_able)
        local is, was = q.meta.archive, q.meta.archive
        if not is and is_able then
            is = 'on'
            call('HSETNX', q.meta_key, 'index', 'whole') -- nothing is archived yet
        end
        if is == 'on' or is == 'behind' then
            is = is_behind(q, kept) and 'behind' or 'on'
        end
        if is ~= was then
            call('HSET', q.meta_key, 'archive', is)
            if is == 'behind' or was == 'behind' then
                event_of_queue(q, is == 'behind' and 'archive.behind' or 'archive.caught_up', 'count', kept,
                               'reason', ('%d jobs have ended, max_finished is %d'):format(kept, q.meta.max_finished))
            end
            q.meta.archive = is
        end
        return is == 'on' or is == 'behind'
    end

    -- Answers [now_ms, how many wait for the archive, n, version, record, …]; nobody else gets any for a minute.
    local function take(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local who = want_match(args[1], 'who', '^[%w._-]+$', 64, '1 to 64 letters, digits, dots, hyphens, underscores')
        local limit = want_integer(optional(args[2]) or '100', 'limit', 1, MAX_JOBS_A_CALL)
        expect_type(q, 'string', 'archiver')
        local answer, bytes = {q.now_text, 0}, 0
        local over = records.count_final(q) - q.meta.max_finished
        local taken_by = call('GET', key_of(q, 'archiver'))
        if over <= 0 or (q.meta.archive ~= 'on' and q.meta.archive ~= 'behind') or (taken_by and taken_by ~= who) or
            call('ZCARD', key_of(q, 'releases')) > 0 then -- children are told first
            return answer
        end
        answer[2] = over
        for _, one in ipairs(records.oldest(q, math.min(limit, over))) do
            local j = job_find(q, one.n)
            local text = j and dump(q, j) or '' -- the number of a job that is not there goes, too
            append(answer, one.n, redis.sha1hex(text), text)
            bytes = bytes + #text
            if bytes >= TAKEN_BYTES then
                break
            end
        end
        call('SET', key_of(q, 'archiver'), who, 'PX', TAKEN_MS)
        return answer
    end

    register('archive_take', take, 'allow-oom')

    -- Answers how many left.
    local function archive(keys, args)
        if #args == 0 or #args % 2 ~= 0 or #args > 2 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected 1 to %d times <n> <version>', MAX_JOBS_A_CALL)
        end
        local q = queue_open(keys)
        expect_type(q, 'stream', 'events')
        expect_type(q, 'zset', 'batches')
        expect_type(q, 'set', 'webhooks:jobs')
        expect_type(q, 'string', 'archiver')
        records.index_check(q)
        records.count_final(q) -- reads, and so checks, every index before the first write
        local going, ids, indexed = {}, {}, {}
        for i = 1, #args, 2 do
            local n = want_job_number(args[i])
            local j = job_of_call(q, n)
            if (not j or job_is_final(j)) and redis.sha1hex(j and dump(q, j) or '') == args[i + 1] then
                going[#going + 1] = {n = n, j = j}
            end
        end
        for _, one in ipairs(going) do
            if one.j then
                records.drop(q, one.n, one.j.f.state, one.j.f.batch, one.j.f.lender)
                ids[#ids + 1] = job_id(q, one.n)
                indexed[#indexed + 1] = {n = one.n, fields = one.j.f}
            else
                for _, state in ipairs(FINAL) do
                    call('ZREM', final_key(q, state), one.n)
                end
            end
        end
        records.index(q, indexed)
        call('DEL', key_of(q, 'archiver'))
        if ids[1] then
            event_of_queue(q, 'retention.archived', 'ids', table.concat(ids, ' '), 'count', #ids)
        end
        event_flush(q)
        return #going
    end

    register('archive', archive, 'allow-oom')

    -- ------------------------------------------------------------ back, for the length of a call

    local function want_texts(value, what)
        if value == nil then
            return {}
        elseif type(value) ~= 'table' then
            fail('INVALID', '%s: expected texts', what)
        end
        for _, text in pairs(value) do
            if type(text) ~= 'string' then
                fail('INVALID', '%s: expected texts', what)
            end
        end
        return value
    end

    local function put_hash(key, fields)
        local list = {}
        for name, value in pairs(fields) do
            append(list, tostring(name), value)
            if #list >= 1000 then -- a call takes only so many arguments
                call_with('HSET', key, list)
                list = {}
            end
        end
        call_with('HSET', key, list)
    end

    -- Puts what was archived where the functions look for it, until records.away.
    function records.back(q, n, text)
        local kept = want_object(text, 'archived record', 8388608)
        local fields = want_texts(kept.job, 'job')
        if not STATE_FINAL[fields.state or ''] or not fields.uid or tonumber(n) > q.meta.next then
            fail('INVALID', 'archived record: this is none of job %s', job_id(q, n))
        end
        local saved, parents = want_texts(kept.checkpoints, 'checkpoints'), want_texts(kept.parents, 'parents')
        local told = want_texts(kept.told, 'told')
        if type(kept.spec) ~= 'string' then
            fail('INVALID', 'archived record: expected a spec')
        end
        submitting.read(q, kept.spec)
        call('DEL', unpack(job_keys(q, n, {})))
        put_hash(key_of(q, 'job:' .. n), fields)
        call('SET', key_of(q, 'spec:' .. n), kept.spec)
        put_hash(key_of(q, 'checkpoints:' .. n), saved)
        put_hash(key_of(q, 'parents:' .. n), parents)
        put_hash(key_of(q, 'told:' .. n), told)
        return fields
    end

    function records.away(q, n)
        call('UNLINK', unpack(job_keys(q, n, {})))
    end
end
