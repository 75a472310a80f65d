-- "did you mean …?": lib/nearest.c in Lua, so that a wrong key gets the same hint at every door.

local nearest
do
    local LONGEST = 64

    -- How far two names are apart, counted in typing mistakes: a letter too many, too few, wrong, or two swapped.
    local function distance(a, b)
        if #a > LONGEST or #b > LONGEST then
            return LARGEST
        end
        local row, above, above2 = {}
        for j = 0, #b do
            row[j] = j
        end
        for i = 1, #a do
            above2, above, row = above, row, {[0] = i}
            for j = 1, #b do
                local same = above[j - 1] + (a:byte(i) ~= b:byte(j) and 1 or 0)
                row[j] = math.min(same, above[j] + 1, row[j - 1] + 1)
                if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                    row[j] = math.min(row[j], above2[j - 2] + 1)
                end
            end
        end
        return row[#b]
    end

    -- The candidate that was probably meant, the first of equals; nil when none is near enough.
    function nearest(name, candidates)
        local best, best_distance
        for _, candidate in ipairs(candidates) do
            local apart, shorter = distance(name, candidate), math.min(#name, #candidate)
            if apart <= 1 + math.floor(shorter / 4) and apart < shorter and (not best or apart < best_distance) then
                best, best_distance = candidate, apart
            end
        end
        return best
    end
end
