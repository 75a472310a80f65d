-- Fair share between the tenants of a queue. Each has lanes of its own; among lanes of one priority a claim takes from
-- the tenant that used least for its weight. Use is in resource-seconds (a processor or 4 GiB of memory count 1,
-- whichever is more, a GPU 10) and halves in an hour: `usage` holds "<amount> <as of ms>" of each tenant, `shares` the
-- weights that are not 1. A claim prepays a minute, renewals add what comes after, the end gives back what was not
-- used.

share.USAGE_HALF_MS = 3600000
share.PREPAID_MS = 60000
share.AGED_MS = 600000 -- who waits longer than this goes before those who used less
share.GIB = 1073741824

-- A lane whose jobs have no tenant, and no past.
function share.is_common(lane)
    return lane:sub(-2) == ':-' or lane:sub(-7) == ':!given'
end

function share.cost(requirement)
    return math.max(requirement.cpus, requirement.memory / (4 * share.GIB), 1) + 10 * requirement.gpus
end

-- HMGET as a list; nothing of a key where a stranger has put something else: fair share is no reason to fail.
function share.read(q, name, fields)
    local values = redis.pcall('HMGET', key_of(q, name), unpack(fields))
    return values.err and {} or values
end

-- The use of these tenants now, read together. Answers {amount =, weight =} by name.
function share.load(q, tenants)
    local names = {}
    for tenant in pairs(tenants) do
        if not q.known.usage[tenant] then
            names[#names + 1] = tenant
        end
    end
    if names[1] then
        local used, weights = share.read(q, 'usage', names), share.read(q, 'shares', names)
        for i = 1, #names do
            local amount, as_of = (used[i] or ''):match('^(%S+) (%d+)$')
            local age_ms = math.max(q.now - (tonumber(as_of) or q.now), 0)
            q.known.usage[names[i]] = {amount = (tonumber(amount) or 0) * 0.5 ^ (age_ms / share.USAGE_HALF_MS),
                                       weight = tonumber(weights[i] or 1) or 1}
        end
    end
    return q.known.usage
end

-- Adds resource-seconds to what a tenant used.
function share.charge(q, tenant, amount)
    local usage = share.load(q, {[tenant] = true})[tenant]
    usage.amount = math.max(usage.amount + amount, 0)
    q.batch.usage[tenant] = usage.amount
end

function share.flush(q)
    local list = {'HSET', key_of(q, 'usage')}
    for tenant, amount in pairs(q.batch.usage) do
        append(list, tenant, ('%.3f %s'):format(amount, q.now_text))
    end
    redis.pcall(unpack(list))
end

-- What a running attempt of a tenant's job used since it was last charged. The caller saves the job.
function share.account(q, j)
    if not j.f.tenant then
        return
    end
    local requirement = class_get(q, j.f.class) or {cpus = 1, gpus = 0, memory = 0}
    local until_ms = job_number(j, 'charged_ms')
    share.charge(q, j.f.tenant, share.cost(requirement) * (q.now - until_ms) / 1000)
    job_set(j, 'charged_ms', q.now)
end

-- At a renewal: only what the prepaid time does not cover.
function share.renew(q, j)
    if j.f.tenant and q.now > job_number(j, 'charged_ms') then
        share.account(q, j)
    end
end

function share.prepay(q, j, requirement)
    share.charge(q, j.f.tenant, share.cost(requirement) * share.PREPAID_MS / 1000)
    job_set(j, 'charged_ms', q.now + share.PREPAID_MS)
end

-- Of lanes of one priority the one to take from: {tenant =, head_ms =} each. Aged ones first, by age; then who used
-- least for its weight; then who waits longest.
function share.pick(q, lanes)
    local best, best_use
    for i = 1, #lanes do
        local usage = q.known.usage[lanes[i].tenant]
        local use = q.now - lanes[i].head_ms > share.AGED_MS and -1 or usage.amount / usage.weight
        if not best or use < best_use or (use == best_use and lanes[i].head_ms < lanes[best].head_ms) then
            best, best_use = i, use
        end
    end
    return best
end

-- stoker_share <tenant> <weight> [actor]: how much of the queue a tenant is meant to have beside the others.
do
    local TENANTS_MAX = 10000

    local function set_share(keys, args)
        no_more_arguments(args, 3)
        local q = queue_open(keys)
        local tenant = want_match(args[1], 'tenant', '^%w[%w._@-]*$', 63,
                                  'a tenant (letters, digits, . _ @ -, at most 63)')
        local weight = type(args[2]) == 'string' and args[2]:find('^%d+%.?%d*$') and tonumber(args[2])
        if not weight or weight < 0.001 or weight > 1000 then
            fail('INVALID', 'weight: expected a number from 0.001 to 1000, got %s', quoted(args[2]))
        end
        local actor = want_actor(args[3])
        expect_type(q, 'hash', 'shares')
        expect_type(q, 'stream', 'events')
        local key = key_of(q, 'shares')
        local known = tonumber(call('HGET', key, tenant) or 1)
        if known == weight then
            return 'ok'
        elseif weight ~= 1 and call('HLEN', key) >= TENANTS_MAX then
            fail('FULL', 'queue %s has %d tenants with a weight of their own, which is its bound', q.name, TENANTS_MAX)
        elseif weight == 1 then
            call('HDEL', key, tenant)
        else
            call('HSET', key, tenant, number_text(weight))
        end
        event_of_queue(q, 'queue.shared', 'tenant', tenant, 'weight', weight, 'actor', actor)
        event_flush(q)
        return 'ok'
    end

    register('share', set_share)
end
