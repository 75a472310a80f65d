/*
 * The tick: for every queue of stoker:queues, promote what is due, reap what was
 * lost, fire the schedules that are due, take what came into inboxes, make deliveries of
 * events, prune what is finished and past its bound; and make the queues that were
 * asked for by SADD, and `default`.
 *
 * One timer sleeps until the next due time, at most 1 s, since a client may submit
 * behind the scheduler's back. All calls of a tick are sent at once; the next tick
 * begins only after every one of them ended, so that a slow Redis never piles them up.
 */
#ifndef STOKER_SCHEDULER_TICKER_H
#define STOKER_SCHEDULER_TICKER_H

#include <event2/event.h>
#include "queue/jobs.h"
#include "scheduler/archive.h"
#include "scheduler/webhooks.h"

struct ticker;

/* installation: the id for new queues, owned by the caller; while it is "" there are no ticks.
 * on_first: after the first whole tick, when `default` is there. */
struct ticker_options {
	struct event_base *base;
	struct jobs *jobs;
	const char *installation;
	struct webhooks *webhooks;
	struct archive *archive; /* NULL: what is past its bound is dropped */
	const char *store;       /* URL; NULL: there is none */
	void (*on_first)(void *arg);
	void *arg;
};

struct ticker *ticker_new(const struct ticker_options *options);

/* Ticks now (or right after the one under way): something changed. */
void ticker_wake(struct ticker *t);

struct ticker_state {
	const char *failure; /* why the last tick failed; "": it did not. Until the next call of the loop */
	int64_t good_ms_ago; /* since one did not; -1: none yet */
};
void ticker_look(const struct ticker *t, struct ticker_state *state);

/* A job of this number was made there: Redis is told, should it not know of it any more. */
void ticker_saw(struct ticker *t, const char *queue, int64_t n);

/* After jobs_free, which ends its calls. */
void ticker_free(struct ticker *t);

#endif
