-- How a value and a name of a spec are shown in a message: as queue/spec_table.h says.

do
    local SPEC_SHOWN_BYTES = 40 -- of a text in a message

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
    function spec_table.shown_name(name)
        return #name <= 64 and name:find('^[A-Za-z0-9_.-]+$') and name or spec_show_text(name)
    end

    function spec_table.refuse(path, expected, value)
        fail('INVALID', path .. ': expected ' .. expected .. ', got ' .. spec_show_value(value))
    end
end
