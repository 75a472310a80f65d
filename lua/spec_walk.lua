-- A job spec is checked here, along the table of its keys that is printed from C (spec_table). The C programs walk the
-- same table in the same order: queue/spec_table.h says which, and how a value is shown, so that a bad spec gets the
-- same sentence at every door. Change both walkers or none.

local spec_walk
do
    local spec_show_name, spec_fail, spec_check_row = spec_table.shown_name, spec_table.refuse, spec_table.check_row

    -- Made while the library is loaded, and only read: the defaults by path, the rows and the sections by their keys,
    -- and what depends on other values. Most specs give few keys: what is not given costs nothing.
    local SPEC_DEFAULTS, SPEC_SECTIONS, SPEC_LINKED = {}, {}, {}

    -- What a submit has to act on besides the resources and the priority. Where one of them is given, values.special
    -- says so: of the rest nothing needs to be looked for.
    local SPEC_SPECIAL = {queue = true, tenant = true, tags = true, experiment = true, batch = true, delay = true,
                          hold = true, after = true, on_unmet = true, resume = true, ['retry.elsewhere'] = true}
    local SPEC_SPECIAL_SECTIONS = {concurrency = true, rate = true, unique = true, webhook = true, schedule = true}
    local SPEC_VALUES = {__index = SPEC_DEFAULTS}
    spec_table.defaults = SPEC_VALUES
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
            row.has_names = row.type == 'map' or row.type == 'after' or row.type == 'best'
            row.is_special = SPEC_SPECIAL[row.path] or SPEC_SPECIAL_SECTIONS[section.name]
            row.decode = spec_table.decoder_of(row)
            if row.when or row.required or row.at_least or row.needs or row.without then
                section.linked[#section.linked + 1] = row
            end
        end
        section.is_linked = section.one_of ~= nil or section.linked[1] ~= nil
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
        local unknown = spec_table.first_bad(object, function(name)
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
                values.special = values.special or rows[i].is_special
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
            if row.without and given ~= nil and spec_given(object, row.without) ~= nil then
                fail('INVALID', '%s: not together with %s', row.path, row.without)
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
    function spec_table.walk_in_order(tree)
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
                if row.is_special then
                    values.special = true
                end
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
            (row.needs and is_given and spec_given(object, row.needs) == nil) or
            (row.without and is_given and spec_given(object, row.without) ~= nil) then
            return true
        elseif least and values[row.path] < least then
            values[row.path] = least
            return is_given
        end
        return false
    end

    -- Is what stands in one object wrong together?
    local function spec_object_is_wrong(section, object, values)
        local linked = section.linked
        for i = 1, #linked do
            if spec_row_is_wrong(linked[i], object, values) then
                return true
            end
        end
        return not spec_is_one_of(section, object)
    end

    -- Takes what is right, in whatever order it comes: its values, and how many names stand in the text. nil when
    -- something is wrong; the walk in order finds what.
    function spec_table.walk_quickly(tree)
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
        if not names or spec_object_is_wrong(top, tree, values) then
            return nil
        end
        for i = 1, #SPEC_LINKED do
            local object = tree[SPEC_LINKED[i].name]
            if spec_is_misplaced(SPEC_LINKED[i], object ~= nil and object ~= cjson.null, values) then
                return nil
            end
        end
        for i = 1, #given do
            if given[i].is_linked and spec_object_is_wrong(given[i], tree[given[i].name], values) then
                return nil
            end
        end
        return values, names
    end

    -- A decoded spec → its values by path ("retry.backoff"): durations in ms, sizes in bytes, defaults filled in.
    function spec_walk(tree)
        return spec_table.walk_quickly(tree) or spec_table.walk_in_order(tree)
    end
end
