-- What is asked of one job, or by stoker_each of many. An action is two functions: check(q, j, o) reads, and fails if
-- it may not be; it answers what act(q, checked, o) needs, which cannot fail and answers the state (or the id) after.
-- All of a call is checked before the first is done.

local actions = {}

-- check nil: the job itself is what act gets. gone(q, n): answers for a job that is not there any more.
local function action_add(name, action)
    actions[name] = action
end

local function action_check(q, name, n, o)
    local action = actions[name]
    local j = job_of_call(q, n)
    if not j and action.gone and tonumber(n) <= q.meta.next then
        return {answer = action.gone}
    end
    j = j or job_load(q, n)
    return {checked = action.check(q, j, o)}
end

local function action_expect_types(q, name)
    expect_queue_types(q)
    for _, state in ipairs(actions[name].final or {}) do
        expect_type(q, 'zset', 'jobs:' .. state)
    end
end

local function action_do(q, name, one, o)
    return one.answer or actions[name].act(q, one.checked, o)
end

-- The whole of a call about one job.
local function action_once(q, name, n, o)
    action_expect_types(q, name)
    local answer = action_do(q, name, action_check(q, name, n, o), o)
    queue_flush(q)
    return answer
end
