#!lua name=stoker
-- version @VERSION@
--
-- stoker's function library: every change of a queue's state is one function here, and docs/protocol.md is the
-- manual of all of them. The files of lua/ are put together in the order of lua/files.mk, after the tables printed
-- from C (the keys of a spec, the moves between states).
--
-- Redis does not roll a function back. So each one first reads and checks everything, the types of the keys that it
-- is going to write included, and may `fail` up to there; after its first write nothing can fail any more.
-- Time is Redis TIME. What looks like state is in Redis, or in the queue table `q`. Nothing survives a call but what
-- follows from its text alone (names of keys, decoded requirements), within bounds.
--
-- This file: failing, checked arguments, opening a queue, and what is written once at the end of a call.

-- While the library is loaded there is nothing but redis.register_function, and later what is global stands behind an
-- empty table's metatable, which costs as much as a short function at every use. So the first call of a function puts
-- what most functions use into locals.
local function globals()
    return redis.call, redis, cjson, string, table, math, type, pairs, select, unpack, tonumber, pcall
end
local redis, call, cjson, string, table, math, type, pairs, select, unpack, tonumber, pcall = redis, nil

local MAX_JOBS_A_CALL = 100
local LARGEST = 9007199254740992 -- 2^53: beyond it a Lua number is no integer any more
local TEXT_MAX = 500             -- bytes of a reason or an error that are kept
local WORKER = {
    seen_ms = 30000, -- it is there if it was heard of so lately
    kept_s = 172800, -- what is known of it, since it was last heard of
}

-- ---------------------------------------------------------------- failing

-- Ends the function with an error reply. Only before the first write.
local function fail(code, sentence, ...)
    if select('#', ...) > 0 then
        sentence = sentence:format(...)
    end
    error({fail = code .. ' ' .. sentence})
end

-- A move or an argument that our own code must never produce: a defect, said loudly.
local function bug(...)
    error('stoker: ' .. string.format(...))
end

local function register(name, callback, ...)
    redis.register_function({
        function_name = 'stoker_' .. name,
        flags = {...},
        callback = function(keys, args)
            if not call then
                call, redis, cjson, string, table, math, type, pairs, select, unpack, tonumber, pcall = globals()
            end
            local ok, answer = pcall(callback, keys, args)
            if ok then
                return answer
            end
            if type(answer) == 'table' then
                return {err = answer.fail or answer.err}
            end
            -- An error of Redis comes as a text, behind the place in our code unless that was a tail call; the place is
            -- nobody else's business.
            local refusal = answer:gsub('^user_function:%d+: ', ''):match('^[A-Z]+ .*$')
            if refusal then
                return {err = refusal}
            end
            error(answer)
        end,
    })
end

-- ---------------------------------------------------------------- texts and numbers

-- In a quarter less time than Lua's own conversion, which writes 14 digits at most. The last number is often asked for
-- again.
local integer_text
do
    local last_value, last_text
    function integer_text(value)
        if value ~= last_value then
            last_value, last_text = value, string.format('%d', value)
        end
        return last_text
    end
end

-- Of what has few values, as priorities have: texts that were made once are kept, as long as they are few.
local usual_text
do
    local kept, count = {}, 0
    function usual_text(value)
        local text = kept[value]
        if not text then
            text = integer_text(value)
            if count == 1000 then
                kept, count = {}, 0
            end
            kept[value], count = text, count + 1
        end
        return text
    end
end

-- The shortest text that reads back as the same number; JSON and Redis have no names of their own for what is not
-- finite.
local function number_text(value)
    if value ~= value then
        return 'NaN'
    elseif value == math.huge then
        return 'Infinity'
    elseif value == -math.huge then
        return '-Infinity'
    elseif value == math.floor(value) and value > -LARGEST and value < LARGEST then
        return integer_text(value)
    end
    for digits = 14, 17 do
        local text = string.format('%.' .. digits .. 'g', value)
        if tonumber(text) == value then
            return text
        end
    end
end

local function as_text(value)
    local kind = type(value)
    if kind == 'string' then
        return value
    end
    return kind == 'number' and number_text(value) or tostring(value)
end

-- At most `bytes` of a text, never cut inside a UTF-8 character.
local function clip(text, bytes)
    if #text <= bytes then
        return text
    end
    while bytes > 0 and text:byte(bytes + 1) >= 128 and text:byte(bytes + 1) < 192 do
        bytes = bytes - 1
    end
    return text:sub(1, bytes)
end

