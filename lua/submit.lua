-- stoker_submit <spec JSON> [key] [actor]: a new job, or the one that the idempotency key already made.
-- stoker_bulk <actor or ''> (<spec JSON> <key or ''>)…: the same for up to 100, each answered by itself.

local submit_check, submit_reserve, submit_job, submit_each
do
    -- What a submit needs to know of its queue.
    local META = {'queue', 'paused', 'archive', 'next', 'active', 'max_jobs', 'rate_max'}
    local META_MORE = {'queue', 'key_ttl_ms', 'rate_per_ms'}
    local KEY_IS_USED = 'the idempotency key %s was used for another spec: job %s | use a new key'

    -- The lane of new jobs of this class, priority and tenant. Its keys are checked once a call: is it listed, does its
    -- bell ring?
    local function lane_for(q, class, priority, tenant)
        local lanes = q.known.lanes[class] or {}
        local which = tenant and priority .. tenant or priority
        if not lanes[which] then
            lanes[which] = class .. ':' .. priority .. ':' .. (tenant or '-')
            expect_type(q, 'stream', 'ready:' .. lanes[which])
            q.known.listed[lanes[which]] = expect_member(q, 'lanes', lanes[which])
            q.known.ringing[class] = expect_member(q, 'wake:' .. class, '1')
            q.known.lanes[class] = lanes
        end
        return lanes[which]
    end

    -- Does the queue take anything new?
    function submitting.admit(q)
        if q.meta.paused == 'draining' then
            queue_refuse_new(q)
        elseif q.meta.archive == 'behind' then
            fail('FULL', 'queue %s: too many jobs have ended that are not in the archive yet (max_finished is %d) | ' ..
                 'is the store there, and a scheduler with --store? its log says what fails', q.name,
                 tonumber(call('HGET', q.meta_key, 'max_finished')) or META_NUMBERS.max_finished)
        elseif q.meta.active + q.active >= q.meta.max_jobs then
            fail('FULL', 'queue %s has %d unfinished jobs, which is its bound (max_jobs) | wait, or raise it: ' ..
                 'HSET %s max_jobs …', q.name, q.meta.active + q.active, q.meta_key)
        end
    end

    -- What only few submits need to know of it besides.
    function submitting.read_more_meta(q)
        if not q.meta.key_ttl_ms then
            queue_read(q, META_MORE)
        end
    end

    local function check_special(q, values, checked)
        expect_type(q, 'zset', 'waiting')
        if values['webhook.url'] then
            expect_type(q, 'set', 'webhooks:jobs')
        end
        if checked.loan == nil then
            checked.loan = checkpoints.loan_of_spec(q, values)
        end
        checked.rival = unique.check(q, values)
        limits.check_new(q, values)
        if values['unique.key'] and not checked.rival then
            q.known.unique[values['unique.key']] = checked
        end
    end

    -- The last check of a new job that the queue takes, which counts it: everything that its writes rely on. loan: what
    -- it is to be lent, false for nothing, whatever its spec says.
    function submitting.check(q, values, spec_text, loan)
        local class, requirement = class_choose(q, values)
        local checked = {values = values, text = spec_text, class = class, requirement = requirement, loan = loan,
                         lane = lane_for(q, class, values.priority, values.special and values.tenant)}
        if values.special or q.meta.rate_max > 0 then
            submitting.read_more_meta(q)
            check_special(q, values, checked)
        end
        if not checked.rival then
            q.active = q.active + 1
        end
        return checked
    end

    function submit_check(q, values, spec_text, loan)
        submitting.admit(q)
        local spared = submitting.check_code(q, values)
        local checked = submitting.check(q, values, spec_text, loan)
        checked.spared = spared
        return checked
    end

    -- Numbers for so many jobs, and nothing under them; of plain jobs, submitting.put sees to that. Jobs that are
    -- counted as active by now are written in the same breath.
    function submit_reserve(q, count, are_plain)
        local first, there = q.meta.next + 1, {}
        for i = 1, are_plain and 0 or count do
            there[i] = key_of(q, 'job:', integer_text(first + i - 1))
        end
        if there[1] and call('DEL', unpack(there)) > 0 then
            for n = first, first + count - 1 do
                submitting.clear(q, integer_text(n))
            end
        end
        q.meta.active, q.active = q.meta.active + q.active, 0
        call('HSET', q.meta_key, 'active', integer_text(q.meta.active), 'next', integer_text(q.meta.next + count))
    end

    -- Is there more to it than to queue it?
    function submitting.is_special(q, checked, delay_ms)
        return checked.values.special or checked.waits or delay_ms > 0 or q.meta.rate_max > 0 or checked.loan
    end

    -- The words of a spec's tags as the record has them; nil: there are none.
    function submitting.tags(values)
        return values.tags and values.tags[1] and table.concat(values.tags, ' ')
    end

    -- What few jobs have, into their record.
    function submitting.more(q, record, values, n)
        if values.experiment then
            append(record, 'experiment', values.experiment)
        end
        local tags = submitting.tags(values)
        if tags then
            append(record, 'tags', tags)
        end
        if values['webhook.url'] then
            webhook_watch(q, n)
        end
        if values.tenant then
            append(record, 'tenant', values.tenant)
        end
        if values.resume == 'best' then
            append(record, 'resume_best', '1')
        end
        if values['retry.elsewhere'] > 0 then
            append(record, 'elsewhere_ms', values['retry.elsewhere'])
        end
        if values['concurrency.key'] then
            append(record, 'slot', values['concurrency.key'], 'slot_max', values['concurrency.max'], 'special', '1')
        end
        if values['unique.key'] then
            unique.take(q, values, n)
            append(record, 'unique', values['unique.key'], 'special', '1')
        end
        if values['unique.until'] == 'started' and values['unique.key'] then
            append(record, 'unique_until', 'started')
        end
    end

    -- Why the job of these values is not queued yet, as fields of its record; nil: it is queued.
    local function wait_of(q, checked, n, actor, delay_ms, is_held)
        local values, borrows = checked.values, checked.loan and checked.loan.abroad
        local due = borrows and delay_ms > 0 and {'due_ms', integer_text(q.now + delay_ms)} or nil
        local wait = is_held and held_wait_of(q, values, delay_ms, actor) or
            (checked.waits or borrows) and {reason = 'dependency', more = due} or
            limits.wait_of(q, values, n, delay_ms)
        if not wait then
            return nil
        end
        append(q.batch.waiting, wait.due_ms or '+inf', n)
        if wait.in_line then
            limits.line_up(q, n, values['concurrency.key'], values.priority)
        end
        return pairs_given({'reason', wait.reason}, 'due_ms', wait.due_ms, unpack(wait.more or {}))
    end

    -- The record of a new job, which is as yet nowhere or in the place that the fields say, and what belongs to it.
    function submitting.record(q, checked, n, uid, state, attempt, actor, fields)
        local values, class, specs = checked.values, checked.class, q.batch.specs
        if values.name then
            append(fields, 'name', values.name)
        end
        if actor then
            append(fields, 'actor', actor)
        end
        if values.special then
            submitting.more(q, fields, values, n)
        end
        if checked.loan and checked.loan.abroad then
            checkpoints.ask_for_loan(q, fields, values, checked.loan, n)
        elseif checked.loan then
            local newest = checkpoints.lend(q, checked.loan, n)
            append(fields, 'checkpoint', newest.id, 'special', '1')
            pairs_given(fields, 'checkpoint_step', newest.record.step)
        end
        submitting.put(q, checked.is_plain, n, state, uid, attempt, usual_text(values.lease), class,
                       usual_text(values.priority), q.now_text, fields)
        local last = #specs
        specs[last + 1], specs[last + 2] = key_of(q, 'spec:', n), checked.text
        class_put(q, class, checked.requirement)
    end

    -- Writes a job that was checked, under the next number that was reserved; cannot fail. Answers its number and its
    -- state. One that waits for others (checked.waits) takes its place under the limits when they have ended.
    -- Thousands of jobs may come in a second: the record is written straight away, without the detour of job_set.
    function submitting.write(q, checked, actor, delay_ms, is_held)
        local class, state = checked.class, STATE_MOVES['new submit']
        q.meta.next = q.meta.next + 1
        submitting.spare_code(q, checked.spared)
        local n = integer_text(q.meta.next)
        local uid, waits, given = submitting.uid(q, n), nil, nil
        if checked.offer then
            given = offers.enter(q, checked.offer, n, uid, usual_text(checked.values.lease), checked.text)
        elseif not checked.is_plain and submitting.is_special(q, checked, delay_ms) then
            waits = wait_of(q, checked, n, actor, delay_ms, is_held)
            state = waits and STATE_MOVES['new submit-later'] or state
        end
        local fields = waits or given or -- with room for what most have besides
            {'lane', checked.lane, 'entry', lane_enter(q, checked.lane, class, n, '0'), nil, nil, nil, nil}
        submitting.record(q, checked, n, uid, given and STATE_MOVES['queued claim'] or state, given and '1' or '0',
                          actor, fields)
        return n, state
    end

    -- The same; answers the job, for more to be done with it.
    function submit_job(q, checked, actor, delay_ms, is_held)
        local n, state = submitting.write(q, checked, actor, delay_ms, is_held)
        return job_of_fields(n, {state = state, class = checked.class, attempt = '0'})
    end

    -- The job that this key made, and how many came with it when they were a graph; nil: none.
    function submitting.earlier(q, name, key, hash)
        local known = call('GET', key_of(q, 'key:', name))
        if not known then
            return nil
        end
        local n, known_hash, count = known:match('^(%d+) (%x+) ?(%d*)$')
        if known_hash ~= hash then
            fail('CONFLICT', KEY_IS_USED, quoted(key), n and job_id(q, n) or 'unknown')
        end
        return job_id(q, n), tonumber(n), tonumber(count)
    end

    -- The values of a spec that is meant for this queue.
    function submitting.read(q, spec_text)
        local values = spec_read(spec_text)
        if values.queue and values.queue ~= q.name then
            fail('INVALID', 'queue: the spec says %s, but it was submitted to queue %s', values.queue, q.name)
        end
        return values
    end

    -- What a new job waits for. of_name: jobs of the same submit by name.
    function submitting.wanted(q, values, of_name)
        if values.after and values.hold then
            fail('INVALID', 'hold: not of a job that waits for others (after)')
        end
        return values.after and depend.check(q, values.after, of_name)
    end

    local function prepare_special(q, values)
        if values['schedule.name'] then
            fail('INVALID', 'schedule: this is a recurring job, not one to submit | FCALL stoker_schedule, POST ' ..
                 '/api/v1/schedules or stoker submit takes it')
        end
        local wanted = submitting.wanted(q, values)
        if values.batch then
            batching.expect_types(q, values.batch)
        end
        return wanted
    end

    -- What is to be done for one spec: {id} of the job that is there already, or a checked job. The keys of a scope
    -- (a submitter) are its own: a key has no space in it, so that none of another reaches there.
    local function prepare(q, spec_text, key, scope)
        local hash, name
        if key then
            want_match(key, 'idempotency key', '^[!-~]+$', 128, '1 to 128 printable ASCII characters without space')
            submitting.read_more_meta(q)
            hash = redis.sha1hex(spec_text)
            name = scope and scope .. ' ' .. key or key
            local id = submitting.earlier(q, name, key, hash)
            if id then
                return {id = id}
            end
        end
        local values = submitting.read(q, spec_text)
        local wanted = values.special and prepare_special(q, values)
        local checked = submit_check(q, values, spec_text)
        if key then
            checked.key, checked.key_name, checked.hash = key, name, hash
        end
        if wanted then
            checked.wanted, checked.waits = wanted, true
        end
        return checked
    end

    function submitting.make(q, checked, actor)
        local values = checked.values
        local n, state = submitting.write(q, checked, actor, values.delay, values.hold)
        if checked.wanted then
            local child = job_of_fields(n, {state = state})
            checked.n, checked.ended = n, depend.attach(q, child, checked.wanted, values)
        end
        if checked.batch or (values.special and values.batch) then
            batching.join(q, n, checked.batch or values.batch, state, actor)
        end
        if checked.key then
            call('SET', key_of(q, 'key:', checked.key_name), n .. ' ' .. checked.hash, 'PX', q.meta.key_ttl_ms)
        end
        local said = q.known.submitted
        said[state] = said[state] or event_open(q, 'job.submitted', 'state', state, 'actor', actor)
        event_join(q, said[state], n, '0')
        return job_id(q, n)
    end

    local function submit(keys, args)
        no_more_arguments(args, 3)
        local spec_text, key, actor = args[1] or '', optional(args[2]), want_actor(args[3])
        local n = submitting.plainly(keys, args, 1, 3, actor, key)
        if n then
            return job_id(submitting.names_of(keys), integer_text(n))
        end
        local q = queue_open(keys, META)
        expect_type(q, 'stream', 'events')
        local checked = prepare(q, spec_text, key)
        if checked.id then
            return checked.id
        end
        checked.is_plain = not submitting.is_special(q, checked, checked.values.delay)
        if checked.is_plain and not q.known.listed[checked.lane] then
            checked.offer = offers.find(q, checked.class, checked.requirement, checked.values.priority, spec_text)
        end
        submit_reserve(q, 1, checked.is_plain)
        local id = submitting.make(q, checked, actor)
        if checked.offer and checked.offer.n then
            offers.begin(q, checked.offer)
        end
        if checked.ended then
            depend.tell_ended(q, checked.n, checked.ended)
        end
        queue_flush(q)
        return id
    end

    -- A key that stands twice in one call: the second finds the first as if it had come later.
    local function same_key(checked, first)
        if first.hash ~= checked.hash then
            return {'error', 'CONFLICT ' .. KEY_IS_USED:format(quoted(checked.key), first.id)}
        end
        return {'ok', first.id}
    end

    -- Checks one spec of many: what is wrong with it is its own answer.
    local function prepare_apart(q, spec_text, key, scope, first_of)
        local ok, one = pcall(prepare, q, spec_text, key, scope)
        if not ok and not (type(one) == 'table' and one.fail) then
            error(one)
        elseif not ok then
            return {answer = {'error', one.fail}}
        elseif one.id then
            return {answer = {'ok', one.id}}
        elseif one.rival then
            return one
        elseif key and first_of[key] then
            one.first = first_of[key]
            q.active = q.active - 1
        elseif key then
            first_of[key] = one
        end
        return one
    end

    -- Submits each <spec> <key> of the list from there on; their answers. What is left to do is queue_flush.
    function submit_each(q, list, from, actor, scope)
        local checked, answers, first_of, count, are_plain = {}, {}, {}, 0, true
        for i = from, #list, 2 do
            local one = prepare_apart(q, list[i], optional(list[i + 1]), scope, first_of)
            checked[#checked + 1] = one
            if not (one.answer or one.first or one.rival) then
                count = count + 1
                one.is_plain = not submitting.is_special(q, one, one.values.delay)
                are_plain = are_plain and one.is_plain
            end
        end
        if count > 0 then
            submit_reserve(q, count, are_plain)
        end
        for at = 1, #checked do
            local one = checked[at]
            if one.first then
                answers[at] = same_key(one, one.first)
            elseif one.rival then
                answers[at] = {'error', ('CONFLICT unique.key: job %s has the key %s'):format(
                    one.rival.id, quoted(one.values['unique.key']))}
            elseif one.answer then
                answers[at] = one.answer
            else
                one.id = submitting.make(q, one, actor)
                answers[at] = {'ok', one.id}
            end
        end
        for at = 1, #checked do
            if checked[at].ended then
                depend.tell_ended(q, checked[at].n, checked[at].ended)
            end
        end
        return answers
    end

    local function bulk(keys, args)
        local actor = want_actor(args[1])
        if #args < 3 or #args % 2 == 0 or #args > 1 + 2 * MAX_JOBS_A_CALL then
            fail('INVALID', 'expected <actor> and 1 to %d times <spec> <key>, got %d arguments', MAX_JOBS_A_CALL, #args)
        end
        local first = submitting.plainly(keys, args, 2, 2, actor)
        if first then
            local q, answers = submitting.names_of(keys), {}
            for i = 1, (#args - 1) / 2 do
                answers[i] = {'ok', job_id(q, integer_text(first + i - 1))}
            end
            return answers
        end
        local q = queue_open(keys, META)
        expect_type(q, 'stream', 'events')
        local answers = submit_each(q, args, 2, actor)
        queue_flush(q)
        return answers
    end

    register('submit', submit)
    register('bulk', bulk)
end
