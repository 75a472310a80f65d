-- stoker_lent: the URIs of what unfinished jobs were lent and still have, as a JSON list. Whoever looks for objects
-- that nobody needs asks here, too: the job that lent them may be gone.
do
    local function lent(keys, args)
        no_more_arguments(args, 0)
        local q, uris = queue_open(keys), {}
        for _, n in ipairs(call('ZRANGE', key_of(q, 'borrowers'), 0, -1)) do
            local state = call('HGET', key_of(q, 'job:' .. n), 'state')
            for _, c in ipairs(state and not STATE_FINAL[state] and checkpoints.load(q, n) or {}) do
                if c.attempt == 0 then
                    append(uris, cjson.encode(c.record.uri))
                end
            end
        end
        return json_list(uris)
    end

    register('lent', lent, 'no-writes')
end
