-- Classes: the resource requirement of a job in canonical form. Ready lanes and doorbells are per class, so that a
-- worker reads only what fits it.

local class_fits
do
    local AMOUNTS = {'cpus', 'gpus', 'memory'}

    local function has_labels(required, offered)
        for name, value in pairs(required) do
            if offered[name] ~= value then
                return false
            end
        end
        return true
    end

    -- How many jobs of this requirement fit into what is free, at most `most`.
    function class_fits(requirement, free, most)
        if not has_labels(requirement.labels, free.labels) then
            return 0
        end
        for _, what in ipairs(AMOUNTS) do
            if requirement[what] > 0 then
                most = math.min(most, math.floor(free[what] / requirement[what]))
            end
        end
        return math.max(most, 0)
    end
end

local function class_take(requirement, free, count)
    for _, what in ipairs({'cpus', 'gpus', 'memory'}) do
        free[what] = free[what] - requirement[what] * count
    end
end

local class_choose -- the class of new needs: its name, and its requirement as JSON
local class_needs  -- the requirement of a class by its name and its labels
do
    local MIB = 1048576
    local CLASSES_MAX = 256
    local WORKERS_READ = 100

    -- Few shapes have classes of their own. While more than `live` classes are there, new ones are folded: their
    -- processors and memory are rounded up to the next power of `base`.
    local FOLDS = {{live = 64, base = 1}, {live = 128, base = 2}, {live = CLASSES_MAX, base = 4}}

    -- Four steps a doubling (16, 20, 24, 28, 32 … MiB): classes stay few, at most a quarter is wasted.
    local function round_mib(bytes, to_integer)
        local mib = to_integer(bytes / MIB)
        local step = 1
        while step * 8 <= mib do
            step = step * 2
        end
        return to_integer(mib / step) * step
    end

    local function labels_json_of(labels)
        local names, parts = {}, {}
        for name in pairs(labels) do
            names[#names + 1] = name
        end
        table.sort(names, bytes_less)
        for i, name in ipairs(names) do
            parts[i] = cjson.encode(name) .. ':' .. cjson.encode(labels[name])
        end
        return '{' .. table.concat(parts, ',') .. '}'
    end

    local function requirement_json_of(cpus, gpus, mib, labels_json)
        return ('{"cpus":%.0f,"gpus":%.0f,"memory":%.0f,"labels":%s}'):format(cpus, gpus, mib * MIB, labels_json)
    end

    -- The name of the class of these needs, and its requirement as JSON. Most jobs ask for the same few things: what
    -- was worked out for needs without labels is kept, as long as that is little.
    local class_known, class_known_count = {}, 0
    local function work_out(cpus, gpus, memory_bytes, labels)
        local name = 'cpu' .. integer_text(cpus)
        if gpus > 0 then
            name = name .. '-gpu' .. integer_text(gpus)
        end
        local mib = round_mib(memory_bytes, math.ceil)
        if mib > 0 then
            name = name .. '-mem' .. integer_text(mib) .. 'm'
        end
        local labels_json = labels_json_of(labels)
        if labels_json ~= '{}' then
            name = name .. '-l' .. redis.sha1hex(labels_json):sub(1, 8)
        end
        return name, requirement_json_of(cpus, gpus, mib, labels_json)
    end

    local function class_of(cpus, gpus, memory_bytes, labels)
        if labels and next(labels) then
            return work_out(cpus, gpus, memory_bytes, labels)
        end
        local by_gpus = class_known[cpus]
        local known = by_gpus and by_gpus[gpus] and by_gpus[gpus][memory_bytes]
        if not known then
            if class_known_count == 1000 then
                class_known, class_known_count = {}, 0
            end
            known = {work_out(cpus, gpus, memory_bytes, {})}
            class_known[cpus] = class_known[cpus] or {}
            class_known[cpus][gpus] = class_known[cpus][gpus] or {}
            class_known[cpus][gpus][memory_bytes] = known
            class_known_count = class_known_count + 1
        end
        return known[1], known[2]
    end

    submitting.class_of = class_of

    -- A name says all of a requirement but what its labels are.
    function class_needs(name, labels)
        return requirement_json_of(name:match('^cpu(%d+)') or 1, name:match('%-gpu(%d+)') or 0,
                                   name:match('%-mem(%d+)m') or 0, labels_json_of(labels or {}))
    end

    -- ---------------------------------------------------------------- folding

    local function up_to_power(value, base)
        local power = 1
        while power < value do
            power = power * base
        end
        return value > 0 and power or 0
    end

    -- What all workers have that could run this, as far as they said what they have: the least of each. Folded up to
    -- there, and no further, the job can run on every one of them still.
    local function common_room(q, exact)
        local room = {cpus = math.huge, memory = math.huge}
        local ids = redis.pcall('ZRANGE', key_of(q, 'workers'), 0, WORKERS_READ - 1, 'REV')
        for i = 1, #ids do
            local text = redis.pcall('HGET', key_of(q, 'worker:' .. ids[i]), 'capacity')
            local ok, has = pcall(cjson.decode, text)
            if ok and type(has) == 'table' and tonumber(has.cpus) and tonumber(has.gpus) and tonumber(has.memory) then
                has = {cpus = tonumber(has.cpus), gpus = tonumber(has.gpus), memory = tonumber(has.memory),
                       labels = type(has.labels) == 'table' and has.labels or {}}
                if class_fits(exact, has, 1) == 1 then
                    room.cpus = math.min(room.cpus, has.cpus)
                    room.memory = math.min(room.memory, round_mib(has.memory, math.floor) * MIB)
                end
            end
        end
        return room
    end

    -- GPUs and labels stay: those are what a program sees and asked for by name.
    local function class_fold(q, exact, base)
        if base == 1 then
            return exact.name, exact.requirement
        end
        q.known.room[exact.requirement] = q.known.room[exact.requirement] or common_room(q, exact)
        local room = q.known.room[exact.requirement]
        return class_of(math.min(up_to_power(exact.cpus, base), room.cpus), exact.gpus,
                        math.min(up_to_power(exact.memory / MIB, base) * MIB, room.memory), exact.labels)
    end

    -- Is this class there, or new in this call? One of the same name with other labels is in the way.
    local function class_is_known(q, name, requirement)
        if q.known.admitted[name] ~= requirement then
            local known = call('HGET', key_of(q, 'classes'), name)
            if not known then
                return false
            elseif known ~= requirement then
                fail('CONFLICT', 'the labels of this job collide with those of another class, %s | change a label',
                     name)
            end
            q.known.admitted[name] = requirement
            q.known.put[name] = true
        end
        return true
    end

    -- Before the first write of a submit: a class that covers these needs and is there or has room, the closest one.
    function class_choose(q, values)
        local cpus, gpus, labels = values['resources.cpus'], values['resources.gpus'], values['resources.labels']
        local exact_name, exact_requirement = class_of(cpus, gpus, values['resources.memory'], labels)
        if class_is_known(q, exact_name, exact_requirement) then
            return exact_name, exact_requirement
        end
        local exact = {cpus = cpus, gpus = gpus, labels = labels or {}, name = exact_name,
                       requirement = exact_requirement,
                       memory = round_mib(values['resources.memory'], math.ceil) * MIB}
        local live = call('HLEN', key_of(q, 'classes')) + #q.known.new_classes
        for i = 1, #FOLDS do
            local name, requirement = class_fold(q, exact, FOLDS[i].base)
            local is_known = class_is_known(q, name, requirement)
            if not is_known and live < FOLDS[i].live then
                append(q.known.new_classes, name)
                q.known.admitted[name], q.known.put[name] = requirement, false
                is_known = true
            end
            if is_known then
                return name, requirement
            end
        end
        fail('FULL', 'queue %s has %d resource classes, which is its bound | ask for resources that other jobs use',
             q.name, CLASSES_MAX)
    end
end

-- A requirement as a table, which nobody changes, with its amounts as texts. Most jobs ask for the same few things:
-- what was decoded is kept, as long as it is little.
local class_decode
do
    local kept, count = {}, 0
    function class_decode(text)
        local requirement = kept[text]
        if not requirement then
            requirement = cjson.decode(text)
            requirement.texts = {integer_text(requirement.cpus), integer_text(requirement.gpus),
                                 integer_text(requirement.memory)}
            if count == 1000 then
                kept, count = {}, 0
            end
            kept[text], count = requirement, count + 1
        end
        return requirement
    end
end

-- The requirement of a class; nil if it is not known.
local function class_get(q, name)
    local classes = q.known.classes
    if classes[name] == nil then
        local text = call('HGET', key_of(q, 'classes'), name)
        classes[name] = text and class_decode(text) or false
    end
    return classes[name] or nil
end

-- Makes the class if it is not there (prune drops those that nothing uses), and tells workers of it.
local function class_put(q, name, requirement_json)
    if not q.known.put[name] and call('HSETNX', key_of(q, 'classes'), name, requirement_json) == 1 then
        event_hint(q, 'class', name)
    end
    q.known.put[name] = true
end
