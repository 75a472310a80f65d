#include "queue/redis_error.h"

#include <string.h>

struct redis_error_row {
	const char *code;
	enum error_kind kind;
	bool is_ours; /* said by a function of ours: the sentence stands for itself */
	const char *hint;
};

static const struct redis_error_row redis_errors[] = {
	{ "INVALID", ERR_INPUT, true, NULL },
	{ "NOQUEUE", ERR_NOT_FOUND, true, NULL },
	{ "NOTFOUND", ERR_NOT_FOUND, true, NULL },
	{ "CONFLICT", ERR_CONFLICT, true, NULL },
	{ "STALE", ERR_STALE, true, NULL },
	{ "FULL", ERR_FULL, true, NULL },
	{ "NOAUTH", ERR_AUTH, false, "the redis URL needs a user and a password" },
	{ "WRONGPASS", ERR_AUTH, false, "check the user and the password in the redis URL" },
	{ "NOPERM", ERR_AUTH, false, "the ACL of this Redis user must allow it" },
	{ "OOM", ERR_UNAVAILABLE, false, "Redis is full: raise maxmemory, or let finished jobs go" },
	{ "MISCONF", ERR_UNAVAILABLE, false, "Redis cannot write to its disk: see its log" },
	{ "LOADING", ERR_UNAVAILABLE, false, "Redis is loading its data: it will answer soon" },
	{ "READONLY", ERR_UNAVAILABLE, false, "this Redis is a replica: name the primary in the redis URL" },
	{ "MASTERDOWN", ERR_UNAVAILABLE, false, "this Redis is a replica that has lost its primary" },
	{ "NOREPLICAS", ERR_UNAVAILABLE, false, "Redis waits for replicas (min-replicas-to-write)" },
	{ "BUSY", ERR_UNAVAILABLE, false, "a script of somebody keeps Redis busy" },
	{ "CLUSTERDOWN", ERR_UNAVAILABLE, false, NULL },
	{ "TRYAGAIN", ERR_UNAVAILABLE, false, NULL },
	{ "UNBLOCKED", ERR_UNAVAILABLE, false, NULL },
	{ "DENIED", ERR_AUTH, false, "set a password there, or switch protected-mode off" },
	{ "ERR max number of clients", ERR_UNAVAILABLE, false, "raise maxclients in Redis" },
	{ "ERR Function not found", ERR_INTERNAL, false, "the function library in this Redis lacks it" },
	{ "ERR unknown command", ERR_INTERNAL, false, "Redis 7.0 or newer is needed, with FUNCTION and FCALL" },
	{ "MOVED", ERR_UNAVAILABLE, false, "this is a node of a Redis Cluster that does not hold the queue" },
	{ "ASK", ERR_UNAVAILABLE, false, "this is a node of a Redis Cluster that does not hold the queue" },
};

static const struct redis_error_row *redis_error_row(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(redis_errors); i++) {
		size_t code = strlen(redis_errors[i].code);
		if (len >= code && memcmp(text, redis_errors[i].code, code) == 0 && (len == code || text[code] == ' '))
			return &redis_errors[i];
	}
	return NULL;
}

void redis_error_read(const char *where, const char *text, size_t len, struct error *err)
{
	const struct redis_error_row *row = redis_error_row(text, len);
	if (!row || !row->is_ours) {
		error_set(err, row ? row->kind : ERR_INTERNAL, row ? row->hint : NULL, "redis at %s: %.*s", where,
			  (int)(len < 400 ? len : 400), text);
		return;
	}
	const char *sentence = text + strlen(row->code);
	const char *end = text + len;
	while (sentence < end && *sentence == ' ')
		sentence++;
	const char *bar = memmem(sentence, (size_t)(end - sentence), " | ", 3);
	char hint[sizeof err->hint] = "";
	if (bar && snprintf(hint, sizeof hint, "%.*s", (int)(end - bar - 3), bar + 3) < 0)
		hint[0] = '\0';
	error_set(err, row->kind, hint, "%.*s", (int)((bar ? bar : end) - sentence), sentence);
}

bool redis_error_is_missing_function(const char *text, size_t len)
{
	static const char said[] = "ERR Function not found";
	return len >= sizeof said - 1 && memcmp(text, said, sizeof said - 1) == 0;
}
