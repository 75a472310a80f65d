-- Ready lanes: one stream a class, priority and tenant, read by the group `workers`. What is in a stream is queued
-- (not yet delivered) or running (pending). Streams are never trimmed: an entry goes when its attempt ends.
--
-- `lanes` holds the lanes that may have something undelivered, in the order in which a claim walks them: priority 9
-- first, what was preempted or lost (`!front`) before the rest, and among equals the lane whose head waits longest,
-- so that classes share a worker in the order of arrival. Tenants are another matter: lua/share.lua.
--
-- What ended badly on a worker and is to go elsewhere (`retry.elsewhere`) waits in a lane that only this worker passes
-- by, `!not@<worker>`: it blocks nobody, and asks nothing of those who claim other jobs. It ranks with `!front`. The
-- zset `elsewhere` says until when; then promote puts it into the lane of everybody.

local LANE_RANK_STEP = 10000000000000 -- larger than any time in ms, so that the rank decides first

local function lane_name(j, special)
    return j.f.class .. ':' .. j.f.priority .. ':' .. (special or j.f.tenant or '-')
end

local function lane_score(lane, entry)
    local priority, tenant = lane:match(':(%d):([^:]+)$')
    local is_first = tenant == '!front' or tenant:find('!not@', 1, true) == 1
    local rank = (9 - priority) * 2 + (is_first and 0 or 1)
    return integer_text(rank * LANE_RANK_STEP + tonumber(entry:match('^%d+')))
end

-- Adds the job's entry to a lane, made when it is not there. Answers its id. is_empty: nothing was found in it before.
local function lane_add(q, lane, n, attempt, is_empty)
    local stream = key_of(q, 'ready:' .. lane)
    local entry = not is_empty and call('XADD', stream, 'NOMKSTREAM', '*', 'n', n, 'attempt', attempt)
    if not entry then
        redis.pcall('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM') -- the stream may be there without entries
        entry = call('XADD', stream, '*', 'n', n, 'attempt', attempt)
    end
    return entry
end

-- The same, where a claim finds it; rings the bell. The class must exist.
local function lane_enter(q, lane, class, n, attempt)
    local entry = lane_add(q, lane, n, attempt)
    if not q.known.listed[lane] then
        call('ZADD', key_of(q, 'lanes'), 'NX', lane_score(lane, entry), lane)
        q.known.listed[lane] = true
    end
    q.batch.bells[class] = true
    return entry
end

-- The special lane that keeps a job off the worker where its last attempt ended badly; nil: it may go anywhere.
local function lane_elsewhere(j)
    local is_meant = j.f.elsewhere_ms and j.f.worker and j.f.cause ~= 'preempted'
    return is_meant and '!not@' .. j.f.worker or nil
end

-- The job leaves its lane: nothing waits for a worker other than the last one any more.
local function lane_forget_elsewhere(q, j)
    if j.f.lane and j.f.lane:find(':!not@', 1, true) then
        q.batch.away[j.n] = false
    end
end

-- Queues a job in the lane of its tenant, or in the special one: '!front', or that of lane_elsewhere.
local function lane_push(q, j, special)
    local lane = lane_name(j, special)
    if special and special == lane_elsewhere(j) then
        q.batch.away[j.n] = integer_text(q.now + job_number(j, 'elsewhere_ms'))
    end
    job_set(j, 'entry', lane_enter(q, lane, j.f.class, j.n, j.f.attempt))
    job_set(j, 'lane', lane)
    job_set(j, 'queued_ms', q.now)
    if j.f.attempt ~= '0' then
        job_set(j, 'special', '1')
    end
end

-- The entry of this job goes at the end of the call.
local function lane_drop(q, j)
    local ids = q.batch.ack[j.f.lane] or {}
    ids[#ids + 1] = j.f.entry
    q.batch.ack[j.f.lane] = ids
    lane_forget_elsewhere(q, j)
end

-- Enters a job as pending for this worker, as if it had been claimed: it becomes an entry of the lane `!held`, from
-- which nobody else reads (XCLAIM FORCE alone would leave the group's last delivered id behind the entry).
local function lane_hold(q, j, worker)
    local lane = lane_name(j, '!held')
    job_set(j, 'entry', lane_add(q, lane, j.n, j.f.attempt))
    job_set(j, 'lane', lane)
    redis.pcall('XREADGROUP', 'GROUP', 'workers', worker, 'COUNT', 1, 'STREAMS', key_of(q, 'ready:' .. lane), '>')
end

-- The entry is pending for the worker of the job from now on, and idle since now. Should a stranger have taken the
-- stream away, the lease alone counts.
local function lane_claim(q, j)
    redis.pcall('XCLAIM', key_of(q, 'ready:' .. j.f.lane), 'workers', j.f.worker, 0, j.f.entry, 'JUSTID')
end

-- Delivers up to `count` entries to this worker: {id, {'n', number, 'attempt', count}} each.
local function lane_take(q, lane, worker, count)
    local reply = redis.pcall('XREADGROUP', 'GROUP', 'workers', worker, 'COUNT', count, 'STREAMS',
                              key_of(q, 'ready:' .. lane), '>')
    return type(reply) == 'table' and not reply.err and reply[1][2] or {}
end

-- After entries up to `last` were delivered (nil: nothing was there): keeps the lane in its place, or takes it out
-- when it turned out empty. Answers whether work is left.
local function lane_settle(q, lane, last)
    local head = last and call('XRANGE', key_of(q, 'ready:' .. lane), '(' .. last, '+', 'COUNT', 1)[1]
    if head then
        call('ZADD', key_of(q, 'lanes'), lane_score(lane, head[1]), lane)
        return true
    end
    call('ZREM', key_of(q, 'lanes'), lane)
    return false
end
