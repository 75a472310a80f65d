/*
 * Claiming from one queue: waits on the doorbells of the classes that fit what is
 * free now, claims, and hands the claims on.
 *
 * Requests are numbered, and the worker's record in Redis keeps the last number with
 * its answer: after a start the last request is sent once more, so that nothing
 * that was claimed but not started is lost. While it waits, a job may also be handed
 * over: worker/given.h.
 */
#ifndef STOKER_WORKER_CLAIMS_H
#define STOKER_WORKER_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>
#include <event2/event.h>
#include "queue/jobs.h"
#include "worker/slots.h"

struct claims;

/* Queues of one worker offer the same free resources: one asks at a time, else two would be given one place. */
struct claims_turn {
	struct claims *asking; /* its request is on its way */
	struct claims *line;   /* who waits for the turn, first come first */
};

struct claims_options {
	struct event_base *base;
	struct jobs *jobs;              /* for calls that do not block */
	const struct jobs_options *own; /* the doorbell gets a connection of its own */
	struct redis *control;          /* a subscriber; what it hears is passed to claims_hear */
	bool may_be_given;              /* jobs without asking for each: the worker serves no other queue */
	const char *queue;
	const char *worker;
	const char *labels_json;
	const struct slots *slots;
	struct claims_turn *turn; /* the same for all queues of the worker */
	/* sent_boot_ms: when the request was sent. false: this one cannot be started. */
	bool (*on_claim)(void *arg, const struct claim *claim, int64_t sent_boot_ms);
	/* After claims_stop: the request that was on its way has ended. */
	void (*on_stopped)(void *arg);
	void *arg;
};

struct claims *claims_new(const struct claims_options *options, struct error *err);
void claims_free(struct claims *claims);

/* The worker is registered; its last request had this number (0: none yet). Starts claiming. */
void claims_begin(struct claims *claims, int64_t last_request);
/* It may have lost writes while it was away, and think of what runs as queued: for a moment nothing is claimed, so that
 * the runners can offer their attempts back before somebody begins them anew. */
void claims_redis_is_back(struct claims *claims);
/* Something became free, or there is a new class: looks again. */
void claims_look(struct claims *claims);
/* A message of the control connection, which may be meant for another queue: a hint, or a job. */
void claims_hear(struct claims *claims, const char *channel, const char *text, size_t len);
/* No new claims from now on; a request on its way is still answered, and an offer is taken back. */
void claims_stop(struct claims *claims);
void claims_resume(struct claims *claims);
bool claims_is_stopped(const struct claims *claims);
bool claims_is_idle(const struct claims *claims); /* no request is on its way */

#endif
