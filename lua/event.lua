-- Events: every transition of the queue, in the stream `events` and live on its channel. What did not go straight
-- is also kept in the job's own history. They are collected during a call and written at its end: when the same
-- happens to several jobs one after the other, it is one entry.

-- One JSON object of texts in the order given. A text may be long (a log's), and every Lua string that it becomes a
-- part of costs a pass over it: they are put together once.
local function json_of_pairs(list)
    local parts, last = {}, 0
    for i = 1, #list, 2 do
        parts[last + 1], parts[last + 2], parts[last + 3] = last == 0 and '{"' or ',"', list[i], '":'
        parts[last + 4] = cjson.encode(list[i + 1])
        last = last + 4
    end
    parts[last + 1] = last == 0 and '{}' or '}'
    return table.concat(parts)
end

-- The pairs whose value is not nil, as texts, behind those of the list.
local function pairs_given(list, ...)
    local given, last = {...}, #list
    for i = 1, select('#', ...), 2 do
        if given[i + 1] ~= nil then
            list[last + 1], list[last + 2] = given[i], as_text(given[i + 1])
            last = last + 2
        end
    end
    return list
end

-- Adds one entry to a stream and publishes it, or `told` of it, on the channel of the same name.
local function stream_add(q, name, id, kept, list, told)
    local key = key_of(q, name)
    if kept then
        id = call('XADD', key, 'MAXLEN', '~', kept, id, unpack(list))
    else
        call('XADD', key, id, unpack(list))
    end
    call('PUBLISH', key, json_of_pairs({'id', id, unpack(told or list)}))
end

local function event_of_queue(q, name, ...)
    q.events[#q.events + 1] = {list = pairs_given({'event', name}, ...)}
end

local function job_id(q, n)
    return q.name .. '-' .. n
end

-- Something that happens to many jobs of this call: event_open once, event_join for each of them. An event is {name =,
-- count = how many joined, rest = {name, value, …}, more = the rest as JSON behind other names; nil: is to be made}.
local function event_open(q, name, ...)
    local event = {name = name, count = 0, rest = pairs_given({}, ...)}
    q.events[#q.events + 1] = event
    return event
end

local function event_join(q, event, n, attempt)
    local count = event.count + 1
    event.count = count
    if count == 1 then
        event.job, event.attempt = q.name .. '-' .. n, attempt
        return
    elseif count == 2 then
        event.jobs = {event.job .. ':' .. event.attempt}
    end
    event.jobs[count] = q.name .. '-' .. n .. ':' .. attempt
end

-- event_say(q, j, 'job.lost', 'worker', worker, …): nil values are left out.
local function event_say(q, j, name, ...)
    local rest = pairs_given({}, ...)
    local last = q.events[#q.events]
    if not (last and last.name == name and table.concat(last.rest, '\0') == table.concat(rest, '\0')) then
        last = event_open(q, name)
        last.rest = rest
    end
    event_join(q, last, j.n, j.f.attempt or '0')
    return rest
end

local event_note
do
    local HISTORY_KEPT = 200

    -- The same, and a line in the job's history.
    function event_note(q, j, name, ...)
        local rest = event_say(q, j, name, ...)
        local key = key_of(q, 'history:' .. j.n)
        local list = {'time_ms', q.now_text, 'event', name, 'job', job_id(q, j.n), 'attempt', j.f.attempt or '0'}
        append(list, unpack(rest))
        if call('RPUSH', key, json_of_pairs(list)) > HISTORY_KEPT then
            call('LTRIM', key, -HISTORY_KEPT, -1)
        end
    end
end

do
    local EVENTS_KEPT = '10000'

    -- Names of events, ids and numbers need no escaping: most of an event is put together in one go.
    local function tell(key, event)
        local rest, more = event.rest, event.more or ''
        for i = 1, event.more and 0 or #rest, 2 do
            more = more .. ',"' .. rest[i] .. '":' .. cjson.encode(rest[i + 1])
        end
        local id, said
        if event.count == 1 then
            id = call('XADD', key, 'MAXLEN', '~', EVENTS_KEPT, '*', 'event', event.name, 'job', event.job, 'attempt',
                      event.attempt, unpack(rest))
            said = '","job":"' .. event.job .. '","attempt":"' .. event.attempt .. '"'
        else
            local jobs = table.concat(event.jobs, ' ')
            id = call('XADD', key, 'MAXLEN', '~', EVENTS_KEPT, '*', 'event', event.name, 'jobs', jobs, unpack(rest))
            said = '","jobs":"' .. jobs .. '"'
        end
        call('PUBLISH', key, '{"id":"' .. id .. '","event":"' .. event.name .. said .. more .. '}')
    end

    function event_flush(q)
        local events = q.events
        if not events[1] then
            return
        end
        local key = key_of(q, 'events')
        for i = 1, #events do
            if events[i].list then
                stream_add(q, 'events', '*', EVENTS_KEPT, events[i].list)
            else
                tell(key, events[i])
            end
        end
        q.events = {}
    end
end

-- A hint that makes a worker or a runner look now; nothing depends on it.
local function event_hint(q, name, value)
    call('PUBLISH', key_of(q, 'control'), cjson.encode({[name] = value}))
end
