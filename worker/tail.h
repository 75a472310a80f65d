/*
 * The tail of a dead run's log: what its runner had in the spool but not yet in
 * Redis. Sent by the worker before the loss is reported, since those lines may say
 * what happened. A help, no promise: it gives up when Redis does not take it, or when
 * the log is too large to look for the place.
 */
#ifndef STOKER_WORKER_TAIL_H
#define STOKER_WORKER_TAIL_H

#include <event2/event.h>
#include "queue/jobs.h"

struct tail;

/* ref must outlive it. on_done: once, not from within. NULL: there is nothing to send. */
struct tail *tail_new(struct event_base *base, struct jobs *jobs, const struct attempt_ref *ref, const char *folder,
		      void (*on_done)(void *arg), void *arg);
void tail_free(struct tail *tail);

#endif
