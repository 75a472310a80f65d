-- One row of the table of spec keys: what it takes, as a decoded value, and what is wrong with what it does not take.
-- For lua/spec_walk.lua, which says by which rules.

do
    local spec_fail = spec_table.refuse

    -- The smallest name for which is_bad(name, value).
    local function spec_first_bad(object, is_bad)
        local first
        for name, value in pairs(object) do
            if is_bad(name, value) and (not first or bytes_less(name, first)) then
                first = name
            end
        end
        return first
    end

    local function spec_is_text(rule, value)
        if type(value) ~= 'string' then
            return type(value) == 'number' and rule.whole_max ~= nil and value == math.floor(value) and value >= 1 and
                value <= rule.whole_max
        elseif rule.also and rule.also[value] then
            return true
        elseif rule.words then
            return rule.words[value] == true
        elseif #value < rule.min or #value > rule.max or not value:find(rule.pattern) then
            return false
        elseif rule.url and not spec_is_url(value) then
            return false
        elseif rule.refuse and value:sub(1, #rule.refuse) == rule.refuse then
            return false
        end
        return not rule.inside or (value:byte() ~= 47 and not ('/' .. value .. '/'):find('/../', 1, true))
    end

    -- "1.5GiB", "30 s"; without a unit the number counts in `bare`.
    local function spec_unit(text, units, bare)
        local number, unit = text:match('^(%d+%.?%d*)( ?%a*)$')
        if not number or number:sub(-1) == '.' then
            return nil
        end
        local factor = bare
        if unit ~= '' then
            factor = units[(unit:gsub('^ ', ''))]
        end
        local value = factor and math.floor(tonumber(number) * factor + 0.5)
        return value and value <= LARGEST and value or nil
    end

    local function spec_duration(value)
        if type(value) == 'number' then
            return math.floor(value * 1000 + 0.5)
        end
        return type(value) == 'string' and spec_unit(value, spec_table.durations, 1000) or nil
    end

    local function spec_whole(value)
        return type(value) == 'number' and value % 1 == 0 and value or nil
    end

    -- type → its value in the decoded unit, or nil when it has another type.
    local spec_readers = {
        integer = spec_whole,
        number = function(value)
            return type(value) == 'number' and value or nil
        end,
        duration = spec_duration,
        size = function(value)
            return type(value) == 'string' and spec_unit(value, spec_table.sizes, 1) or spec_whole(value)
        end,
    }

    local function spec_is_every(row, value)
        local steps = type(value) == 'string' and value:match('^(%d+) steps?$')
        if steps and #steps <= 9 and tonumber(steps) >= 1 then
            return true
        end
        local ms = spec_duration(value)
        return ms and ms >= row.min and ms <= row.max
    end

    local function spec_given(value, otherwise)
        if value == nil or value == cjson.null then
            return otherwise
        end
        return value
    end

    local function spec_is_list(row, value)
        if type(value) ~= 'table' or (value[1] == nil and next(value) ~= nil) then
            return false
        end
        local count = #value
        return count >= row.min and count <= row.max
    end

    -- Where any text without NUL will do, a list of texts is seen at once: one search for one byte in all of them is
    -- many times as fast as a search for a pattern in each.
    local function spec_is_free_list(rule, value)
        for i = 1, #value do
            local item = value[i]
            if type(item) ~= 'string' then
                return false
            end
        end
        local all = table.concat(value)
        return #all <= rule.max and not all:find('\0', 1, true)
    end

    local function spec_is_fine_list(row, value)
        if not spec_is_list(row, value) then
            return false
        end
        local rule = row.text
        if rule.is_free and spec_is_free_list(rule, value) then
            return true
        end
        for i = 1, #value do
            if not spec_is_text(rule, value[i]) then
                return false
            end
        end
        return true
    end

    -- An empty list counts as an empty object: they look alike here.
    local function spec_is_fine_map(row, value)
        if type(value) ~= 'table' or value[1] ~= nil then
            return false
        end
        local count = 0
        for name, item in pairs(value) do
            count = count + 1
            if count > row.max or not spec_is_text(row.names, name) or not spec_is_text(row.text, item) then
                return false
            end
        end
        return true
    end

    -- By type: what makes of a row the function that answers a value in its decoded form, or nil if the row does not
    -- take it. Made once, for the whole life of the library.
    local spec_decoders = {}
    function spec_decoders.text(row)
        local rule = row.text
        return function(value)
            return spec_is_text(rule, value) and value or nil
        end
    end
    function spec_decoders.list(row)
        return function(value)
            return spec_is_fine_list(row, value) and value or nil
        end
    end
    function spec_decoders.command(row)
        return function(value)
            local is_fine
            if type(value) == 'string' then
                is_fine = value ~= '' and spec_is_text(row.text, value)
            else
                is_fine = spec_is_fine_list(row, value)
            end
            return is_fine and value or nil
        end
    end
    function spec_decoders.map(row)
        return function(value)
            return spec_is_fine_map(row, value) and value or nil
        end
    end
    function spec_decoders.after(row) -- a list, or conditions by name
        return function(value)
            local count, is_list = 0, type(value) ~= 'table' or value[1] ~= nil
            for name, condition in pairs(is_list and {} or value) do
                count = count + 1
                if count > row.max or not spec_is_text(row.text, name) or not row.choices[condition] then
                    return nil
                end
            end
            return (not is_list or spec_is_fine_list(row, value)) and value or nil
        end
    end
    function spec_decoders.bool()
        return function(value)
            if type(value) == 'boolean' then
                return value
            end
        end
    end
    function spec_decoders.choice(row)
        local choices = row.choices
        return function(value)
            return type(value) == 'string' and choices[value] and value or nil
        end
    end
    function spec_decoders.every(row)
        return function(value)
            return spec_is_every(row, value) and value or nil
        end
    end
    function spec_decoders.best(row)
        local function is_count(value)
            return spec_whole(value) and value >= row.min and value <= row.max
        end
        return function(value)
            if type(value) ~= 'table' or value[1] ~= nil then
                return nil
            end
            for name in pairs(value) do
                if name ~= 'metric' and name ~= 'mode' and name ~= 'count' then
                    return nil
                end
            end
            local best = {metric = value.metric, mode = spec_given(value.mode, 'min'),
                          count = spec_given(value.count, 1)}
            return spec_is_text(row.text, best.metric) and row.choices[best.mode] and is_count(best.count) and best or
                nil
        end
    end
    local function spec_decoder_of_number(row)
        local read, min, max = spec_readers[row.type], row.min, row.max
        return function(value)
            value = read(value)
            return value and value >= min and value <= max and value or nil
        end
    end

    local function spec_fail_list(row, value)
        if not spec_is_list(row, value) then
            spec_fail(row.path, row.expected, value)
        end
        for i, item in ipairs(value) do
            if not spec_is_text(row.text, item) then
                spec_fail(row.path .. '[' .. i - 1 .. ']', row.text.expected, item)
            end
        end
    end

    local function spec_fail_map(row, value, names)
        local count = 0
        for _ in pairs(type(value) == 'table' and value[1] == nil and value or {}) do
            count = count + 1
        end
        if type(value) ~= 'table' or value[1] ~= nil or count > row.max then
            spec_fail(row.path, row.expected, value)
        end
        local bad = spec_first_bad(value, function(name, item)
            local is_fine = row.choices and row.choices[item] or not row.choices and spec_is_text(row.text, item)
            return not spec_is_text(names, name) or not is_fine
        end)
        if not spec_is_text(names, bad) then
            spec_fail(row.path, names.expected, bad)
        end
        spec_fail(row.path .. '.' .. bad, row.expected_choice or row.text.expected, value[bad])
    end

    -- Fails, or answers the value in its decoded form.
    local function spec_check_row(row, value)
        local decoded = row.decode(value)
        if decoded ~= nil then
            return decoded
        elseif row.type == 'map' then
            spec_fail_map(row, value, row.names)
        elseif row.type == 'after' and type(value) == 'table' and value[1] == nil then
            spec_fail_map(row, value, row.text)
        elseif row.type == 'list' or row.type == 'after' or (row.type == 'command' and type(value) ~= 'string') then
            spec_fail_list(row, value)
        end
        spec_fail(row.path, row.expected, value)
    end

    -- Made once for each row, while the library is loaded.
    function spec_table.decoder_of(row)
        if row.text then
            row.text.is_free = row.text.pattern == '^[^%z]*$' and row.text.min == 0 and not row.text.inside
        end
        return (spec_decoders[row.type] or spec_decoder_of_number)(row)
    end

    spec_table.first_bad, spec_table.check_row, spec_table.duration = spec_first_bad, spec_check_row, spec_duration
end
