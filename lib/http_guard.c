#include "lib/http_guard.h"

#include <string.h>
#include <strings.h>
#include "lib/buf.h"

bool http_guard_token(const char *authorization, const char *token)
{
	static const char scheme[] = "Bearer ";
	if (!authorization || !token || !*token)
		return false;
	if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
		return false;
	const char *given = authorization + sizeof scheme - 1;
	size_t given_len = strlen(given);
	size_t token_len = strlen(token);
	/* Every byte given is looked at, whatever was found before: the time tells the
	 * length of what the caller sent, which the caller knows. */
	volatile unsigned char different = given_len != token_len;
	for (size_t i = 0; i < given_len; i++)
		different = (unsigned char)(different | (given[i] ^ token[i % token_len]));
	return different == 0;
}

/* A host and its port, as parts of a text that is not copied. */
struct http_authority {
	const char *name;
	size_t name_len;
	const char *port; /* "" when there is none */
	size_t port_len;
};

/* name, name:port, [v6] or [v6]:port, in len bytes. */
static bool http_guard_authority(const char *text, size_t len, struct http_authority *into)
{
	size_t name_len = 0;
	if (len > 0 && text[0] == '[') {
		const char *end = memchr(text, ']', len);
		if (!end)
			return false;
		name_len = (size_t)(end - text) + 1;
	} else {
		while (name_len < len && text[name_len] != ':')
			name_len++;
	}
	if (name_len == 0 || (name_len < len && text[name_len] != ':'))
		return false;
	*into = (struct http_authority){ .name = text, .name_len = name_len, .port = "" };
	if (name_len < len) {
		into->port = text + name_len + 1;
		into->port_len = len - name_len - 1;
		for (size_t i = 0; i < into->port_len; i++)
			if (into->port[i] < '0' || into->port[i] > '9')
				return false;
	}
	return memchr(text, '@', len) == NULL;
}

static bool http_guard_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && strncasecmp(a, b, a_len) == 0;
}

/* Is host served by this one entry of the list? */
static bool http_guard_entry(const struct http_authority *host, const char *entry, size_t len)
{
	struct http_authority wanted;
	if (!http_guard_authority(entry, len, &wanted))
		return false;
	return http_guard_same(host->name, host->name_len, wanted.name, wanted.name_len) &&
	       (wanted.port_len == 0 || http_guard_same(host->port, host->port_len, wanted.port, wanted.port_len));
}

static bool http_guard_list(const struct http_authority *host, const char *list)
{
	while (list && *list) {
		list += strspn(list, ", ");
		size_t len = strcspn(list, ", ");
		if (len > 0 && http_guard_entry(host, list, len))
			return true;
		list += len;
	}
	return false;
}

bool http_guard_host(const char *host, const char *allowed)
{
	struct http_authority given;
	if (!host || !http_guard_authority(host, strlen(host), &given))
		return false;
	return http_guard_list(&given, "localhost,127.0.0.1,[::1]") || http_guard_list(&given, allowed);
}

bool http_guard_origin(const char *origin, const char *host)
{
	if (!origin)
		return true;
	const char *name = strstr(origin, "://");
	if (!name || !host)
		return false;
	const char *usual = NULL; /* the port that the scheme stands for */
	if (http_guard_same(origin, (size_t)(name - origin), "http", 4))
		usual = "80";
	else if (http_guard_same(origin, (size_t)(name - origin), "https", 5))
		usual = "443";
	else
		return false;
	name += 3;
	struct http_authority from, to;
	if (!http_guard_authority(name, strlen(name), &from) || !http_guard_authority(host, strlen(host), &to))
		return false;
	struct http_authority *both[] = { &from, &to };
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (both[i]->port_len == 0) {
			both[i]->port = usual;
			both[i]->port_len = strlen(usual);
		}
	return http_guard_same(from.name, from.name_len, to.name, to.name_len) &&
	       http_guard_same(from.port, from.port_len, to.port, to.port_len);
}

bool http_guard_route(const char *pattern, const char *path, struct http_segments *segments)
{
	size_t count = 0;
	for (size_t i = 0; i < HTTP_SEGMENTS_MAX; i++)
		segments->all[i][0] = '\0';
	while (*pattern && *path) {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		size_t len = strcspn(path, "/");
		if (len == 0 || count == HTTP_SEGMENTS_MAX ||
		    !str_format(segments->all[count++], HTTP_SEGMENT_SIZE, "%.*s", (int)len, path))
			return false;
		path += len;
		pattern += strcspn(pattern, "}");
		pattern += *pattern == '}';
	}
	return !*pattern && !*path;
}