local is_utf8
do
    -- What is left of a text once every character past ASCII was replaced must be ASCII. First the bytes that such a
    -- character may begin with, since most texts have one or two kinds of them.
    local UTF8 = {
        {194, 223, '[\194-\223][\128-\191]'}, {224, 224, '\224[\160-\191][\128-\191]'},
        {225, 236, '[\225-\236][\128-\191][\128-\191]'}, {237, 237, '\237[\128-\159][\128-\191]'},
        {238, 239, '[\238\239][\128-\191][\128-\191]'}, {240, 240, '\240[\144-\191][\128-\191][\128-\191]'},
        {241, 243, '[\241-\243][\128-\191][\128-\191][\128-\191]'},
        {244, 244, '\244[\128-\143][\128-\191][\128-\191]'},
    }

    local function has_byte(text, first, last)
        for byte = first, last do
            if text:find(string.char(byte), 1, true) then
                return true
            end
        end
        return false
    end

    -- A search for one byte is so fast in C that 128 of them cost less than half of a look at each byte of a long
    -- text.
    local function is_ascii(text)
        if #text > 8192 then
            return not has_byte(text, 128, 255)
        end
        local _, ascii = text:find('^[^\128-\255]*') -- one run: four times as fast as a search for what is not
        return ascii == #text
    end

    is_utf8 = function(text)
        if is_ascii(text) then
            return true
        end
        for _, kind in ipairs(UTF8) do
            if has_byte(text, kind[1], kind[2]) then
                text = text:gsub(kind[3], 'x')
            end
        end
        return is_ascii(text)
    end
end

