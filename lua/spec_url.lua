-- What a URL in a spec may be; queue/spec_grammar.c has the same in C.

-- http or https, a host, and no name or password in front of it.
local function spec_is_url(text)
    local authority = not text:find('[\\#]') and text:match('^https?://([^/?]*)')
    if not authority then
        return false
    end
    local host, port = authority:match('^(%[[%x:.]+%])(.*)$')
    if not host then
        host, port = authority:match('^([%w._-]+)(.*)$')
    end
    if not host or port == '' then
        return host ~= nil
    end
    local number = tonumber(port:match('^:(%d%d?%d?%d?%d?)$'))
    return number ~= nil and number > 0 and number < 65536
end
