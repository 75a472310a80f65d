-- Classes: the resource requirement of a job in canonical form. Ready lanes and doorbells are per class, so that a
-- worker reads only what fits it.

local CLASSES_MAX = 256

local MIB = 1048576

local class_of
do
    -- Rounded up to four steps a doubling (16, 20, 24, 28, 32 … MiB): classes stay few, at most a quarter is wasted.
    local function class_round_mib(bytes)
        local mib = math.ceil(bytes / MIB)
        local step = 1
        while step * 8 <= mib do
            step = step * 2
        end
        return math.ceil(mib / step) * step
    end

    local function class_labels_json(labels)
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

    -- The name of the class of these needs, and its requirement as JSON. Most jobs ask for the same few things: what
    -- was worked out for needs without labels is kept, as long as that is little.
    local class_known, class_known_count = {}, 0
    local function class_work_out(cpus, gpus, memory_bytes, labels)
        local name = 'cpu' .. integer_text(cpus)
        if gpus > 0 then
            name = name .. '-gpu' .. integer_text(gpus)
        end
        local mib = class_round_mib(memory_bytes)
        if mib > 0 then
            name = name .. '-mem' .. integer_text(mib) .. 'm'
        end
        local labels_json = class_labels_json(labels)
        if labels_json ~= '{}' then
            name = name .. '-l' .. redis.sha1hex(labels_json):sub(1, 8)
        end
        return name, ('{"cpus":%.0f,"gpus":%.0f,"memory":%.0f,"labels":%s}'):format(cpus, gpus, mib * MIB, labels_json)
    end

    function class_of(cpus, gpus, memory_bytes, labels)
        if labels and next(labels) then
            return class_work_out(cpus, gpus, memory_bytes, labels)
        end
        local by_gpus = class_known[cpus]
        local known = by_gpus and by_gpus[gpus] and by_gpus[gpus][memory_bytes]
        if not known then
            if class_known_count == 1000 then
                class_known, class_known_count = {}, 0
            end
            known = {class_work_out(cpus, gpus, memory_bytes, {})}
            class_known[cpus] = class_known[cpus] or {}
            class_known[cpus][gpus] = class_known[cpus][gpus] or {}
            class_known[cpus][gpus][memory_bytes] = known
            class_known_count = class_known_count + 1
        end
        return known[1], known[2]
    end
end

-- The requirement of a class as a table; nil if it is not known.
local function class_get(q, name)
    local classes = q.known.classes
    if classes[name] == nil then
        local text = call('HGET', key_of(q, 'classes'), name)
        classes[name] = text and cjson.decode(text) or false
    end
    return classes[name] or nil
end

-- Before the first write of a submit: is there room for one more class?
local function class_admit(q, name, requirement_json)
    if q.known.admitted[name] == requirement_json then
        return
    end
    local known = call('HGET', key_of(q, 'classes'), name)
    if known and known ~= requirement_json then
        fail('CONFLICT', 'the labels of this job collide with those of another class, %s | change a label', name)
    end
    if not known then
        if call('HLEN', key_of(q, 'classes')) + #q.known.new_classes >= CLASSES_MAX then
            fail('FULL', 'queue %s has %d resource classes, which is its bound | ask for resources that other jobs use',
                 q.name, CLASSES_MAX)
        end
        append(q.known.new_classes, name)
    end
    q.known.admitted[name] = requirement_json
    q.known.put[name] = known ~= false
end

-- Makes the class if it is not there (prune drops those that nothing uses), and tells workers of it.
local function class_put(q, name, requirement_json)
    if not q.known.put[name] and call('HSETNX', key_of(q, 'classes'), name, requirement_json) == 1 then
        event_hint(q, 'class', name)
    end
    q.known.put[name] = true
end

local function class_has_labels(required, offered)
    for name, value in pairs(required) do
        if offered[name] ~= value then
            return false
        end
    end
    return true
end

-- How many jobs of this requirement fit into what is free, at most `most`.
local function class_fits(requirement, free, most)
    if not class_has_labels(requirement.labels, free.labels) then
        return 0
    end
    for _, what in ipairs({'cpus', 'gpus', 'memory'}) do
        if requirement[what] > 0 then
            most = math.min(most, math.floor(free[what] / requirement[what]))
        end
    end
    return math.max(most, 0)
end

local function class_take(requirement, free, count)
    for _, what in ipairs({'cpus', 'gpus', 'memory'}) do
        free[what] = free[what] - requirement[what] * count
    end
end
