-- A job spec is checked here, along the table of its keys that is printed from C (spec_table). The C programs walk the
-- same table in the same order: queue/spec_table.h says which, and how a value is shown, so that a bad spec gets the
-- same sentence at every door. Change both walkers or none.

local spec_walk, spec_read
do
    local SPEC_SHOWN_BYTES = 40 -- of a text in a message

    -- ---------------------------------------------------------------- showing what was found

    local SPEC_ESCAPES = {['"'] = '\\"', ['\\'] = '\\\\'}

    local function spec_show_text(text)
        local shown = clip(text, SPEC_SHOWN_BYTES)
        local escaped = shown:gsub('[%c"\\]', function(c)
            return SPEC_ESCAPES[c] or string.format('\\u%04x', c:byte())
        end)
        return '"' .. escaped .. (#shown < #text and '…"' or '"')
    end

    local function spec_show_value(value)
        if type(value) == 'string' then
            return spec_show_text(value)
        elseif type(value) == 'number' then
            local is_whole = value == math.floor(value) and math.abs(value) < 1e15
            return string.format(is_whole and '%.0f' or '%.14g', value == 0 and 0 or value)
        elseif type(value) ~= 'table' then
            return value == cjson.null and 'null' or tostring(value)
        elseif next(value) == nil then
            return 'an empty list'
        elseif value[1] ~= nil then
            return 'a list of ' .. #value
        end
        local count = 0
        for _ in pairs(value) do
            count = count + 1
        end
        return 'an object of ' .. count
    end

    -- A name as part of a path: in quotes unless it is short and plain.
    local function spec_show_name(name)
        return #name <= 64 and name:find('^[A-Za-z0-9_.-]+$') and name or spec_show_text(name)
    end

    local function spec_fail(path, expected, value)
        fail('INVALID', path .. ': expected ' .. expected .. ', got ' .. spec_show_value(value))
    end

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
            return false
        elseif value == rule.word then
            return true
        elseif #value < rule.min or #value > rule.max or not value:find(rule.pattern) then
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
        return type(value) == 'number' and value == math.floor(value) and value or nil
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

    local function spec_check_list(row, value)
        local is_list = type(value) == 'table' and (value[1] ~= nil or next(value) == nil)
        if not is_list or #value < row.min or #value > row.max then
            spec_fail(row.path, row.expected, value)
        end
        for i, item in ipairs(value) do
            if not spec_is_text(row.text, item) then
                spec_fail(row.path .. '[' .. i - 1 .. ']', row.text.expected, item)
            end
        end
    end

    local function spec_check_map(row, value)
        local count = 0
        if type(value) == 'table' and value[1] == nil then
            for _ in pairs(value) do
                count = count + 1
            end
        else
            count = row.max + 1
        end
        if count > row.max then
            spec_fail(row.path, row.expected, value)
        end
        local bad = spec_first_bad(value, function(name, item)
            return not spec_is_text(row.names, name) or not spec_is_text(row.text, item)
        end)
        if bad and not spec_is_text(row.names, bad) then
            spec_fail(row.path, row.names.expected, bad)
        elseif bad then
            spec_fail(row.path .. '.' .. bad, row.text.expected, value[bad])
        end
    end

    -- Fails, or answers the value in its decoded form.
    local function spec_check_row(row, value)
        local kind, decoded = row.type, value
        local ok
        if kind == 'map' then
            spec_check_map(row, value)
            return value
        elseif kind == 'list' or (kind == 'command' and type(value) ~= 'string') then
            spec_check_list(row, value)
            return value
        elseif kind == 'text' then
            ok = spec_is_text(row.text, value)
        elseif kind == 'command' then
            ok = value ~= '' and spec_is_text(row.text, value)
        elseif kind == 'bool' then
            ok = type(value) == 'boolean'
        elseif kind == 'choice' then
            ok = type(value) == 'string' and row.choices[value]
        elseif kind == 'every' then
            ok = spec_is_every(row, value)
        else
            decoded = spec_readers[kind](value)
            ok = decoded and decoded >= row.min and decoded <= row.max
        end
        if not ok then
            spec_fail(row.path, row.expected, value)
        end
        return decoded
    end

    -- ---------------------------------------------------------------- the walks

    -- Made while the library is loaded, and only read: the defaults by path, and of each section the rows that depend
    -- on other values. Most specs give few keys: what is not given costs nothing.
    local SPEC_DEFAULTS = {}
    for i = 1, #spec_table.sections do
        local section = spec_table.sections[i]
        section.linked = {}
        for k = 1, #section.rows do
            local row = section.rows[k]
            SPEC_DEFAULTS[row.path] = row.default
            if row.when or row.required or row.at_least then
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

    -- What depends on other values.
    local function spec_walk_together(tree, section, values)
        local object = spec_section_of(tree, section)
        if section.name ~= '' then
            spec_check_presence(section.name, section, object ~= nil, values)
        end
        for _, row in ipairs(object and section.linked or {}) do
            local given = spec_given(object, row.key)
            spec_check_presence(row.path, row, given ~= nil, values)
            local least = row.at_least and values[row.at_least]
            if least and values[row.path] < least then
                if given ~= nil then
                    spec_fail(row.path, 'at least ' .. row.at_least, given)
                end
                values[row.path] = least
            end
        end
    end

    -- A decoded spec → its values by path ("retry.backoff"): durations in ms, sizes in bytes, defaults filled in.
    -- Fails at the first mistake.
    function spec_walk(tree)
        local values = setmetatable({}, {__index = SPEC_DEFAULTS})
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

    -- ---------------------------------------------------------------- the text

    -- The text without what stands in quotes.
    local function spec_outside(text)
        if text:find('\\', 1, true) then
            text = text:gsub('\\.', '')
        end
        return (text:gsub('"[^"]*"', ''))
    end

    local function spec_count_names(value)
        local count = 0
        local of_each = value[1] == nil and 1 or 0
        for _, item in pairs(value) do
            count = count + of_each
            if type(item) == 'table' then
                count = count + spec_count_names(item)
            end
        end
        return count
    end

    -- cjson takes more than JSON. A worker reads the spec with a strict reader, so what that would refuse is refused
    -- here: control characters in texts, "1." as a number, and a name that stands twice.
    local function spec_check_strict(text, tree)
        local outside = spec_outside(text)
        if text:find('[%z\1-\31]') and
            select(2, text:gsub('[%z\1-\31]', '')) ~= select(2, outside:gsub('[%z\1-\31]', '')) then
            fail('INVALID', 'spec: not valid JSON: a control character in a text')
        elseif outside:find('%d%.%D') then
            fail('INVALID', 'spec: not valid JSON: a number without digits behind its point')
        elseif type(tree) == 'table' and select(2, outside:gsub(':', '')) ~= spec_count_names(tree) then
            fail('INVALID', 'spec: not valid JSON: a name stands twice in an object')
        end
    end

    local spec_json -- made at the first use: while the library is loaded there is no cjson

    local function spec_decode(text)
        if not spec_json then
            spec_json = cjson.new() -- one of our own: its settings are nobody else's
            spec_json.decode_invalid_numbers(false)
        end
        local ok, tree = pcall(spec_json.decode, text)
        if not ok then
            fail('INVALID', 'spec: not valid JSON: ' .. tostring(tree):gsub('^[%w_]+:%d+: ', ''))
        end
        spec_check_strict(text, tree)
        return tree
    end

    -- The text of a spec → its values by path.
    function spec_read(text)
        if #text > spec_table.max_bytes then
            fail('INVALID', 'spec: expected at most ' .. spec_table.max_bytes .. ' bytes, got ' .. #text ..
                 ' | put large data into files, and name them in the spec')
        elseif not is_utf8(text) then
            fail('INVALID', 'spec: expected UTF-8 text | save it as UTF-8')
        end
        return spec_walk(spec_decode(text))
    end
end
