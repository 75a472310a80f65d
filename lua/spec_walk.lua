-- A job spec is checked here, along the table of its keys that is printed from C (spec_table). The C programs walk the
-- same table in the same order: queue/spec_table.h says which, and how a value is shown, so that a bad spec gets the
-- same sentence at every door. Change both walkers or none.

local spec_walk, spec_walk_quickly, spec_walk_in_order
do
    local spec_show_name, spec_fail = spec_table.shown_name, spec_table.refuse

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

    -- ---------------------------------------------------------------- values

    local function spec_is_text(rule, value)
        if type(value) ~= 'string' then
            return type(value) == 'number' and rule.whole_max ~= nil and value == math.floor(value) and value >= 1 and
                value <= rule.whole_max
        elseif value == rule.word then
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

    local function spec_is_list(row, value)
        if type(value) ~= 'table' or (value[1] == nil and next(value) ~= nil) then
            return false
        end
        local count = #value
        return count >= row.min and count <= row.max
    end

    local function spec_is_fine_list(row, value)
        if not spec_is_list(row, value) then
            return false
        end
        -- Where any text without NUL will do, it is seen here: the search for one byte is many times as fast.
        local rule = row.text
        local is_free, min, max = rule.is_free, rule.min, rule.max
        for i = 1, #value do
            local item = value[i]
            local is_seen = is_free and type(item) == 'string' and #item >= min and #item <= max and
                not item:find('\0', 1, true)
            if not is_seen and not spec_is_text(rule, item) then
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

    -- ---------------------------------------------------------------- the walks

    -- Made while the library is loaded, and only read: the defaults by path, the rows and the sections by their keys,
    -- and what depends on other values. Most specs give few keys: what is not given costs nothing.
    local SPEC_DEFAULTS, SPEC_SECTIONS, SPEC_LINKED = {}, {}, {}
    local SPEC_VALUES = {__index = SPEC_DEFAULTS}
    for i = 1, #spec_table.sections do
        local section = spec_table.sections[i]
        section.linked, section.row_of = {}, {}
        SPEC_SECTIONS[section.name] = section
        if section.when or section.required then
            SPEC_LINKED[#SPEC_LINKED + 1] = section
        end
        for k = 1, #section.rows do
            local row = section.rows[k]
            SPEC_DEFAULTS[row.path] = row.default
            section.row_of[row.key] = row
            if row.text then
                row.text.is_free = row.text.pattern == '^[^%z]*$' and not row.text.inside
            end
            row.has_names = row.type == 'map' or row.type == 'after'
            row.decode = (spec_decoders[row.type] or spec_decoder_of_number)(row)
            if row.when or row.required or row.at_least or row.needs then
                section.linked[#section.linked + 1] = row
            end
        end
    end

    -- What is given; null counts as not given.
    local function spec_given(object, key)
        local value = object[key]
        if value == cjson.null then
            return nil
        end
        return value
    end

    local function spec_section_of(tree, section)
        if section.name == '' then
            return tree
        end
        return spec_given(tree, section.name)
    end

    local function spec_known_keys(section)
        local keys = {}
        for key in section.known:gmatch('[^, ]+') do
            append(keys, key)
        end
        return keys
    end

    -- Each value that is given by itself, into values by path.
    local function spec_walk_values(tree, section, values)
        local object = spec_section_of(tree, section)
        if object == nil then
            return
        elseif type(object) ~= 'table' or object[1] ~= nil then
            spec_fail(section.name == '' and 'spec' or section.name, 'an object', object)
        end
        local unknown = spec_first_bad(object, function(name)
            return not section.keys[name]
        end)
        if unknown then
            local path = (section.name == '' and '' or section.name .. '.') .. spec_show_name(unknown)
            local meant = nearest(unknown, spec_known_keys(section))
            fail('INVALID', path .. ': unknown key; known here: ' .. section.known ..
                 (meant and ' | did you mean ' .. meant .. '?' or ''))
        end
        local rows, null = section.rows, cjson.null
        for i = 1, #rows do
            local value = object[rows[i].key]
            if value ~= nil and value ~= null then
                values[rows[i].path] = spec_check_row(rows[i], value)
            end
        end
    end

    -- Given only when its condition holds, and given if it is required then.
    local function spec_check_presence(path, rule, is_given, values)
        local when = rule.when
        local holds = not when or values[when.path] == when.is
        if is_given and not holds then
            fail('INVALID', path .. ': only when ' .. when.path .. ' is ' .. when.is)
        elseif not is_given and holds and rule.required then
            fail('INVALID', path .. ': required' .. (when and ' when ' .. when.path .. ' is ' .. when.is or ''))
        end
    end

    -- Of two keys exactly one is given.
    local function spec_is_one_of(section, object)
        local keys = section.one_of
        return not keys or (spec_given(object, keys[1]) == nil) ~= (spec_given(object, keys[2]) == nil)
    end

    local function spec_check_one_of(section, object)
        if not spec_is_one_of(section, object) then
            local keys = section.one_of
            fail('INVALID', '%s: expected %s or %s, got %s', section.name, keys[1], keys[2],
                 spec_given(object, keys[1]) == nil and 'neither' or 'both')
        end
    end

    -- What depends on other values.
    local function spec_walk_together(tree, section, values)
        local object = spec_section_of(tree, section)
        if section.name ~= '' then
            spec_check_presence(section.name, section, object ~= nil, values)
        end
        if object then
            spec_check_one_of(section, object)
        end
        for _, row in ipairs(object and section.linked or {}) do
            local given = spec_given(object, row.key)
            spec_check_presence(row.path, row, given ~= nil, values)
            if row.needs and given ~= nil and spec_given(object, row.needs) == nil then
                fail('INVALID', '%s: only with %s', row.path, row.needs)
            end
            local least = row.at_least and values[row.at_least]
            if least and values[row.path] < least then
                if given ~= nil then
                    spec_fail(row.path, 'at least ' .. row.at_least, given)
                end
                values[row.path] = least
            end
        end
    end

    -- The walk in the order of the table. Fails at the first mistake.
    function spec_walk_in_order(tree)
        local values = setmetatable({}, SPEC_VALUES)
        if type(tree) ~= 'table' then
            spec_fail('spec', 'an object', tree)
        end
        for _, section in ipairs(spec_table.sections) do
            spec_walk_values(tree, section, values)
        end
        for _, section in ipairs(spec_table.sections) do
            spec_walk_together(tree, section, values)
        end
        return values
    end

    -- ---------------------------------------------------------------- the quick walk

    -- The values of one object, in any order. Answers how many names stand in it; nil: something is wrong.
    local function spec_take_object(object, section, values, given)
        if type(object) ~= 'table' or object[1] ~= nil then
            return nil
        end
        local row_of, null, names = section.row_of, cjson.null, 0
        for key, value in pairs(object) do
            local row = row_of[key]
            names = names + 1
            if row and value ~= null then
                local decoded = row.decode(value)
                if decoded == nil then
                    return nil
                end
                values[row.path] = decoded
                if row.has_names and value[1] == nil then
                    for _ in pairs(value) do
                        names = names + 1
                    end
                end
            elseif not row and (section.name ~= '' or not SPEC_SECTIONS[key] or key == '') then
                return nil
            elseif not row and value ~= null then
                given[#given + 1] = SPEC_SECTIONS[key]
            end
        end
        return names
    end

    local function spec_is_misplaced(rule, is_given, values)
        local when = rule.when
        local holds = not when or values[when.path] == when.is
        return is_given ~= holds and (is_given or rule.required)
    end

    -- A row that depends on others and is given wrongly, is missing, or is too small. What is too small by default is
    -- raised.
    local function spec_row_is_wrong(row, object, values)
        local is_given = object[row.key] ~= nil and object[row.key] ~= cjson.null
        local least = row.at_least and values[row.at_least]
        if spec_is_misplaced(row, is_given, values) or
            (row.needs and is_given and spec_given(object, row.needs) == nil) then
            return true
        elseif least and values[row.path] < least then
            values[row.path] = least
            return is_given
        end
        return false
    end

    -- Takes what is right, in whatever order it comes: its values, and how many names stand in the text. nil when
    -- something is wrong; the walk in order finds what.
    function spec_walk_quickly(tree)
        -- With room for what most specs give: a table that grows is made anew each time.
        local values = setmetatable({name = nil, command = nil, priority = nil, ['resources.cpus'] = nil}, SPEC_VALUES)
        local given, top = {}, SPEC_SECTIONS['']
        local names = spec_take_object(tree, top, values, given)
        for i = 1, names and #given or 0 do
            local more = spec_take_object(tree[given[i].name], given[i], values)
            if not more then
                return nil
            end
            names = names + more
        end
        if not names then
            return nil
        end
        for i = 1, #SPEC_LINKED do
            local object = tree[SPEC_LINKED[i].name]
            if spec_is_misplaced(SPEC_LINKED[i], object ~= nil and object ~= cjson.null, values) then
                return nil
            end
        end
        given[#given + 1] = top
        for i = 1, #given do
            local linked, object = given[i].linked, given[i] == top and tree or tree[given[i].name]
            if given[i].one_of and not spec_is_one_of(given[i], object) then
                return nil
            end
            for k = 1, #linked do
                if spec_row_is_wrong(linked[k], object, values) then
                    return nil
                end
            end
        end
        return values, names
    end

    -- A decoded spec → its values by path ("retry.backoff"): durations in ms, sizes in bytes, defaults filled in.
    function spec_walk(tree)
        return spec_walk_quickly(tree) or spec_walk_in_order(tree)
    end
end
