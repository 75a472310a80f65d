-- Recurring jobs. A schedule is a spec with the section `schedule`: the text is in `schedule-spec:<name>`, its rule and
-- what became of it in the hash `schedule:<name>`. `schedules` has every name by its next due time; `inf` for one that
-- is paused, or that a scheduler could not make sense of.
--
-- When it is due is worked out by the schedulers, in C (lib/cron.h): one with next_ms 0 is to be planned, from from_ms
-- on. `revision` is another one after every change of the rule: what was worked out for an older one does not count.
--
-- stoker_schedule <spec JSON> [actor], stoker_unschedule <name> [actor], stoker_schedule_pause <name> <pause or resume>
-- [actor], stoker_schedule_refuse <name> <revision> <error>.

local SCHEDULES_MAX = 1000
local SCHEDULE_HOLD_MS = 1000 -- how often a job that waits for the one before it is looked at

local function want_schedule_name(text)
    return want_match(text, 'schedule', '^[A-Za-z0-9][A-Za-z0-9._-]*$', 64,
                      'a name (letters, digits, . _ -, at most 64)')
end

-- The fields of a schedule, or nil.
local function schedule_find(q, name)
    local fields = pairs_table(call('HGETALL', key_of(q, 'schedule:' .. name)))
    return fields.revision and fields or nil
end

local function schedule_load(q, name)
    local s = schedule_find(q, name)
    if not s then
        fail('NOTFOUND', 'no schedule %s in queue %s | stoker schedules lists those there are', name, q.name)
    end
    return s
end

local function expect_schedule_types(q, name)
    expect_type(q, 'stream', 'events')
    expect_type(q, 'zset', 'schedules')
    expect_type(q, 'hash', 'schedule:' .. name)
    expect_type(q, 'string', 'schedule-spec:' .. name)
end

-- Writes these fields, nil for those that go, and its place in the index.
local function schedule_save(q, name, s, changes, gone)
    local key, set = key_of(q, 'schedule:' .. name), {}
    for field, value in pairs(changes) do
        s[field] = as_text(value)
        append(set, field, s[field])
    end
    for i = 1, #gone do
        s[gone[i]] = nil
    end
    call_with('HDEL', key, gone)
    call_with('HSET', key, set)
    call('ZADD', key_of(q, 'schedules'), (s.paused_ms or s.error) and '+inf' or s.next_ms, name)
end

-- Does the job wait for the one that its schedule made before it? What a stranger has put there holds nothing.
local function schedule_holds(q, j)
    if j.f.reason ~= 'overlap' or not j.f.behind then
        return false
    end
    local state = redis.pcall('HGET', key_of(q, 'job:' .. j.f.behind), 'state')
    return type(state) == 'string' and not STATE_FINAL[state]
end

