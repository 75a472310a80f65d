-- Events: every transition of the queue, in the stream `events` and live on its channel. What did not go straight
-- is also kept in the job's own history.

local EVENTS_KEPT = 10000
local HISTORY_KEPT = 200

-- One JSON object of texts in the order given.
local function json_of_pairs(list)
    local parts = {}
    for i = 1, #list, 2 do
        parts[#parts + 1] = '"' .. list[i] .. '":' .. cjson.encode(list[i + 1])
    end
    return '{' .. table.concat(parts, ',') .. '}'
end

-- {…} without the pairs whose value is nil; values become texts.
local function pairs_given(list, ...)
    for i = 1, select('#', ...), 2 do
        local name, value = select(i, ...)
        if value ~= nil then
            append(list, name, as_text(value))
        end
    end
    return list
end

-- Adds one entry to a stream and publishes it on the channel of the same name.
local function stream_add(q, name, id, kept, list)
    local key = key_of(q, name)
    if kept then
        id = call('XADD', key, 'MAXLEN', '~', kept, id, unpack(list))
    else
        call('XADD', key, id, unpack(list))
    end
    call('PUBLISH', key, '{"id":"' .. id .. '",' .. json_of_pairs(list):sub(2))
end

local function event_of_queue(q, name, ...)
    stream_add(q, 'events', '*', EVENTS_KEPT, pairs_given({'event', name}, ...))
end

local function job_id(q, n)
    return q.name .. '-' .. n
end

-- event_say(q, j, 'job.claimed', 'worker', worker, …): nil values are left out.
local function event_say(q, j, name, ...)
    local list = pairs_given({'event', name, 'job', job_id(q, j.n), 'attempt', j.f.attempt or '0'}, ...)
    stream_add(q, 'events', '*', EVENTS_KEPT, list)
    return list
end

-- The same, and a line in the job's history.
local function event_note(q, j, name, ...)
    local list = event_say(q, j, name, ...)
    local key = key_of(q, 'history:' .. j.n)
    local text = json_of_pairs(list)
    if call('RPUSH', key, '{"time_ms":"' .. integer_text(q.now) .. '",' .. text:sub(2)) > HISTORY_KEPT then
        call('LTRIM', key, -HISTORY_KEPT, -1)
    end
end

-- A hint that makes a worker or a runner look now; nothing depends on it.
local function event_hint(q, name, value)
    call('PUBLISH', key_of(q, 'control'), cjson.encode({[name] = value}))
end
