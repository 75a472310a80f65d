#include "queue/redis_url.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include "lib/buf.h"

#define REDIS_URL_MAX 8192

static const char redis_url_hint[] = "redis://[user:password@]host[:port][/db], rediss://… or unix:///path[?db=n]";

static bool redis_url_bad(struct error *err, const char *why)
{
	return error_set(err, ERR_INPUT, redis_url_hint, "redis URL: %s", why);
}

static int redis_url_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A new text; NULL if an escape is broken or stands for a NUL. */
static char *redis_url_decode(const char *text, size_t len)
{
	char *plain = mem_alloc(len + 1);
	size_t used = 0;
	for (size_t i = 0; i < len; i++) {
		int high = -1, low = -1;
		if (text[i] != '%') {
			plain[used++] = text[i];
			continue;
		}
		if (i + 2 < len) {
			high = redis_url_hex(text[i + 1]);
			low = redis_url_hex(text[i + 2]);
		}
		if (high < 0 || low < 0 || high + low == 0) {
			free(plain);
			return NULL;
		}
		plain[used++] = (char)(high * 16 + low);
		i += 2;
	}
	return plain;
}

/* A part of the text: [start, end). */
struct redis_url_part {
	const char *start;
	const char *end;
};

static size_t redis_url_len(struct redis_url_part part)
{
	return (size_t)(part.end - part.start);
}

static bool redis_url_take(struct redis_url_part part, char **into, const char *name, struct error *err)
{
	free(*into);
	*into = redis_url_decode(part.start, redis_url_len(part));
	if (!*into)
		return error_set(err, ERR_INPUT, "write % itself as %25",
				 "redis URL: broken percent-encoding in the %s", name);
	return true;
}

/* Digits only, 0 to max. */
static bool redis_url_number(struct redis_url_part part, int max, int *value)
{
	int n = 0;
	if (redis_url_len(part) == 0 || redis_url_len(part) > 5)
		return false;
	for (const char *p = part.start; p < part.end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		n = n * 10 + (*p - '0');
	}
	*value = n;
	return n <= max;
}

static bool redis_url_db(struct redis_url_part part, struct redis_url *url, struct error *err)
{
	if (!redis_url_number(part, 65535, &url->db))
		return redis_url_bad(err, "the database must be a number from 0 to 65535");
	return true;
}

static bool redis_url_query(struct redis_url_part query, struct redis_url *url, struct error *err)
{
	while (query.start < query.end) {
		const char *end = memchr(query.start, '&', redis_url_len(query));
		struct redis_url_part value = { query.start, end ? end : query.end };
		const char *equals = memchr(value.start, '=', redis_url_len(value));
		if (!equals)
			return redis_url_bad(err, "a part of the query is not name=value");
		struct redis_url_part name = { value.start, equals };
		value.start = equals + 1;
		bool fits = false;
		if (redis_url_len(name) == 2 && memcmp(name.start, "db", 2) == 0)
			fits = redis_url_db(value, url, err);
		else if (redis_url_len(name) == 4 && memcmp(name.start, "user", 4) == 0)
			fits = redis_url_take(value, &url->user, "user", err);
		else if (redis_url_len(name) == 8 && memcmp(name.start, "password", 8) == 0)
			fits = redis_url_take(value, &url->password, "password", err);
		else
			redis_url_bad(err, "the query may hold db, user and password only");
		if (!fits)
			return false;
		query.start = end ? end + 1 : query.end;
	}
	return true;
}

