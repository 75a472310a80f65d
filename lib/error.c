#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const struct error_kind_row error_kinds[ERR_KINDS] = {
	[ERR_NONE] = { "none", 200, 0, false, "no error" },
	[ERR_INPUT] = { "invalid", 400, 2, false, "bad usage or an invalid value; nothing was changed" },
	[ERR_NOT_FOUND] = { "not-found", 404, 3, false, "the named object does not exist" },
	[ERR_AUTH] = { "forbidden", 401, 4, false, "the token is missing, wrong, or not allowed to do this" },
	[ERR_CONFLICT] = { "conflict", 409, 5, false, "the object's state does not allow this" },
	[ERR_STALE] = { "stale", 409, 5, false, "another attempt has taken over" },
	[ERR_UNAVAILABLE] = { "unavailable", 503, 6, true, "the scheduler, Redis or the store cannot be reached" },
	[ERR_FULL] = { "full", 429, 6, true, "a stated bound is reached; try again later" },
	[ERR_UNKNOWN] = { "unknown", 503, 6, true, "the connection died and the outcome is unknown" },
	[ERR_TIMEOUT] = { "timeout", 504, 7, true, "not done in time" },
	[ERR_DAMAGED] = { "damaged", 500, 8, false, "stored data does not verify" },
	[ERR_SYSTEM] = { "system", 500, 1, true, "the operating system refused" },
	[ERR_INTERNAL] = { "internal", 500, 1, false, "a defect in stoker" },
};

const struct error_kind_row *error_kind_of(enum error_kind kind)
{
	if ((unsigned)kind >= ERR_KINDS || !error_kinds[kind].name)
		kind = ERR_INTERNAL;
	return &error_kinds[kind];
}

enum error_kind error_kind_from_name(const char *name)
{
	for (int i = 0; i < ERR_KINDS; i++)
		if (strcmp(error_kinds[i].name, name) == 0)
			return (enum error_kind)i;
	return ERR_INTERNAL;
}

static void error_text(char *into, size_t size, const char *fmt, va_list args)
{
	if (vsnprintf(into, size, fmt, args) < 0)
		into[0] = '\0';
}

bool error_set(struct error *err, enum error_kind kind, const char *hint, const char *fmt, ...)
{
	if (!err)
		return false;
	va_list args;
	va_start(args, fmt);
	error_text(err->message, sizeof err->message, fmt, args);
	va_end(args);
	err->kind = kind;
	if (snprintf(err->hint, sizeof err->hint, "%s", hint ? hint : "") < 0)
		err->hint[0] = '\0';
	return false;
}

bool error_wrap(struct error *err, const char *fmt, ...)
{
	if (!err)
		return false;
	char context[sizeof err->message];
	char whole[sizeof err->message];
	va_list args;
	va_start(args, fmt);
	error_text(context, sizeof context, fmt, args);
	va_end(args);
	if (snprintf(whole, sizeof whole, "%s: %s", context, err->message) >= 0)
		memcpy(err->message, whole, sizeof whole);
	return false;
}

bool error_errno(struct error *err, enum error_kind kind, const char *hint, const char *fmt, ...)
{
	int saved = errno;
	char what[sizeof err->message];
	va_list args;
	va_start(args, fmt);
	error_text(what, sizeof what, fmt, args);
	va_end(args);
	return error_set(err, kind, hint, "%s: %s", what, strerror(saved));
}

bool error_disk(struct error *err, const char *fmt, ...)
{
	int saved = errno;
	char what[sizeof err->message];
	bool is_full = saved == ENOSPC || saved == EDQUOT || saved == EFBIG;
	va_list args;
	va_start(args, fmt);
	error_text(what, sizeof what, fmt, args);
	va_end(args);
	return error_set(err, is_full ? ERR_FULL : ERR_SYSTEM, is_full ? "make room on that disk" : NULL, "%s: %s",
			 what, strerror(saved));
}
