-- Where the time of a job goes. An attempt has setup (its code, and what is not one of the others), restore, loading
-- (of the program, until its first report), training, and saving (after its end). The runner says the milliseconds of
-- all but the training, `<setup>:<restore>:<loading>[:<saving>]`; what is left of the time that the attempt ran is
-- training. Of that only what is in a good checkpoint, or in a success, is kept: each checkpoint says in `trained_ms`
-- how much training of its job is in it, and who resumes from it begins with that. The rest is lost.
--
-- The sums of ended attempts are fields of the job (<what>_ms, trained_ms), those of the queue the hash `goodput`. A
-- first attempt that succeeded with nothing to tell (finish_plain) is only counted in `plain` of the latter.

do
    local WORDS = {'setup', 'restore', 'loading', 'saving'}

    function spent.want(text)
        want_match(text, 'spent', '^%d+:%d+:%d+:?%d*$', 80, '<setup>:<restore>:<loading>[:<saving>] in ms')
        return text
    end

    local function count(q, field, ms)
        if ms ~= 0 then
            local sums = q.batch.spent
            sums[field] = (sums[field] or 0) + ms
        end
    end

    function spent.plain(q, ms)
        count(q, 'plain', ms)
    end

    -- {setup =, restore =, loading =, saving =, training =} of an attempt that ran so long.
    local function split(j, ran_ms)
        local one, left = {}, ran_ms
        local values = {(j.f.spent or ''):match('^(%d+):(%d+):(%d+):?(%d*)$')}
        if not values[1] and j.f.started_ms then
            values[1] = job_number(j, 'started_ms') - job_number(j, 'claimed_ms')
        end
        for i, word in ipairs(WORDS) do
            one[word] = math.max(math.min(tonumber(values[i]) or 0, left), 0)
            left = left - one[word]
        end
        one.training = left
        return one
    end

    -- How much training of this job is in a checkpoint; that of another job, which lent it, is not its own.
    local function inside(q, j, id)
        if not id or id:find('^0%-') then
            return 0
        end
        local record = checkpoints.decoded(redis.pcall('HGET', key_of(q, 'checkpoints:' .. j.n), id))
        return record and tonumber(record.trained_ms) or 0
    end

    -- Training that counts, from now on.
    local function set_trained(q, j, ms)
        count(q, 'trained', ms - job_number(j, 'trained_ms'))
        job_set(j, 'trained_ms', ms > 0 and ms or nil)
    end

    -- sign -1: the attempt goes on after all.
    local function add(q, j, ran_ms, sign)
        for word, ms in pairs(split(j, ran_ms)) do
            local sum = job_number(j, word .. '_ms') + sign * ms
            count(q, word, sign * ms)
            job_set(j, word .. '_ms', sum > 0 and sum or nil)
        end
    end

    -- An attempt begins, from this checkpoint. While it runs, trained_ms is what it began with: the checkpoint itself
    -- may be deleted when there are newer ones.
    function spent.begin(q, j, id)
        job_clear(j, 'spent', 'trained_from_ms')
        if j.f.attempt ~= '1' then
            set_trained(q, j, inside(q, j, id))
        end
    end

    -- The training in a checkpoint that the running attempt saved so long ago.
    function spent.in_new(q, j, ago_ms)
        local ran_ms = q.now - job_number(j, 'claimed_ms') - ago_ms
        return job_number(j, 'trained_ms') + split(j, math.max(ran_ms, 0)).training
    end

    -- The attempt is over.
    function spent.close(q, j, ran_ms, cause, text)
        job_set(j, 'spent', text or j.f.spent)
        add(q, j, ran_ms, 1)
        if cause == 'succeeded' then
            set_trained(q, j, job_number(j, 'trained_ms') + split(j, ran_ms).training)
        else
            job_set(j, 'trained_from_ms', cause == 'lost' and j.f.trained_ms or nil)
            set_trained(q, j, inside(q, j, j.f.resume_next or j.f.checkpoint))
            count(q, 'ends', cause ~= 'cancelled' and 1 or 0)
        end
    end

    -- It is taken back.
    function spent.open(q, j, ran_ms)
        add(q, j, ran_ms, -1)
        set_trained(q, j, job_number(j, 'trained_from_ms'))
        job_clear(j, 'trained_from_ms')
        count(q, 'ends', -1)
    end

    -- What a stranger has put in its place is left alone.
    function spent.flush(q)
        local key = key_of(q, 'goodput')
        for field, ms in pairs(q.batch.spent) do
            redis.pcall('HINCRBY', key, field, ms)
        end
    end

    function spent.json(q)
        local sums = redis.pcall('HGETALL', key_of(q, 'goodput'))
        return records.json(sums.err and {} or pairs_table(sums))
    end
end
