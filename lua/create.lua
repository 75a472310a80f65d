-- stoker_create <installation id>: makes the queue if it is not there.
do
    local function create(keys, args)
        no_more_arguments(args, 1)
        local installation = want_match(args[1], 'installation', '^[%w-]+$', 64, '1 to 64 letters, digits, hyphens')
        local q = queue_new(keys)
        expect_type(q, 'hash', 'meta')
        expect_type(q, 'stream', 'events')
        if call('HEXISTS', q.meta_key, 'queue') == 0 then
            call('HSET', q.meta_key, 'queue', q.name, 'installation', installation, 'created_ms', integer_text(q.now),
                 'next', 0, 'active', 0, 'max_jobs', META_NUMBERS.max_jobs, 'max_finished', META_NUMBERS.max_finished,
                 'key_ttl_ms', META_NUMBERS.key_ttl_ms)
            event_of_queue(q, 'queue.created')
            event_flush(q)
        end
        return 'ok'
    end

    register('create', create)
end
