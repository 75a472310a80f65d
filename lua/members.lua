-- The members of a JSON object as texts. cjson would write an empty list as an object and lose digits, so what is to
-- be kept as it was given is cut out of its text. The text is known to be valid JSON.

-- The place behind the value that begins at `at`: a comma, or the bracket that closes what it stands in.
local function json_value_end(text, at)
    local depth = 0
    repeat
        local from = text:find('["%[%]{},]', at)
        local c = text:sub(from, from)
        if c == '"' then
            repeat
                from = text:find('["\\]', from + 1)
                local is_escape = text:sub(from, from) == '\\'
                from = from + (is_escape and 1 or 0)
            until not is_escape
        elseif c == '{' or c == '[' then
            depth = depth + 1
        elseif c == ',' and depth == 0 then
            return from
        elseif c ~= ',' then
            depth = depth - 1
            if depth < 0 then
                return from
            end
        end
        at = from + 1
    until false
end

-- {{name =, text =}, …} in the order of the text.
local function json_members(text)
    local members, at = {}, text:find('{', 1, true) + 1
    while true do
        local from = text:match('^%s*()"', at)
        if not from then
            return members
        end
        local close = from
        repeat
            close = text:find('["\\]', close + 1)
            local is_escape = text:sub(close, close) == '\\'
            close = close + (is_escape and 1 or 0)
        until not is_escape
        local begin = text:match('^%s*:%s*()', close + 1)
        local behind = json_value_end(text, begin)
        members[#members + 1] = {name = cjson.decode('[' .. text:sub(from, close) .. ']')[1],
                                 text = text:sub(begin, behind - 1):match('^(.-)%s*$')}
        at = behind + 1
    end
end

local function json_of_members(members)
    local parts = {}
    for i, member in ipairs(members) do
        parts[i] = cjson.encode(member.name) .. ':' .. member.text
    end
    return '{' .. table.concat(parts, ',') .. '}'
end
