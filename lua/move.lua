-- Moves between states. Each is a row of the table in queue/state.c, printed here as STATE_MOVES, and is made by
-- job_move alone.

local function job_is_final(j)
    return STATE_FINAL[j.f.state]
end

-- Of a job that is held: since when, by whom, why; what it waited for before, and until when.
local HELD_FIELDS = {'held_ms', 'held_by', 'held_reason', 'held_was', 'held_due_ms'}

-- For sentences: "has failed", "is running".
local function job_state_words(j)
    local words = {succeeded = 'has succeeded', failed = 'has failed', cancelled = 'was cancelled'}
    return words[j.f.state] or 'is ' .. j.f.state
end

-- The only place where a state changes. An unlisted move is a defect of ours.
local function job_move(j, event)
    local to = STATE_MOVES[j.f.state .. ' ' .. event]
    if not to then
        bug('job %s: no move %s from %s', j.n, event, j.f.state)
    end
    job_set(j, 'state', to)
    return to
end

local limits, unique = {}, {} -- lua/limit.lua

-- To a final state: out of the count of what is not final, into the index of its state.
local function job_settle(q, j, event)
    local state = job_move(j, event)
    job_set(j, 'ended_ms', q.now)
    if j.f.needs or j.f.unmet then
        depend.forget(q, j)
    end
    job_clear(j, 'reason', 'due_ms', 'stop', 'stop_reason', 'stop_for', 'suspect', 'again', 'phase',
              'resume_next', unpack(HELD_FIELDS))
    q.batch.final[state] = q.batch.final[state] or {}
    append(q.batch.final[state], q.now_text, j.n)
    q.active = q.active - 1
    limits.leave(q, j)
    unique.leave(q, j)
    if j.f.links then
        append(q.batch.settled, j)
    end
end

-- The class of a waiting job, and of one that runs in a lane of a tenant or of one that went elsewhere, may have been
-- dropped: it is made again.
local function job_renew_class(q, j)
    if call('HEXISTS', key_of(q, 'classes'), j.f.class) == 0 then
        class_put(q, j.f.class, class_needs(j.f.class, spec_of_job(q, j.n)['resources.labels']))
    end
end

-- Queues the job in the lane of its tenant, or in a special one: '!front', or that of lane_elsewhere.
local function job_queue(q, j, event, special, reason)
    job_move(j, event)
    job_set(j, 'reason', reason)
    job_clear(j, 'due_ms')
    if j.f.tenant or j.f.elsewhere_ms then
        job_renew_class(q, j)
    end
    lane_push(q, j, special)
end

-- due_ms nil: until something else than the time lets it go. Every waiting job is in the index, so that it is listed.
local function job_wait(q, j, event, due_ms, reason)
    job_move(j, event)
    job_set(j, 'reason', reason)
    job_set(j, 'due_ms', due_ms)
    job_clear(j, 'lane', 'entry')
    append(q.batch.waiting, due_ms and integer_text(due_ms) or '+inf', j.n)
    limits.leave(q, j)
end

-- ---------------------------------------------------------------- waiting → queued

-- The types of what job_ready writes. A waiting job whose class was dropped meanwhile is given one as a new job is, so
-- that classes stay bounded; where there is no room for any, its own is made again all the same.
local function expect_can_queue(q, j)
    if j.f.state == 'waiting' and call('HEXISTS', key_of(q, 'classes'), j.f.class) == 0 then
        local ok, class = pcall(class_choose, q, spec_of_job(q, j.n))
        job_set(j, 'class', ok and class or j.f.class)
    end
    expect_type(q, 'stream', 'ready:' .. lane_name(j))
    if j.f.elsewhere_ms then
        expect_type(q, 'stream', 'ready:' .. lane_name(j, lane_elsewhere(j)))
        expect_type(q, 'zset', 'elsewhere')
    end
    expect_type(q, 'zset', 'wake:' .. j.f.class)
    expect_type(q, 'hash', 'classes')
    expect_type(q, 'string', 'spec:' .. j.n)
    if j.f.slot then
        expect_type(q, 'zset', 'slots:' .. j.f.slot)
        expect_type(q, 'zset', 'limited:' .. j.f.slot)
    end
end

local function job_ready(q, j, event)
    job_renew_class(q, j)
    if j.f.needs then
        depend.forget(q, j)
    end
    append(q.batch.unwait, j.n)
    job_queue(q, j, event, lane_elsewhere(j))
    event_say(q, j, 'job.queued', 'state', 'queued')
    job_save(q, j)
end
