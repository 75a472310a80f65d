-- stoker_checkpoints <n> [limit] [cursor]: the checkpoints of a job, newest first, a page at a time, as JSON. What it
-- costs is a look at the ids of all, and the records of the page.
do
    -- Where an id stands among the others: by attempt, then sequence.
    local function rank(id)
        local attempt, seq = id:match(CHECKPOINT_ID)
        return attempt and tonumber(attempt) * 2 ^ 32 + tonumber(seq)
    end

    local function list(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local n = want_job_number(args[1])
        local limit = want_integer(optional(args[2]) or '100', 'limit', 1, 1000)
        local before = optional(args[3]) and rank(checkpoints.want_id(args[3])) or math.huge
        job_load(q, n)
        local key = key_of(q, 'checkpoints:' .. n)
        local ids, ranks, ordered = call('HKEYS', key), {}, {}
        for _, id in ipairs(ids) do
            local at = rank(id)
            if at and at < before then
                ordered[#ordered + 1] = at
                ranks[at] = id
            end
        end
        table.sort(ordered)
        local page = {}
        for i = #ordered, math.max(#ordered - limit + 1, 1), -1 do
            page[#page + 1] = ranks[ordered[i]]
        end
        local parts, summaries = {}, #page > 0 and call('HMGET', key, unpack(page)) or {}
        for i = 1, #page do
            parts[i] = ('{"id":%s,"summary":%s}'):format(cjson.encode(page[i]), summaries[i])
        end
        local cursor = #ordered > #page and page[#page] or ''
        return ('{"count":%d,"cursor":%s,"checkpoints":%s}'):format(#ids, cjson.encode(cursor), json_list(parts))
    end

    register('checkpoints', list, 'no-writes')
end
