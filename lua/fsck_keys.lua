-- What no index leads to: every key under the queue's prefix, if the user may SCAN. The users of docker/users.acl may
-- not, since it tells the names of other people's keys, too; then the last step says so.
do
    local KINDS = {ready = 'stream', wake = 'zset', key = 'string', worker = 'hash', slots = 'zset', limited = 'zset',
                   rate = 'string', unique = 'string', reserved = 'string', schedule = 'hash',
                   ['schedule-spec'] = 'string', retried = 'string', sweep = 'hash', stage = 'hash', batch = 'hash',
                   members = 'zset', inbox = 'stream', reply = 'stream', delivery = 'hash', deliveries = 'zset'}
    local LEADS_TO = {schedule = 'schedule', ['schedule-spec'] = 'schedule', ready = 'lane', batch = 'batch',
                      members = 'batch', delivery = 'delivery'}
    local SCANNED = 200

    -- The step that looks at what this key belongs to; nil: nothing does, or it was looked at by its index.
    local function step_of(q, name, kind, rest)
        if fsck.job_types[kind] then
            local is_known = rest:find('^[1-9]%d*$') and tonumber(rest) <= q.meta.next
            return not is_known and 'stray ' .. name or nil
        elseif kind == 'slots' or kind == 'limited' then
            return 'holders ' .. name .. ' 0'
        elseif kind == 'deliveries' and rest:find('^to:') then
            return 'target ' .. rest:sub(4)
        elseif kind == 'reply' then
            return 'reply ' .. rest
        elseif kind == 'ready' and fsck.score(q, 'lanes', rest) then
            return nil
        end
        return LEADS_TO[kind] and LEADS_TO[kind] .. ' ' .. rest
    end

    -- A record, or a part of one, whose number is past the newest, or is none.
    function fsck.steps.stray(q, at, name)
        local n = name:match('^%l+:([1-9]%d*)$')
        if n and #n <= 15 then
            fsck.take(q, at, 'job', n)
        elseif fsck.has_key(q, name) then
            fsck.found(at, 'key-unknown', nil, 'unknown key %s', quoted(name))
        end
        return {}
    end

    function fsck.steps.reply(q, at, submitter)
        if fsck.has_key(q, 'reply:' .. submitter) and fsck.ask(q, 'SISMEMBER', 'submitters', submitter) == 0 then
            fsck.found(at, 'reply-ghost', function()
                call('DEL', key_of(q, 'reply:' .. submitter))
            end, 'reply:%s belongs to no submitter', submitter)
        end
        return {}
    end

    function fsck.steps.key(q, at, name)
        local kind, rest = name:match('^([^:]+):?(.*)$')
        local wanted = fsck.fixed[name] or (rest ~= '' and (KINDS[kind] or fsck.job_types[kind])) or nil
        if not wanted then
            if fsck.has_key(q, name) then
                fsck.found(at, 'key-unknown', nil, 'unknown key %s', quoted(name))
            end
            return {}
        end
        if not fsck.type_holds(q, at, name, wanted) or fsck.fixed[name] or not name:find('^[^%s%c]+$') then
            return {}
        end
        local step = step_of(q, name, kind, rest)
        return step and {step} or {}
    end

    local function literal(text)
        return (text:gsub('[%*%?%[%]\\]', '\\%0'))
    end

    function fsck.steps.keys(q, at, cursor)
        local answer = redis.pcall('SCAN', cursor, 'MATCH', literal(q.base) .. '*', 'COUNT', SCANNED)
        if answer.err then
            at.is_partial = true
            return {}
        end
        local following = {}
        for _, key in ipairs(answer[2]) do
            for _, step in ipairs(fsck.take(q, at, 'key', key:sub(#q.base + 1))) do
                following[#following + 1] = step
            end
        end
        at.left = at.left - 5 - #answer[2] / 10
        if answer[1] ~= '0' then
            following[#following + 1] = 'keys ' .. answer[1]
        end
        return following
    end
end
