-- Which stores of files have something of this installation, and so the mark <installation>/mark: the field `store` of
-- meta, a URL a line. One that is named there and has no mark is not mounted (lib/store_mount.h). Only what a worker or
-- scheduler was given by --store is named: that in a worker's own state folder comes and goes with it.
do
    local STORES_MAX = 8
    local SOME = 'marked' -- an older library did not say which

    local function tidy(url)
        return (url:gsub('/+$', ''))
    end

    local function is_named(q, url)
        return ('\n' .. (q.meta.store or '') .. '\n'):find('\n' .. url .. '\n', 1, true) ~= nil
    end

    -- url: nil where an older worker does not say which is its own.
    function stores.is_marked(q, url)
        return q.meta.store ~= nil and (q.meta.store == SOME or not url or is_named(q, tidy(url)))
    end

    function stores.remember(q, url)
        url = tidy(url or '')
        local known = q.meta.store
        if not url:find('^file:///') or url:find('%c') or is_named(q, url) then
            return
        end
        if known and known ~= SOME then
            if select(2, known:gsub('\n', '')) + 1 >= STORES_MAX then
                return
            end
            url = known .. '\n' .. url
        end
        call('HSET', q.meta_key, 'store', url)
    end

    -- The store that is to be remembered when what is at this uri is committed; nil: none. Reads only.
    function stores.of_commit(q, j, uri)
        local at = q.meta.installation and
            tostring(uri):find('/' .. q.meta.installation .. '/checkpoints/', 1, true)
        local url = at and uri:sub(1, at - 1)
        if not url or not url:find('^file:') or is_named(q, url) or not j.f.worker then
            return nil
        end
        local own = redis.pcall('HGET', key_of(q, 'worker:' .. j.f.worker), 'store')
        return type(own) == 'string' and tidy(own) == url and url or nil
    end
end
