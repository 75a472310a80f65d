-- The items of a JSON list as they were written (lua/members.lua has those of objects). The text is known to be valid.

do
    -- Behind the quotes of the text that begins at `place`.
    local function behind_text(text, place)
        while true do
            place = text:find('["\\]', place + 1)
            if text:sub(place, place) == '"' then
                return place + 1
            end
            place = place + 1
        end
    end

    -- The items of a list.
    function batching.items(text)
        local parts, depth, at, from = {}, 0, 1, nil
        while true do
            local place = text:find('["%[%]{},]', at)
            if not place then
                return parts
            end
            local c = text:sub(place, place)
            at = place + 1
            if c == '"' then
                at = behind_text(text, place)
            elseif c == '[' or c == '{' then
                depth = depth + 1
                from = depth == 1 and at or from
            elseif c == ']' or c == '}' then
                depth = depth - 1
            end
            if (c == ',' and depth == 1) or depth == 0 then
                local part = from and text:sub(from, place - 1):match('^%s*(.-)%s*$') or ''
                if part ~= '' then
                    parts[#parts + 1] = part
                end
                from = at
            end
        end
    end

    -- The members of an object: text by name, and whether a name stands twice.
    function batching.members(text)
        local by_name, is_double = {}, false
        for _, member in ipairs(json_members(text)) do
            is_double = is_double or by_name[member.name] ~= nil
            by_name[member.name] = member.text
        end
        return by_name, is_double
    end
end
