/*
 * One of the three programs that `stoker up` runs: started, told ready, started again
 * with backoff when it dies, and stopped.
 *
 *	DOWN ─start→ STARTING ─ready→ READY ─dies→ WAITING ─backoff→ STARTING …
 *	any ─stop→ STOPPING ─gone→ DOWN
 *
 * Ready is what it says on its --ready-fd, or, for Redis, its answer to PING. When it dies
 * before it was ever ready it is not started again: that is a mistake to be told.
 */
#ifndef STOKER_CLI_UP_CHILD_H
#define STOKER_CLI_UP_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/child.h"
#include "lib/error.h"

#define UP_CHILD_READY_FD 3 /* what to give as --ready-fd */

enum up_child_state { UP_CHILD_DOWN, UP_CHILD_STARTING, UP_CHILD_READY, UP_CHILD_WAITING, UP_CHILD_STOPPING };

struct up_child;

struct up_child_options {
	struct event_base *base;
	const char *name;         /* "the worker", for people */
	const char *log;          /* its output is appended to this file */
	const char *probe_socket; /* ready when PING is answered here; NULL: it has a --ready-fd */
	int lock_fd;              /* kept open in the child; -1: none */
	int death_signal;         /* when stoker up itself dies */
	/* After every change of its state, from the event loop. */
	void (*on_change)(void *arg, struct up_child *child);
	void *arg;
};

struct up_child *up_child_new(const struct up_child_options *options);
void up_child_free(struct up_child *child);

/* The program and its arguments, copied: from the next start on. */
void up_child_args(struct up_child *child, const char *const *argv, size_t count);

bool up_child_start(struct up_child *child, struct error *err) MUST_CHECK;
/* Sends the signal; SIGKILL follows after patience_ms (0: never). Does nothing when it is down. */
void up_child_stop(struct up_child *child, int signal_number, int64_t patience_ms);

enum up_child_state up_child_state(const struct up_child *child);
const char *up_child_name(const struct up_child *child);
bool up_child_was_started(const struct up_child *child);
bool up_child_was_ready(const struct up_child *child); /* at least once */
/* The value of NAME=value among what it said when it was ready; "" if there is none. To be freed. */
char *up_child_said(const struct up_child *child, const char *name);
/* How it ended last: "exit 1", "signal 9 (SIGKILL)". */
const char *up_child_ended(const struct up_child *child);
/* The last lines that it wrote since its last start, at most lines; to be freed. */
char *up_child_last_lines(const struct up_child *child, int lines);

#endif