static bool redis_url_unix(const char *text, struct redis_url *url, struct error *err)
{
	struct redis_url_part path = { text, text + strcspn(text, "?") };
	if (*text != '/')
		return redis_url_bad(err, "a Unix socket needs an absolute path, with three slashes");
	if (!redis_url_take(path, &url->path, "path", err))
		return false;
	if (strlen(url->path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		return redis_url_bad(err, "the path of the Unix socket is too long (107 bytes at most)");
	if (*path.end == '?' &&
	    !redis_url_query((struct redis_url_part){ path.end + 1, text + strlen(text) }, url, err))
		return false;
	url->where = url->db ? mem_printf("unix://%s?db=%d", url->path, url->db) : mem_printf("unix://%s", url->path);
	return true;
}

static bool redis_url_login(struct redis_url_part login, struct redis_url *url, struct error *err)
{
	const char *colon = memchr(login.start, ':', redis_url_len(login));
	if (!colon)
		return redis_url_bad(err, "before the @ stands user:password or :password");
	struct redis_url_part user = { login.start, colon };
	struct redis_url_part password = { colon + 1, login.end };
	if (redis_url_len(password) == 0)
		return redis_url_bad(err, "the password before the @ is empty");
	if (redis_url_len(user) && !redis_url_take(user, &url->user, "user", err))
		return false;
	return redis_url_take(password, &url->password, "password", err);
}

static bool redis_url_is_host(struct redis_url_part host, bool is_bracketed)
{
	size_t len = redis_url_len(host);
	if (len == 0 || len > 253)
		return false;
	for (const char *p = host.start; p < host.end; p++) {
		bool is_word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			       *p == '.' || *p == '-' || *p == '_';
		if (!is_word && !(is_bracketed && (*p == ':' || *p == '%')))
			return false;
	}
	return true;
}

static bool redis_url_host(struct redis_url_part place, struct redis_url *url, struct error *err)
{
	bool is_bracketed = place.start < place.end && *place.start == '[';
	const char *end = memchr(place.start, is_bracketed ? ']' : ':', redis_url_len(place));
	if (is_bracketed && !end)
		return redis_url_bad(err, "the address lacks its closing bracket");
	struct redis_url_part host = { place.start + is_bracketed, end ? end : place.end };
	if (!redis_url_is_host(host, is_bracketed))
		return redis_url_bad(err, "the host is missing or not a host name or address");
	const char *rest = host.end + is_bracketed;
	int port = 6379;
	if (rest < place.end &&
	    (*rest != ':' || !redis_url_number((struct redis_url_part){ rest + 1, place.end }, 65535, &port) || !port))
		return redis_url_bad(err, "the port must be a number from 1 to 65535");
	url->host = mem_strndup(host.start, redis_url_len(host));
	return str_format(url->port, sizeof url->port, "%d", port) || redis_url_bad(err, "the port is too long");
}

static bool redis_url_tcp(const char *text, struct redis_url *url, struct error *err)
{
	struct redis_url_part place = { text, text + strcspn(text, "/?#") };
	const char *rest = place.end;
	const char *at = memrchr(text, '@', redis_url_len(place));
	if (!at && strchr(rest, '@'))
		return redis_url_bad(err, "a / ? or # in the user or password must be percent-encoded");
	if (at && !redis_url_login((struct redis_url_part){ text, at }, url, err))
		return false;
	if (at)
		place.start = at + 1;
	if (!redis_url_host(place, url, err))
		return false;
	if (*rest == '/' && rest[1] &&
	    !redis_url_db((struct redis_url_part){ rest + 1, rest + strlen(rest) }, url, err))
		return false;
	if (*rest && *rest != '/')
		return redis_url_bad(err, "after the host stands nothing, or / and the database");
	bool is_v6 = strchr(url->host, ':');
	url->where = mem_printf("%s://%s%s%s:%s/%d", url->is_tls ? "rediss" : "redis", is_v6 ? "[" : "", url->host,
				is_v6 ? "]" : "", url->port, url->db);
	return true;
}

static bool redis_url_read(const char *text, struct redis_url *url, struct error *err)
{
	if (!text || !*text)
		return redis_url_bad(err, "it is empty");
	if (strlen(text) > REDIS_URL_MAX)
		return redis_url_bad(err, "it is longer than 8192 bytes");
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return redis_url_bad(err, "a space or control character must be percent-encoded");
	if (strncasecmp(text, "unix://", 7) == 0)
		return redis_url_unix(text + 7, url, err);
	url->is_tls = strncasecmp(text, "rediss://", 9) == 0;
	if (!url->is_tls && strncasecmp(text, "redis://", 8) != 0)
		return redis_url_bad(err, "it starts with none of redis://, rediss:// and unix://");
	return redis_url_tcp(text + (url->is_tls ? 9 : 8), url, err);
}

bool redis_url_parse(const char *text, struct redis_url *url, struct error *err)
{
	*url = (struct redis_url){ 0 };
	if (redis_url_read(text, url, err) && (url->password || !url->user))
		return true;
	if (url->user && !url->password && url->where)
		redis_url_bad(err, "a user without a password");
	redis_url_done(url);
	return false;
}

void redis_url_done(struct redis_url *url)
{
	free(url->path);
	free(url->host);
	free(url->user);
	free(url->password);
	free(url->where);
	*url = (struct redis_url){ 0 };
}