-- Lua compares texts by the locale that Redis was started in; what is written or said must not depend on it.
local function bytes_less(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = a:byte(i), b:byte(i)
        if x ~= y then
            return x < y
        end
    end
    return #a < #b
end

local function quoted(text)
    if text == nil then
        return 'nothing'
    end
    return cjson.encode(clip(tostring(text), 60))
end

-- Flat replies {name, value, …} as a table.
local function pairs_table(reply)
    local result = {}
    for i = 1, #reply, 2 do
        result[reply[i]] = reply[i + 1]
    end
    return result
end

local function json_list(items)
    return '[' .. table.concat(items, ',') .. ']'
end

-- ---------------------------------------------------------------- arguments

local function want_integer(text, what, least, most)
    local value = type(text) == 'string' and #text <= 17 and text:match('^%-?%d+$') and tonumber(text)
    if not value or value < least or value > most then
        fail('INVALID', '%s: expected an integer from %s to %s, got %s', what, integer_text(least), integer_text(most),
             quoted(text))
    end
    return value
end

local function want_match(text, what, pattern, longest, expected)
    if type(text) ~= 'string' or #text > longest or not text:match(pattern) then
        fail('INVALID', '%s: expected %s, got %s', what, expected, quoted(text))
    end
    return text
end

-- An argument that may be left out; '' counts as left out.
local function optional(text)
    if text == '' then
        return nil
    end
    return text
end

-- Everything that people will read must be UTF-8: readers of JSON refuse the whole document for one bad byte.
local function want_utf8(text, what)
    if not is_utf8(text) then
        fail('INVALID', '%s: expected UTF-8 text', what)
    end
    return text
end

local function want_actor(text)
    text = optional(text)
    return text and want_utf8(want_match(text, 'actor', '^[^%z%c]+$', 128,
                                         '1 to 128 bytes without control characters'), 'actor')
end

-- A sentence that is kept: cut to TEXT_MAX, without NUL, which many readers do not take.
local function sentence_of(text)
    return clip((text:gsub('%z', ' ')), TEXT_MAX)
end

local function want_reason(text)
    text = optional(text)
    return text and sentence_of(want_utf8(text, 'reason'))
end

local function want_worker(text)
    return want_match(text, 'worker', '^%w[%w._-]*$', 128, '1 to 128 letters, digits, dots, hyphens, underscores')
end

-- A JSON object as a table.
local function want_object(text, what, most_bytes)
    if type(text) ~= 'string' or #text > most_bytes then
        fail('INVALID', '%s: expected a JSON object of at most %d bytes', what, most_bytes)
    end
    local ok, value = pcall(cjson.decode, want_utf8(text, what))
    if not ok or type(value) ~= 'table' or not text:match('^%s*{') then
        fail('INVALID', '%s: expected a JSON object, got %s', what, quoted(text))
    end
    return value
end

local function no_more_arguments(args, last)
    if #args > last then
        fail('INVALID', 'too many arguments: expected at most %d, got %d', last, #args)
    end
end

-- ---------------------------------------------------------------- the queue

local META_FIELDS = {'queue', 'installation', 'lease_min_ms', 'lease_max_ms', 'paused', 'archive', 'next', 'active',
                     'max_jobs', 'max_finished', 'key_ttl_ms', 'max_running', 'rate_max', 'rate_per_ms',
                     'preempt', 'store'}
-- Those of them that are numbers, with their defaults; the rest is not judged here.
local META_NUMBERS = {next = 0, active = 0, max_jobs = 1000000, max_finished = 100000, key_ttl_ms = 86400000,
                      max_running = 0, rate_max = 0, rate_per_ms = 0, preempt = 0}

local queue_new
local submitting = {} -- lua/submit.lua: parts of it that others use, too
do
    local QUEUES_KEPT, KEYS_KEPT = 100, 1000

    -- Tables that appear when they are first asked for: most calls need two or three of a dozen.
    local TABLES = {
        __index = function(tables, name)
            local one = {}
            tables[name] = one
            return one
        end,
    }

    -- The keys of a queue by their names, put together once.
    local function keys_new(base)
        local count = 0
        return setmetatable({}, {
            __index = function(keys, name)
                if count == KEYS_KEPT then
                    for other in pairs(keys) do
                        keys[other] = nil
                    end
                    count = 0
                end
                local key = base .. name
                keys[name], count = key, count + 1
                return key
            end,
        })
    end

    -- The names of a queue by the key of its `meta`. They follow from that key alone: those of the last are kept.
    local kept, kept_count = {}, 0
    function submitting.names_of(keys)
        local key = keys[1]
        local names = #keys == 1 and kept[key]
        if names then
            return names
        end
        local base, name
        if #keys == 1 then
            base, name = key:match('^([^{}%c]-{([a-z0-9][a-z0-9-]*)}:)meta$')
        end
        if not base or #name > 63 then
            fail('INVALID', 'expected one key, <prefix>{<queue>}:meta, got %s', quoted(key))
        elseif kept_count == QUEUES_KEPT then
            kept, kept_count = {}, 0
        end
        names = {base = base, name = name, keys = keys_new(base)}
        kept[key], kept_count = names, kept_count + 1
        return names
    end

    -- Everything of one call: the names, the time, the fields of `meta`, and what `queue_flush` writes once at the end
    -- (many jobs a call share one ZADD, XACK, XDEL …).
    function queue_new(keys)
        local names, time = submitting.names_of(keys), call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        return {
            base = names.base, name = names.name, keys = names.keys, meta_key = keys[1],
            now = now, now_text = integer_text(now), time = time, events = {}, active = 0,
            -- A table that grows is made anew each time: these have room for what most calls put there.
            meta = {queue = nil, paused = nil, next = nil, active = nil, max_jobs = nil, max_running = nil},
            batch = setmetatable({specs = nil, ack = nil, final = nil, bells = nil}, TABLES), -- written at the end
            known = setmetatable({lanes = nil, listed = nil, put = nil, admitted = nil, submitted = nil, ringing = nil,
                                  expiries = nil}, TABLES), -- what this call checked or did once needs no second time
            claimed = nil, uid_stem = nil,
        }
    end
end

-- Reads fields of `meta`; the first must be `queue`.
local function queue_read(q, fields)
    local values, meta = call('HMGET', q.meta_key, unpack(fields)), q.meta
    if not values[1] then
        fail('NOQUEUE', 'no queue %s | stoker queues lists those there are; SADD stoker:queues %s makes it, and so ' ..
             'does stoker submit', q.name, q.name)
    end
    for i = 1, #fields do
        local field, value = fields[i], values[i]
        local default = META_NUMBERS[field]
        if default and value and (#value > 15 or not value:find('^%d+$')) then
            fail('INVALID', 'queue %s: the field %s of meta must be an integer, it is %s', q.name, field, quoted(value))
        end
        meta[field] = default and tonumber(value or default) or value or nil
    end
end

-- A call that comes thousands of times a second names the few fields that it needs: each costs as much as a small
-- command.
local function queue_open(keys, fields)
    local q = queue_new(keys)
    queue_read(q, fields or META_FIELDS)
    return q
end

-- A key of this queue; with a number, that of a job: a text put together on the way would cost as much again.
local function key_of(q, name, n)
    if n then
        return q.base .. name .. n
    end
    return q.keys[name]
end

-- Answers the length of a key that is going to be written, or fails if a stranger has put another type there.
local expect_type
do
    local LENGTH = {hash = 'HLEN', list = 'LLEN', stream = 'XLEN', zset = 'ZCARD', set = 'SCARD', string = 'STRLEN'}

    function expect_type(q, type_name, name)
        local length = redis.pcall(LENGTH[type_name], key_of(q, name))
        if type(length) == 'table' then
            fail('WRONGTYPE', 'the key %s is not a %s: something else was put there', key_of(q, name), type_name)
        end
        return length
    end
end

-- The same of a sorted set, with the question whether something is in it.
local function expect_member(q, name, member)
    local score = redis.pcall('ZSCORE', key_of(q, name), member)
    return type(score) == 'string' or type(score) == 'table' and expect_type(q, 'zset', name)
end

-- What nearly every move writes. What is surely read in the same call before the first write checks itself.
local function expect_queue_types(q)
    expect_type(q, 'stream', 'events')
    expect_type(q, 'zset', 'lanes')
    expect_type(q, 'zset', 'leases')
    expect_type(q, 'zset', 'waiting')
end

local function final_key(q, state)
    return key_of(q, 'jobs:' .. state)
end

local function append(list, a, b, ...)
    local last = #list
    list[last + 1], list[last + 2] = a, b
    if select('#', ...) > 0 then
        local items = {...}
        for i = 1, #items do
            list[last + 2 + i] = items[i]
        end
    end
end

-- unpack is bounded by Lua's stack (8,000); 100 jobs a call stay far below it.
local function call_with(command, key, list)
    if list[1] then
        call(command, key, unpack(list))
    end
end

local event_flush -- lua/event.lua
local share = {} -- lua/share.lua
local depend = {} -- lua/depend.lua
local batching = {} -- lua/batch.lua
local checkpoints = {} -- lua/checkpoints.lua
local stores = {} -- lua/stores.lua
