-- The queue itself: types of its keys, counts, and indexes whose members are gone.
do
    local FIXED = {
        meta = 'hash', classes = 'hash', lanes = 'zset', waiting = 'zset', leases = 'zset', events = 'stream',
        workers = 'zset', usage = 'hash', archiver = 'string', shares = 'hash', schedules = 'zset',
        recovering = 'zset', elsewhere = 'zset', idle = 'zset', borrowers = 'zset', releases = 'zset', outbox = 'zset',
        batches = 'zset', fires = 'zset', submitters = 'set', webhooks = 'hash', ['webhooks:jobs'] = 'set',
        ['webhooks:batches'] = 'set', deliveries = 'zset', ['deliveries:dead'] = 'zset', ['jobs:succeeded'] = 'zset',
        ['jobs:failed'] = 'zset', ['jobs:cancelled'] = 'zset', goodput = 'hash', archived = 'zset', summaries = 'hash',
        forgotten = 'zset', abroad = 'zset',
        condemned = 'hash', doomed = 'set',
    }
    fsck.fixed = FIXED
    local LANES_COUNTED = 1000

    -- What is queued is only in the lanes; nil: too many of them to count in one moment.
    local function count_active(q)
        local lanes = call('ZRANGE', key_of(q, 'lanes'), 0, LANES_COUNTED)
        if #lanes > LANES_COUNTED then
            return nil
        end
        local count = call('ZCARD', key_of(q, 'waiting')) + call('ZCARD', key_of(q, 'leases'))
        for i = 1, #lanes do
            local pending = fsck.ask(q, 'XPENDING', 'ready:' .. lanes[i], 'workers')
            count = count + (fsck.ask(q, 'XLEN', 'ready:' .. lanes[i]) or 0) - (pending and pending[1] or 0)
        end
        return count
    end

    local function set_meta(q, field, value)
        return function()
            call('HSET', q.meta_key, field, integer_text(value))
        end
    end

    local function count_deliveries(q)
        local count = 0
        for _, target in ipairs(call('ZRANGE', key_of(q, 'deliveries'), 0, -1)) do
            count = count + (fsck.ask(q, 'ZCARD', 'deliveries:to:' .. target) or 0)
        end
        return count
    end

    -- The last step, since what is missing in an index is not counted.
    function fsck.steps.counts(q, at)
        local active = count_active(q)
        if active and active ~= q.meta.active then
            fsck.found(at, 'active', set_meta(q, 'active', active), 'meta says %d jobs have not ended, there are %d',
                       q.meta.active, active)
        end
        local waiting = tonumber(call('HGET', q.meta_key, 'webhook_waiting') or 0)
        if call('ZCARD', key_of(q, 'deliveries')) <= LANES_COUNTED then
            local deliveries = count_deliveries(q)
            if deliveries ~= waiting then
                fsck.found(at, 'deliveries-count', set_meta(q, 'webhook_waiting', deliveries),
                           'meta counts %s deliveries that wait, there are %d', waiting or 'no', deliveries)
            end
        end
        return {}
    end

    -- Of a queue with a key of another type nothing else can be looked at: its functions refuse it, too.
    function fsck.steps.queue(q, at)
        local all = true
        for name, kind in pairs(FIXED) do
            all = fsck.type_holds(q, at, name, kind) and all
        end
        for name, kind in pairs({queues = 'set', library = 'string', installation = 'string'}) do
            fsck.key_type_holds(at, q.base:match('^(.*:){') .. name, kind) -- not of this queue, and of each
        end
        fsck.key_type_holds(at, webhook_secrets(q), 'hash')
        if not all then
            return {}
        end
        local paused, since = unpack(call('HMGET', q.meta_key, 'paused', 'paused_ms'))
        if paused and paused ~= 'paused' and paused ~= 'draining' or (paused and 1) ~= (since and 1) then
            fsck.found(at, 'paused', nil, 'meta says paused = %s, paused_ms = %s', paused or 'nothing',
                       since or 'nothing')
        end
        return {'lanes 0', 'index leases 0', 'index waiting 0', 'index elsewhere 0', 'index borrowers 0',
                'abroad 0', 'index jobs:succeeded 0', 'index jobs:failed 0', 'index jobs:cancelled 0', 'jobs 1',
                'batches 0', 'index forgotten 0', 'schedules 0', 'targets 0', 'marked webhooks:jobs 0',
                'marked webhooks:batches 0', 'keys 0',
                'counts'}
    end

    -- Members without blanks, each with its step; then the rest of the pages. every: 2 where scores are among them.
    local function pages(q, at, command, name, cursor, every, line, again)
        local members, rest = fsck.page(q, command, name, cursor)
        local following = {}
        for i = 1, #members, every do
            if members[i]:find('^[^%s%c]+$') then
                following[#following + 1] = line .. members[i]
            else
                fsck.found(at, 'member-odd', nil, '%s has the member %s', name, quoted(members[i]))
            end
        end
        at.left = at.left - 1
        if rest then
            following[#following + 1] = again .. rest
        end
        return following
    end

    -- ---------------------------------------------------------------- indexes of jobs

    -- There until the job comes back; nobody but a person knows whether it was submitted again.
    local function forgotten_one(q, at, n)
        if fsck.job_fields(q, n) or tonumber(n) > q.meta.next then
            fsck.found(at, 'index-wrong', fsck.out_of(q, 'forgotten', n), 'job %s is in forgotten', job_id(q, n))
        else
            fsck.found(at, 'job-forgotten', nil, 'Redis lost writes, and job %s with them', job_id(q, n))
        end
    end

    function fsck.steps.indexed(q, at, name, n)
        if name == 'forgotten' and n:find('^[1-9]%d*$') and fsck.score(q, name, n) then
            forgotten_one(q, at, n)
        elseif not fsck.job_fields(q, n) and fsck.score(q, name, n) then
            fsck.found(at, 'index-ghost', fsck.out_of(q, name, n), '%s has %s, which is no job', name, quoted(n))
        elseif tonumber(n) and tonumber(n) > q.meta.next then
            fsck.take(q, at, 'job', n)
        end
        at.left = at.left - 0.1
        return {}
    end

    function fsck.steps.index(q, at, name, cursor)
        return pages(q, at, 'ZSCAN', name, cursor, 2, 'indexed ' .. name .. ' ', 'index ' .. name .. ' ')
    end

    -- "<lender>:<n>"
    function fsck.steps.borrower(q, at, member)
        local lender, n = member:match('^(.+):([1-9]%d*)$')
        local f = n and fsck.job_fields(q, n, 'lender')
        if fsck.score(q, 'abroad', member) and not (f and f.lender == lender) then
            fsck.found(at, 'index-ghost', fsck.out_of(q, 'abroad', member), 'abroad has %s, which is no such job',
                       member)
        end
        return {}
    end

    function fsck.steps.abroad(q, at, cursor)
        return pages(q, at, 'ZSCAN', 'abroad', cursor, 2, 'borrower ', 'abroad ')
    end

    function fsck.steps.mark(q, at, name, member)
        if fsck.ask(q, 'SISMEMBER', name, member) ~= 1 then
            return {}
        end
        local is_right
        if name == 'webhooks:jobs' then
            is_right = fsck.job_fields(q, member)
        else
            is_right = fsck.ask(q, 'HEXISTS', 'batch:' .. member, 'webhook') == 1
        end
        if not is_right then
            fsck.found(at, 'webhook-ghost', function()
                call('SREM', key_of(q, name), member)
            end, '%s has %s, which has no webhook', name, quoted(member))
        end
        return {}
    end

    function fsck.steps.marked(q, at, name, cursor)
        return pages(q, at, 'SSCAN', name, cursor, 1, 'mark ' .. name .. ' ', 'marked ' .. name .. ' ')
    end

    function fsck.steps.lanes(q, at, cursor)
        return pages(q, at, 'ZSCAN', 'lanes', cursor, 2, 'lane ', 'lanes ')
    end

    function fsck.steps.batches(q, at, cursor)
        return pages(q, at, 'ZSCAN', 'batches', cursor, 2, 'batch ', 'batches ')
    end

    function fsck.steps.members(q, at, batch, cursor)
        return pages(q, at, 'ZSCAN', 'members:' .. batch, cursor, 2, 'member ' .. batch .. ' ',
                     'members ' .. batch .. ' ')
    end

    function fsck.steps.holders(q, at, name, cursor)
        return pages(q, at, 'ZSCAN', name, cursor, 2, 'holder ' .. name .. ' ', 'holders ' .. name .. ' ')
    end

    -- ---------------------------------------------------------------- schedules

    local function schedule_record(q, at, name, s, score)
        local wanted = (s.paused_ms or s.error) and 'inf' or s.next_ms
        if tonumber(wanted) ~= tonumber(score) then
            fsck.found(at, 'schedule-place', fsck.into(q, 'schedules', wanted == 'inf' and '+inf' or wanted, name),
                       'schedule %s stands at %s, its next due time is %s', name, score, wanted)
        end
        if (s.cron ~= nil) == (s.every_ms ~= nil) then
            fsck.found(at, 'schedule-rule', nil, 'schedule %s has %s', name,
                       s.cron and 'a cron expression and an interval' or 'no rule')
        end
        if (tonumber(s.last_job or '0') or math.huge) > q.meta.next then
            fsck.found(at, 'schedule-ahead', nil, 'schedule %s made job %s, which is not there yet', name, s.last_job)
        end
        if s.last_ms and tonumber(s.next_ms) ~= 0 and tonumber(s.next_ms) <= (tonumber(s.last_ms) or math.huge) then
            fsck.found(at, 'schedule-again', nil, 'schedule %s is due at %s again', name, s.next_ms)
        end
    end

    function fsck.steps.schedule(q, at, name)
        local score = fsck.score(q, 'schedules', name)
        local s = pairs_table(fsck.ask(q, 'HGETALL', 'schedule:' .. name) or {})
        local has_spec = fsck.has_key(q, 'schedule-spec:' .. name)
        if score and not s.revision and not has_spec then
            fsck.found(at, 'schedule-ghost', fsck.out_of(q, 'schedules', name), 'schedule %s has no record', name)
        elseif score and not (s.revision and tonumber(s.next_ms) and has_spec) then
            fsck.found(at, 'schedule-lost', nil, 'schedule %s has no %s', name, has_spec and 'record' or 'spec')
        elseif score then
            schedule_record(q, at, name, s, score)
        elseif s.revision or has_spec then
            fsck.found(at, 'schedule-unlisted', s.next_ms and has_spec and
                       fsck.into(q, 'schedules', (s.paused_ms or s.error) and '+inf' or s.next_ms, name) or nil,
                       'schedule %s is not in schedules', name)
        end
        return {}
    end

    function fsck.steps.schedules(q, at, cursor)
        return pages(q, at, 'ZSCAN', 'schedules', cursor, 2, 'schedule ', 'schedules ')
    end

    -- ---------------------------------------------------------------- deliveries

    function fsck.steps.target(q, at, target)
        local lane = 'deliveries:to:' .. target
        local first = fsck.ask(q, 'ZRANGE', lane, 0, 0, 'WITHSCORES') or {}
        local score = fsck.score(q, 'deliveries', target)
        if not first[1] and score then
            fsck.found(at, 'delivery-lane', fsck.out_of(q, 'deliveries', target),
                       'deliveries has %s, which has no lane', target)
        elseif first[1] and first[2] ~= score then
            fsck.found(at, 'delivery-lane', fsck.into(q, 'deliveries', first[2], target),
                       'deliveries has %s at %s, its first is due at %s', target, score or 'no time', first[2])
        end
        return first[1] and {'waiting-for ' .. target .. ' 0'} or {}
    end

    fsck.steps['waiting-for'] = function(q, at, target, cursor)
        return pages(q, at, 'ZSCAN', 'deliveries:to:' .. target, cursor, 2, 'waits ' .. target .. ' ',
                     'waiting-for ' .. target .. ' ')
    end

    function fsck.steps.waits(q, at, target, id)
        local lane = 'deliveries:to:' .. target
        local meant = fsck.ask(q, 'HGET', 'delivery:' .. id, 'target')
        if meant ~= target and fsck.score(q, lane, id) then
            fsck.found(at, 'delivery-ghost', fsck.out_of(q, lane, id),
                       'delivery %s waits for %s and has no such record', id, target)
        end
        return meant and {'delivery ' .. id} or {}
    end

    -- A record is in one place: the lane of its target, or among the dead.
    function fsck.steps.delivery(q, at, id)
        local target = fsck.ask(q, 'HGET', 'delivery:' .. id, 'target')
        local dead = fsck.score(q, 'deliveries:dead', id)
        local waits = target and fsck.score(q, 'deliveries:to:' .. target, id)
        if not target and fsck.has_key(q, 'delivery:' .. id) then
            fsck.found(at, 'delivery-place', nil, 'delivery %s has no target', id)
        elseif target and (waits ~= nil) == (dead ~= nil) then
            fsck.found(at, 'delivery-place', nil, 'delivery %s to %s is %s', id, target,
                       dead and 'dead, and waits' or 'in no lane, and not dead')
        elseif not target and dead then
            fsck.found(at, 'delivery-ghost', fsck.out_of(q, 'deliveries:dead', id), 'delivery %s has no record', id)
        end
        return {}
    end

    function fsck.steps.dead(q, at, cursor)
        return pages(q, at, 'ZSCAN', 'deliveries:dead', cursor, 2, 'delivery ', 'dead ')
    end

    function fsck.steps.targets(q, at, cursor)
        local following = pages(q, at, 'ZSCAN', 'deliveries', cursor, 2, 'target ', 'targets ')
        append(following, cursor == '0' and 'dead 0' or nil)
        return following
    end
end