do
    local RULE = {'cron', 'every_ms', 'zone', 'overlap', 'missed'}
    local TIMING = 3 -- so many of them say when it is due

    -- Redis runs one function at a time, and each takes longer than this step of its clock.
    local function revision_of(q)
        return string.format('%.0f', q.time[1] * 1000000 + q.time[2])
    end

    -- Planned anew from here on; what was fired for stays behind, should the clock have been set back meanwhile.
    local function plan_from(q, s)
        return math.max(q.now, tonumber(s.last_ms) or 0)
    end

    local function rule_of(values)
        local every_ms = values['schedule.every']
        return {cron = values['schedule.cron'], every_ms = every_ms and integer_text(every_ms),
                zone = values['schedule.cron'] and (values['schedule.zone'] or 'UTC'),
                overlap = values['schedule.overlap'], missed = values['schedule.missed']}
    end

    local function has_same_timing(s, rule)
        for i = 1, TIMING do
            if s[RULE[i]] ~= rule[RULE[i]] then
                return false
            end
        end
        return not s.error
    end

    local function read_spec(q, text)
        local values = spec_read(text)
        if not values['schedule.name'] then
            fail('INVALID', 'schedule: required: its name, and when it is due | for example ' ..
                 '"schedule":{"name":"nightly","cron":"0 3 * * *"}')
        elseif values.after then
            fail('INVALID', 'after: not in a recurring job: its jobs wait for nobody')
        elseif values.batch then
            fail('INVALID', 'batch: not in a recurring job')
        elseif values.queue and values.queue ~= q.name then
            fail('INVALID', 'queue: the spec says %s, but it was submitted to queue %s', values.queue, q.name)
        end
        return values
    end

    -- Who only changes something else than when it is due keeps the due times as they are.
    local function put(q, name, s, rule, actor)
        local changes, gone = {changed_ms = q.now, revision = revision_of(q), actor = actor}, {'error'}
        if not (s.revision and has_same_timing(s, rule)) then
            changes.next_ms, changes.anchor_ms, changes.from_ms = 0, q.now, plan_from(q, s)
        end
        if not s.revision then
            changes.created_ms = q.now
        end
        for i = 1, #RULE do
            changes[RULE[i]] = rule[RULE[i]]
            if rule[RULE[i]] == nil then
                append(gone, RULE[i])
            end
        end
        schedule_save(q, name, s, changes, gone)
    end

    local function schedule(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local text, actor = args[1] or '', want_actor(args[2])
        local values = read_spec(q, text)
        local name = values['schedule.name']
        expect_schedule_types(q, name)
        local s = schedule_find(q, name)
        if s and not s.error and call('GET', key_of(q, 'schedule-spec:' .. name)) == text then
            return 'unchanged'
        elseif not s and call('ZCARD', key_of(q, 'schedules')) >= SCHEDULES_MAX then
            fail('FULL', 'queue %s has %d schedules, which is the bound | stoker schedules rm removes one', q.name,
                 SCHEDULES_MAX)
        end
        local spared = submitting.check_code(q, values)
        if not s then
            call('DEL', key_of(q, 'schedule:' .. name)) -- of a stranger
        end
        submitting.spare_code(q, spared)
        call('SET', key_of(q, 'schedule-spec:' .. name), text)
        put(q, name, s or {}, rule_of(values), actor)
        event_of_queue(q, s and 'schedule.changed' or 'schedule.created', 'schedule', name, 'actor', actor)
        event_flush(q)
        return s and 'changed' or 'created'
    end

    local function unschedule(keys, args)
        no_more_arguments(args, 2)
        local q = queue_open(keys)
        local name, actor = want_schedule_name(args[1]), want_actor(args[2])
        expect_schedule_types(q, name)
        schedule_load(q, name)
        call('DEL', key_of(q, 'schedule:' .. name), key_of(q, 'schedule-spec:' .. name))
        call('ZREM', key_of(q, 'schedules'), name)
        event_of_queue(q, 'schedule.deleted', 'schedule', name, 'actor', actor)
        event_flush(q)
        return 'deleted'
    end

    -- What is due while it is paused is not made up for.
    local function pause(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local name, what, actor = want_schedule_name(args[1]), args[2], want_actor(args[3])
        if what ~= 'pause' and what ~= 'resume' then
            fail('INVALID', 'what: expected pause or resume, got %s', quoted(what))
        end
        expect_schedule_types(q, name)
        local s = schedule_load(q, name)
        local is_pause = what == 'pause'
        if is_pause ~= (s.paused_ms ~= nil) then
            local changes = {next_ms = 0, from_ms = plan_from(q, s), revision = revision_of(q)}
            if is_pause then
                changes.paused_ms = q.now
            end
            schedule_save(q, name, s, changes, is_pause and {} or {'paused_ms'})
            event_of_queue(q, is_pause and 'schedule.paused' or 'schedule.resumed', 'schedule', name, 'actor', actor)
            event_flush(q)
        end
        return is_pause and 'paused' or 'resumed'
    end

    -- A scheduler cannot work out when it is due: FCALL checks only the form of a cron expression and a zone.
    local function refuse(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local name, reason = want_schedule_name(args[1]), want_reason(args[3])
        if not reason then
            fail('INVALID', 'error: expected a sentence')
        end
        expect_schedule_types(q, name)
        local s = schedule_find(q, name)
        if not s or s.revision ~= args[2] then
            return 'stale'
        elseif not s.error then
            schedule_save(q, name, s, {error = reason, next_ms = 0}, {})
            event_of_queue(q, 'schedule.refused', 'schedule', name, 'error', reason)
            event_flush(q)
        end
        return 'ok'
    end

    register('schedule', schedule)
    register('unschedule', unschedule, 'allow-oom')
    register('schedule_pause', pause, 'allow-oom')
    register('schedule_refuse', refuse, 'allow-oom')
end
