/*
 * A runner that is there before its job: forked, with its folder, its lock and its
 * spools, asleep on a socket. What a start would cost otherwise, it has paid before.
 *
 * It belongs to its worker: when that dies, the socket ends and so does the spare.
 * Its folder has a dot in front of its name until it gets a run's; from then on
 * it is a runner like any other, and a folder that was named while its worker died
 * is a run whose runner ends at once: lost, as if it had been forked and killed.
 */
#ifndef STOKER_WORKER_SPARE_H
#define STOKER_WORKER_SPARE_H

#include <event2/event.h>
#include "lib/error.h"
#include "worker/runner.h"

struct spare;

struct spare *spare_new(struct event_base *base, const char *state_dir, const struct runner_settings *settings,
			struct error *err);
/* It ends, unless it was called; its folder goes. NULL is fine. */
void spare_free(struct spare *spare);

/* It has died while it waited: of no use. */
bool spare_is_gone(const struct spare *spare);

/* It has made all that it makes in its folder: before that it must not be called. */
bool spare_is_ready(struct spare *spare);

/* Gives it a run. *folder: the run's, to be freed, also when the call fails after the folder got its name (else NULL).
 * *pid: our child, not reaped yet: it is watched by the caller from then on. */
bool spare_call(struct spare *spare, const struct run_record *record, char **folder, pid_t *pid,
		struct error *err) MUST_CHECK;

#endif
