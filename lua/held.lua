-- Held jobs: waiting with the reason `held` and without a due time, until somebody releases them. What such a job
-- waited for before, and until when, is kept for then.

-- How a job of a spec with `hold` begins. It has its place in the rates, but no slot before it is released.
local function held_wait_of(q, values, delay_ms, actor)
    local due_ms, was = limits.due_of(q, values, delay_ms)
    local more = pairs_given({'held_ms', q.now_text}, 'held_by', actor)
    if was then
        append(more, 'held_was', was, 'held_due_ms', integer_text(due_ms))
    end
    return {reason = 'held', more = more}
end

-- For sentences: " by ada: not today", or nothing.
local function held_words(j)
    return (j.f.held_by and ' by ' .. j.f.held_by or '') .. (j.f.held_reason and ': ' .. j.f.held_reason or '')
end
