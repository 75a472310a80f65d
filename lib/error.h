/*
 * One error value for the whole project: caller-owned, fixed size, no allocation.
 *
 * message says what failed, on which object and why; hint says what to do next.
 * Both are lower case and blame nobody. kind maps once to an HTTP status, a
 * process exit code and whether trying again can help (error_kind_of).
 *
 * A fallible function returns bool, takes `struct error *err` last and fills it
 * exactly when it returns false. err may be NULL where the caller does not care.
 * Return an error or log it, never both: the top of the stack logs.
 */
#ifndef STOKER_LIB_ERROR_H
#define STOKER_LIB_ERROR_H

#include <stdbool.h>
#include "lib/cleanup.h"

enum error_kind {
	ERR_NONE = 0,
	ERR_INPUT,       /* what was given is not valid: nothing was changed */
	ERR_NOT_FOUND,   /* the named object does not exist */
	ERR_CONFLICT,    /* it exists, but its state does not allow this */
	ERR_STALE,       /* the fencing token is not the current one */
	ERR_AUTH,        /* not allowed, or not known */
	ERR_FULL,        /* a stated bound is reached: later it may work */
	ERR_UNAVAILABLE, /* the other side cannot be reached: nothing was changed */
	ERR_UNKNOWN,     /* the connection died: it may or may not have happened */
	ERR_TIMEOUT,     /* not in time */
	ERR_DAMAGED,     /* stored data does not verify */
	ERR_SYSTEM,      /* the operating system said no */
	ERR_INTERNAL,    /* a defect of ours */
	ERR_KINDS
};

struct error_kind_row {
	const char *name; /* stable word for programs, e.g. "not-found" */
	int http_status;  /* RFC 9110 */
	int exit_code;    /* of the stoker command */
	bool can_retry;   /* the same call may succeed later */
	const char *help; /* one line for the docs */
};

struct error {
	enum error_kind kind;
	char message[512];
	char hint[256];
};

/* The row of a kind; an unknown kind answers ERR_INTERNAL's. */
const struct error_kind_row *error_kind_of(enum error_kind kind);

/* The kind whose row has this name; ERR_INTERNAL if there is none. */
enum error_kind error_kind_from_name(const char *name);

/* Fills err and returns false, so that a caller can `return error_set(…)`.
 * hint may be NULL. What does not fit is cut, never written past the end. */
bool error_set(struct error *err, enum error_kind kind, const char *hint, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Puts context in front: "<context>: <message>". Returns false. */
bool error_wrap(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* As error_set, with ": <strerror(errno)>" appended to the message. */
bool error_errno(struct error *err, enum error_kind kind, const char *hint, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* The same of what a disk of this machine refused: ERR_FULL when there is no room on it, else ERR_SYSTEM. */
bool error_disk(struct error *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
