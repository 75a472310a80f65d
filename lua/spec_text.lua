-- The text of a spec: JSON as strictly as the programs read it, then the walk along the table.

local spec_read, want_json
do
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
    local function spec_check_strict(what, text, tree)
        local outside = spec_outside(text)
        if text:find('[%z\1-\31]') and
            select(2, text:gsub('[%z\1-\31]', '')) ~= select(2, outside:gsub('[%z\1-\31]', '')) then
            fail('INVALID', what .. ': not valid JSON: a control character in a text')
        elseif outside:find('%d%.%D') then
            fail('INVALID', what .. ': not valid JSON: a number without digits behind its point')
        elseif type(tree) == 'table' and select(2, outside:gsub(':', '')) ~= spec_count_names(tree) then
            fail('INVALID', what .. ': not valid JSON: a name stands twice in an object')
        end
    end

    local spec_json -- made at the first use: while the library is loaded there is no cjson

    local function spec_decode(what, text)
        if not spec_json then
            spec_json = cjson.new() -- one of our own: its settings are nobody else's
            spec_json.decode_invalid_numbers(false)
        end
        local ok, tree = pcall(spec_json.decode, text)
        if not ok then
            fail('INVALID', what .. ': not valid JSON: ' .. tostring(tree):gsub('^[%w_]+:%d+: ', ''))
        end
        return tree
    end

    -- Any JSON value, as a text that is kept and shown inside other JSON: a strict reader must take it.
    function want_json(text, what)
        want_utf8(text, what)
        spec_check_strict(what, text .. ' ', spec_decode(what, text))
        if spec_outside(text):find('%-%.') then
            fail('INVALID', what .. ': not valid JSON: a number without digits before its point')
        end
    end

    -- Is a point with a digit before it and none behind it in the text, be it in quotes?
    local function spec_has_bare_point(text)
        local at = text:find('.', 1, true)
        while at do
            local behind = text:byte(at + 1)
            if not (behind and behind >= 48 and behind <= 57) and text:find('^%d', at - 1) then
                return true
            end
            at = text:find('.', at + 1, true)
        end
        return false
    end

    local function spec_colons(text)
        local count, at = 0, text:find(':', 1, true)
        while at do
            count, at = count + 1, text:find(':', at + 1, true)
        end
        return count
    end

    -- The text of a spec → its values by path. Most are plain: printable ASCII without an escape. Of such a text a
    -- strict reader could only refuse a number without digits behind its point, and a name that stands twice: then
    -- there are more colons (behind quotes) than names. Searches for one byte, and one run from the start, are many
    -- times as fast as a search for a pattern.
    function spec_read(text)
        if #text > spec_table.max_bytes then
            fail('INVALID', 'spec: expected at most ' .. spec_table.max_bytes .. ' bytes, got ' .. #text ..
                 ' | put large data into files, and name them in the spec')
        end
        local known, shape, name = spec_table.values_by_shape(text)
        if known then
            return known
        end
        local is_plain = text:find('^[ -~]*$') and not text:find('\\', 1, true)
        if not is_plain and not is_utf8(text) then
            fail('INVALID', 'spec: expected UTF-8 text | save it as UTF-8')
        end
        local tree = spec_decode('spec', text)
        local values, names = spec_table.walk_quickly(tree)
        if not values or not is_plain or spec_has_bare_point(text) or
            (spec_colons(text) ~= names and select(2, text:gsub('"%s*:', '')) ~= names) then
            spec_check_strict('spec', text, tree)
        end
        if values and shape then
            spec_table.keep_shape(shape, name, values)
        end
        return values or spec_table.walk_in_order(tree)
    end
end
