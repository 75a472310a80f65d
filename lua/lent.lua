-- stoker_lent: the URIs of what jobs were lent and still have, as a JSON list; also of those that have ended, since
-- they may be retried. Whoever looks for objects that nobody needs asks here, too: the lender may be gone.
do
    -- And of those whose files they use: beside them, under their own number.
    local function add_used(uris, record)
        for _, seq in ipairs(type(record.uses) == 'table' and record.uses or {}) do
            local uri = tostring(record.uri):gsub('/%d+/manifest%.json$', ('/%d/manifest.json'):format(seq))
            append(uris, cjson.encode(uri))
        end
    end

    local function lent(keys, args)
        no_more_arguments(args, 0)
        local q, uris = queue_open(keys), {}
        for _, n in ipairs(call('ZRANGE', key_of(q, 'borrowers'), 0, -1)) do
            for _, c in ipairs(checkpoints.load(q, n)) do
                if c.attempt == 0 then
                    append(uris, cjson.encode(c.record.uri))
                    add_used(uris, c.record)
                end
            end
        end
        return json_list(uris)
    end

    register('lent', lent, 'no-writes')
end
