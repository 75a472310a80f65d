-- Apps send the same spec again and again, with another name and other words in its command. What is left of a text
-- without those is its shape. A text of a shape that was checked once needs no second walk: as long as its name and its
-- words are plain (printable ASCII, no escape), no other value depends on them. A shape follows from a text alone; few
-- are kept.

do
    local SHAPES_KEPT, SHAPE_MAX = 64, 4096
    local LIST, NAME = {'"command":[', '"command": ['}, {'"name":"', '"name": "'} -- as most writers of JSON space them

    -- Of a plain text these rules ask nothing but how long it is.
    local rows = spec_table.sections[1].row_of
    local WORDS_MAX, WORD_MAX, ITS_NAME = rows.command.max, rows.command.text.max, rows.name.text

    -- Of a shape: __index, the values of such a spec; before, between and after, what of its text stands around its
    -- name and its words (between is nil where it has no name, all three where the name comes last).
    local kept, kept_count, last_used = {}, 0, nil

    local function is_plain(text)
        return text:find('^[]-~ -[]*$') -- from ] to ~, where most bytes are, and from the space to [: all but \
    end

    -- Where one of the two ends, the first time.
    local function find_end(text, markers)
        local _, last = text:find(markers[1], 1, true)
        if not last then
            _, last = text:find(markers[2], 1, true)
        end
        return last
    end

    -- Is this quoted words, a comma behind each and the bracket behind the last, and nothing else? `%b""` is a run to
    -- the next quote, and many times as fast as a class of bytes.
    local function are_words(list)
        local rest, count = list:gsub('%b""[,%]] ?', '')
        return rest == '' and count <= WORDS_MAX and is_plain(list)
    end

    local function is_name(text)
        return #text >= ITS_NAME.min and #text <= ITS_NAME.max and text:find('^[]-~ !#-[]*$') -- nor the quote
    end

    -- Is it of the shape that was asked for last? That, and the name. As shape_of finds it, without putting a shape
    -- together.
    local function like_last(text)
        local its = last_used
        if not its or #text > WORD_MAX or text:sub(1, #its.before) ~= its.before or
            text:sub(-#its.after) ~= its.after then
            return nil
        end
        local from, to, name = #its.before + 1, #text - #its.after + 1, nil
        if its.between then
            local first, last = text:find(its.between, from, true)
            name = first and text:sub(from, first - 1)
            if not name or not is_name(name) then
                return nil
            end
            from = last + 1
        end
        if text:find(']', from, true) ~= to or not are_words(text:sub(from, to)) then
            return nil
        end
        return its, name
    end

    -- The shape of a text and its name (nil: it has none). nil: what would be left out is not what it should be.
    local function shape_of(text)
        local before = find_end(text, LIST)
        local last = before and text:find(']', before + 1, true)
        if not last or #text > WORD_MAX or not are_words(text:sub(before + 1, last)) then
            return nil
        end
        local shape, name = text:sub(1, before) .. text:sub(last), nil
        before = find_end(shape, NAME)
        last = before and shape:find('"', before + 1, true)
        if last then
            name = shape:sub(before + 1, last - 1)
            if not is_name(name) then
                return nil
            end
            shape = shape:sub(1, before) .. shape:sub(last)
        end
        return shape, name
    end

    -- What is known of the shape of a text, to which others may add; nil: it is not known. And its name and the shape
    -- itself, where it has them.
    function spec_table.known_shape(text)
        local known, name = like_last(text)
        if known then
            return known, name
        end
        local shape
        shape, name = shape_of(text)
        known = shape and kept[shape] or nil
        last_used = known and known.before and known or last_used
        return known, name, shape
    end

    -- The values of a text whose shape is known. nil: it is not; then its shape and its name, where it has them.
    function spec_table.values_by_shape(text)
        local known, name, shape = spec_table.known_shape(text)
        if known then
            return setmetatable({name = name}, known)
        end
        return nil, shape, name
    end

    -- Is another name, and another command, read from where they were left out?
    local function is_proved(shape, has_name)
        local before = find_end(shape, LIST)
        local text = shape:sub(1, before) .. '"a word"' .. shape:sub(before + 1)
        if has_name then
            before = find_end(text, NAME)
            text = text:sub(1, before) .. 'a name' .. text:sub(before + 1)
        end
        local ok, tree = pcall(cjson.decode, text)
        return ok and type(tree.command) == 'table' and #tree.command == 1 and tree.command[1] == 'a word' and
            tree.name == (has_name and 'a name' or nil)
    end

    -- Keeps the shape of a text that was found good. What has more to be acted on than most is walked each time.
    function spec_table.keep_shape(shape, name, values)
        if #shape > SHAPE_MAX or values.special or not is_proved(shape, name ~= nil) then
            return
        elseif kept_count == SHAPES_KEPT then
            kept, kept_count = {}, 0
        end
        local shared = {}
        for path, value in pairs(values) do
            shared[path] = value
        end
        shared.name, shared.command = nil, nil
        local known, words = {__index = setmetatable(shared, spec_table.defaults)}, find_end(shape, LIST)
        local its_name = name and find_end(shape, NAME)
        if not name then
            known.before, known.after = shape:sub(1, words), shape:sub(words + 1)
        elseif its_name < words then
            known.before, known.between = shape:sub(1, its_name), shape:sub(its_name + 1, words)
            known.after = shape:sub(words + 1)
        end
        kept[shape], kept_count = known, kept_count + 1
    end
end
