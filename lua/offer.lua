-- Offers: a worker whose claim leaves room may say on which channel it listens. Then the next job that fits need not
-- ring and wait until it is asked for: its submit begins the first attempt there, and publishes what a claim would have
-- answered. `idle` holds the workers with an offer, the one that waits longest first; the field `offer` of a worker's
-- record has "<channel> <request> <ms> <cpus> <gpus> <memory> <labels JSON>", with number and time of its last claim.
--
-- What was handed over stands in the field `given` of its record, "<n>:<token> …", until its next claim: that says
-- what arrived, and gets again what did not. A channel belongs to one process and is never used again: once that is
-- gone nobody listens, and nothing is handed over.

local offers = {}
do
    local KEPT_MS = 15000 -- who waits asks again every few seconds
    local LOOKED_LAST = '3' -- four workers a submit: the fifth may fit, but then a ring is as good
    local GIVEN_MAX = 16  -- jobs between two claims
    local SPEC_MAX_BYTES = 65536
    local RUNNING = STATE_MOVES['queued claim']
    local META = {'queue', 'installation', 'max_running', 'lease_min_ms', 'lease_max_ms'}

    -- The answer for one running job: what its runner needs to start. f has the fields of its record, needs the three
    -- amounts of its class as texts.
    function offers.describe(q, n, f, needs, spec)
        return {
            'n', n, 'id', job_id(q, n), 'uid', f.uid, 'attempt', f.attempt, 'token', f.token,
            'installation', q.meta.installation or '', 'lease_ms', f.lease_ms, 'class', f.class,
            'cpus', needs[1], 'gpus', needs[2], 'memory', needs[3], 'spec', spec or '',
        }
    end

    -- The bounds of all leases, for the reaper.
    function offers.note_leases(q, lease_texts)
        local least, most = tonumber(q.meta.lease_min_ms), tonumber(q.meta.lease_max_ms)
        for lease_ms in pairs(lease_texts) do
            lease_ms = tonumber(lease_ms) or 0
            least, most = math.min(least or lease_ms, lease_ms), math.max(most or lease_ms, lease_ms)
        end
        if least and (as_text(least) ~= q.meta.lease_min_ms or as_text(most) ~= q.meta.lease_max_ms) then
            call('HSET', q.meta_key, 'lease_min_ms', integer_text(least), 'lease_max_ms', integer_text(most))
        end
    end

    function offers.want_channel(text)
        text = optional(text)
        return text and want_match(text, 'channel', '^[%w-]+$', 64, '1 to 64 letters, digits, hyphens')
    end

    -- The worker takes no more that it did not ask for, and knows what was given.
    function offers.take_back(q, worker, key)
        redis.pcall('ZREM', key_of(q, 'idle'), worker)
        redis.pcall('HDEL', key, 'offer', 'given')
    end

    -- Sets down an offer {channel =, request =, made_ms =, free =}; none without a free processor. Where a stranger has
    -- put something else in the place of `idle`, everybody rings.
    function offers.make(q, worker, key, offer)
        local free = offer.free
        if free.cpus < 1 or free.gpus < 0 or free.memory < 0 then
            return false
        end
        local text = ('%s %d %d %d %d %d %s'):format(
            offer.channel, offer.request, offer.made_ms, math.min(free.cpus, LARGEST), math.min(free.gpus, LARGEST),
            math.min(free.memory, LARGEST), free.labels_json)
        call('HSET', key, 'offer', text)
        redis.pcall('ZADD', key_of(q, 'idle'), q.now_text, worker)
        return true
    end

    -- The offer of a worker that still holds; nil: there is none.
    local function read(q, worker)
        local key = key_of(q, 'worker:' .. worker)
        local known = redis.pcall('HMGET', key, 'offer', 'given')
        local channel, request, made_ms, cpus, gpus, memory, labels_json =
            (known[1] or ''):match('^(%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (.*)$')
        local ok, labels = pcall(cjson.decode, labels_json)
        if not channel or not ok or type(labels) ~= 'table' or q.now - made_ms > KEPT_MS then
            redis.pcall('ZREM', key_of(q, 'idle'), worker)
            return nil
        end
        return {worker = worker, key = key, channel = channel, request = tonumber(request), given = known[2] or '',
                made_ms = tonumber(made_ms),
                free = {cpus = tonumber(cpus), gpus = tonumber(gpus), memory = tonumber(memory), labels = labels,
                        labels_json = labels_json}}
    end

    -- An offer that a job of this class, priority and spec fits into, of a worker that waits; nil: none, or something
    -- else is queued already.
    function offers.find(q, class, requirement_json, priority, spec_text)
        local idle = redis.pcall('ZRANGE', key_of(q, 'idle'), '0', LOOKED_LAST)
        if not idle[1] or q.meta.paused == 'paused' or #spec_text > SPEC_MAX_BYTES then
            return nil
        end
        queue_read(q, META)
        if q.meta.max_running > 0 or expect_type(q, 'zset', 'lanes') > 0 then
            return nil
        end
        local requirement = class_decode(requirement_json)
        for i = 1, #idle do
            local offer = read(q, idle[i])
            if offer and class_fits(requirement, offer.free, 1) == 1 then
                expect_type(q, 'zset', 'leases')
                offer.class, offer.requirement, offer.lane = class, requirement, class .. ':' .. priority .. ':!given'
                offer.is_first = expect_type(q, 'stream', 'ready:' .. offer.lane) == 0
                return offer
            end
        end
        return nil
    end

    -- Tells the worker of the job that is about to be written, and enters it as pending there: into the lane `!given`,
    -- from which nobody else reads. Answers the fields of its record that say so; nil: the worker is gone.
    function offers.enter(q, offer, n, uid, lease_ms, spec_text)
        local answer = offers.describe(q, n, {uid = uid, attempt = '1', token = q.now_text, lease_ms = lease_ms,
                                              class = offer.class}, offer.requirement.texts, spec_text)
        append(answer, 'request', integer_text(offer.request))
        if call('PUBLISH', key_of(q, 'given:' .. offer.channel), cjson.encode(answer)) == 0 then
            redis.pcall('ZREM', key_of(q, 'idle'), offer.worker)
            return nil
        end
        offer.n, offer.lease_ms = n, lease_ms
        local entry = lane_add(q, offer.lane, n, '0', offer.is_first)
        lane_take(q, offer.lane, offer.worker, 1)
        return {'lane', offer.lane, 'entry', entry, 'token', q.now_text, 'worker', offer.worker, 'claimed_ms',
                q.now_text}
    end

    -- After the job was written: what follows from its attempt. The caller flushes the queue.
    function offers.begin(q, offer)
        append(q.batch.leases, integer_text(q.now + tonumber(offer.lease_ms)), offer.n)
        class_take(offer.requirement, offer.free, 1)
        offer.given = offer.given .. (offer.given == '' and '' or ' ') .. offer.n .. ':' .. q.now_text
        call('HSET', offer.key, 'given', offer.given)
        offers.note_leases(q, {[offer.lease_ms] = true})
        local _, others = offer.given:gsub(' ', '')
        if others + 1 >= GIVEN_MAX or not offers.make(q, offer.worker, offer.key, offer) then
            redis.pcall('ZREM', key_of(q, 'idle'), offer.worker)
        end
        event_join(q, event_open(q, 'job.claimed', 'state', RUNNING, 'worker', offer.worker), offer.n, '1')
    end
end
