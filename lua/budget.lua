-- Why an attempt ended decides which budget it is counted against, each with its own field of the job: `errors` (of
-- errors, timeouts and stalls), `lost` (in a row without a new checkpoint), `corrupted`, and `preempted`, which is
-- counted but has no bound. Every decision says the numbers that it was made of.

local budgets = {}

-- Takes one off a budget; answers how many are used then.
function budgets.take(j, field)
    local used = job_number(j, field) + 1
    job_set(j, field, used)
    return used
end

-- "failed 2 of 3 (retry.max_attempts); again in 5.2 s"
function budgets.said(words, used, most, key, delay_ms)
    local text = ('%s %d of %d %s'):format(words, used, most, key)
    return delay_ms and ('%s; again in %.1f s'):format(text, delay_ms / 1000) or text
end

-- The losses in a row end: the budget is given back. Answers the sentence, nil: nothing of it was used. The next loss
-- says it, too.
function budgets.give_back(q, j, giver)
    local used = job_number(j, 'lost')
    if used == 0 then
        return nil
    end
    job_set(j, 'refund', ('%s gave %d back'):format(giver, used))
    job_clear(j, 'lost')
    return ('gives the lost budget back: %d of %d were used'):format(used, spec_policy(q, j.n).max_lost)
end

-- "lost 1 of 3 in a row (retry.max_lost); before it checkpoint 1-3 gave 2 back"
function budgets.said_lost(j, lost, most)
    local text = budgets.said('lost', lost, most, 'in a row (retry.max_lost)')
    local refund = j.f.refund
    job_clear(j, 'refund')
    return refund and text .. '; before it ' .. refund or text
end
