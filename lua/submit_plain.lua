-- Most submits are of jobs that are like many before them: their spec has a known shape and asks for nothing but
-- resources and a priority, and they queue up behind others in a lane where claims look already, or go to a worker that
-- waits. They go straight: what such a job needs to be checked, and what is written of it. Everything else is left to
-- submit.lua, which does the same for any job with a third more instructions. tests/lua/test_plain.py: both ways lead
-- to the same.

do
    local QUEUED, RUNNING = STATE_MOVES['new submit'], STATE_MOVES['queued claim']
    local EVENT, MORE = {'state', QUEUED}, ',"state":"' .. QUEUED .. '"'
    local META = {'queue', 'paused', 'archive', 'next', 'active', 'max_jobs', 'rate_max'}

    -- The beginning of a uid, which tells a job from another of its number, should Redis ever lose writes: the time of
    -- the call in µs. The end of the number follows.
    function submitting.uid_stem(time)
        return ('%013x'):format(time[1] * 1000000 + time[2])
    end

    function submitting.uid(q, n)
        q.uid_stem = q.uid_stem or submitting.uid_stem(q.time)
        return q.uid_stem .. ('00' .. n):sub(-3)
    end

    -- What an earlier queue of this name left under a number would mix with what is written now: it goes.
    function submitting.clear(q, n)
        call('DEL', unpack(job_keys(q, n, {})))
    end

    -- Writes the record of a new job. What a claim reads stands first, where it is found soonest. Of what is plain each
    -- field stands there once: where fewer of them were new, something was in its place.
    function submitting.put(q, is_plain, n, state, uid, attempt, lease_ms, class, priority, now_text, fields)
        local key = key_of(q, 'job:', n)
        local added = (is_plain and redis.pcall or call)(
            'HSET', key, 'state', state, 'uid', uid, 'lease_ms', lease_ms, 'attempt', attempt, 'class', class,
            'priority', priority, 'submitted_ms', now_text, unpack(fields))
        if is_plain and added ~= 7 + #fields / 2 then -- or an error: of another type
            submitting.clear(q, n)
            submitting.put(q, false, n, state, uid, attempt, lease_ms, class, priority, now_text, fields)
        end
    end

    -- What all jobs of a shape have in common here, worked out once; false: they are not as plain as that.
    local function traits_of(shape)
        local values = shape.__index
        if values.special or values.code or values.lineage or values.delay > 0 or
            next(values['resources.labels'] or {}) then
            return false
        end
        local class, requirement = submitting.class_of(values['resources.cpus'], values['resources.gpus'],
                                                       values['resources.memory'])
        return {queue = values.queue, class = class, requirement = requirement, lease_ms = usual_text(values.lease),
                priority = usual_text(values.priority), lane = class .. ':' .. values.priority .. ':-'}
    end

    -- The traits of specs that have one shape, and their names as far as they have any; nil: they are not plain.
    local function traits_of_all(list, from, step)
        local traits, names = nil, {}
        for i = from, #list, step do
            local shape, name = spec_table.known_shape(list[i])
            if not shape or step == 2 and list[i + 1] ~= '' then
                return nil
            elseif shape.traits == nil then
                shape.traits = traits_of(shape)
            end
            traits = traits or shape.traits
            if not traits or shape.traits ~= traits then
                return nil
            end
            names[i] = name
        end
        return traits, names
    end

    -- The queue as far as it is needed here, of `count` new jobs; nil: it is not as it mostly is.
    local function open(keys, traits, count)
        local names = submitting.names_of(keys)
        local meta = call('HMGET', keys[1], unpack(META))
        local last, active, max_jobs = meta[4], meta[5], meta[6]
        if not meta[1] or meta[2] or meta[3] == 'behind' or meta[7] and meta[7] ~= '0' or
            not (last and active and max_jobs) or not (last .. active .. max_jobs):find('^%d+$') or
            #last > 15 or #active > 15 or #max_jobs > 15 or active + count > tonumber(max_jobs) or
            traits.queue and traits.queue ~= names.name or
            type(redis.pcall('XLEN', names.keys.events)) ~= 'number' then
            return nil
        end
        local time = call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        return {base = names.base, name = names.name, keys = names.keys, meta_key = keys[1], last = tonumber(last),
                active_then = tonumber(active), now = now, now_text = integer_text(now),
                uid_stem = submitting.uid_stem(time)}
    end

    local function take_numbers(q, count)
        call('HSET', q.meta_key, 'next', integer_text(q.last + count), 'active', integer_text(q.active_then + count))
    end

    -- fields: where it is, with room for what most have besides.
    local function write(q, traits, n, state, attempt, fields, name, actor)
        local last = #fields
        if name then
            fields[last + 1], fields[last + 2], last = 'name', name, last + 2
        end
        if actor then
            fields[last + 1], fields[last + 2] = 'actor', actor
        end
        submitting.put(q, true, n, state, submitting.uid(q, n), attempt, traits.lease_ms, traits.class,
                       traits.priority, q.now_text, fields)
    end

    local function submitted(actor)
        return {name = 'job.submitted', count = 0, rest = actor and {'state', QUEUED, 'actor', actor} or EVENT,
                more = not actor and MORE or nil}
    end

    -- Behind others in their lane. nil: there is no such lane.
    local function line_up(q, traits, list, from, step, names, actor)
        local stream, specs, event = key_of(q, 'ready:' .. traits.lane), {}, submitted(actor)
        local n, bell = integer_text(q.last + 1), key_of(q, 'wake:' .. traits.class)
        local rings = redis.pcall('ZCARD', bell)
        local entry = type(rings) == 'number' and
            redis.pcall('XADD', stream, 'NOMKSTREAM', '*', 'n', n, 'attempt', '0')
        if type(entry) ~= 'string' then
            return nil
        end
        take_numbers(q, math.ceil((#list - from + 1) / step))
        for i = from, #list, step do
            if i > from then
                n = integer_text(q.last + (i - from) / step + 1)
                entry = call('XADD', stream, 'NOMKSTREAM', '*', 'n', n, 'attempt', '0')
            end
            write(q, traits, n, QUEUED, '0', {'lane', traits.lane, 'entry', entry, nil, nil, nil, nil}, names[i], actor)
            local at = (i - from) / step * 2
            specs[at + 1], specs[at + 2] = key_of(q, 'spec:', n), list[i]
            event_join(q, event, n, '0')
        end
        call('MSET', unpack(specs))
        if rings == 0 then
            call('ZADD', bell, '0', '1')
        end
        q.events = {event}
        event_flush(q)
        return q.last + 1
    end

    -- To a worker that waits for it. nil: there is none.
    local function hand_over(q, traits, spec_text, name, actor)
        q.meta, q.active, q.events = {}, 0, {submitted(actor)}
        q.batch, q.known = {bells = {}}, {listed = {}, ringing = {}}
        if type(redis.pcall('XLEN', key_of(q, 'ready:' .. traits.lane))) ~= 'number' or
            redis.pcall('HGET', key_of(q, 'classes'), traits.class) ~= traits.requirement then
            return nil
        end
        local offer = offers.find(q, traits.class, traits.requirement, traits.priority, spec_text)
        if not offer then
            return nil
        end
        local n = integer_text(q.last + 1)
        take_numbers(q, 1)
        local given = offers.enter(q, offer, n, submitting.uid(q, n), traits.lease_ms, spec_text)
        if given then
            write(q, traits, n, RUNNING, '1', given, name, actor)
        else
            write(q, traits, n, QUEUED, '0', {'lane', traits.lane, 'entry',
                                              lane_enter(q, traits.lane, traits.class, n, '0')}, name, actor)
        end
        call('MSET', key_of(q, 'spec:', n), spec_text)
        event_join(q, q.events[1], n, '0')
        if given then
            q.batch.leases = {}
            offers.begin(q, offer)
        end
        queue_flush(q)
        return q.last + 1
    end

    -- How long an idempotency key is kept, of one that is new; nil: it is known, or none.
    local function key_ttl(q, key)
        if #key > 128 or not key:find('^[!-~]+$') or redis.pcall('EXISTS', key_of(q, 'key:', key)) ~= 0 then
            return nil
        end
        local ttl = call('HGET', q.meta_key, 'key_ttl_ms')
        return ttl and #ttl <= 15 and ttl:find('^[1-9]%d*$') and ttl
    end

    local function write_all(q, traits, list, from, step, names, actor)
        if type(redis.pcall('ZSCORE', key_of(q, 'lanes'), traits.lane)) == 'string' then
            return line_up(q, traits, list, from, step, names, actor)
        elseif from + step > #list then
            return hand_over(q, traits, list[from], names[from], actor)
        end
    end

    -- Submits the specs from there on, every step-th of the list (the second of two is a key, which they must not
    -- have); the number of the first. key: the idempotency key of one. nil: nothing was written, since they are not
    -- plain, or the queue is not as it mostly is.
    function submitting.plainly(keys, list, from, step, actor, key)
        local traits, names = traits_of_all(list, from, step)
        local q = traits and open(keys, traits, math.ceil((#list - from + 1) / step))
        local ttl = q and key and key_ttl(q, key)
        if not q or key and not ttl then
            return nil
        end
        local first = write_all(q, traits, list, from, step, names, actor)
        if first and key then
            call('SET', key_of(q, 'key:', key), integer_text(first) .. ' ' .. redis.sha1hex(list[from]), 'PX', ttl)
        end
        return first
    end
end
