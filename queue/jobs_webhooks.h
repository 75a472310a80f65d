/*
 * The functions of webhooks: who is told of what, and what is still to be told. Calls as in queue/jobs.h.
 */
#ifndef STOKER_QUEUE_JOBS_WEBHOOKS_H
#define STOKER_QUEUE_JOBS_WEBHOOKS_H

#include "queue/jobs.h"

/* on_json: a list of events, "" for the ends. text is the new id. */
void jobs_webhook_add(struct jobs *jobs, const char *queue, const char *url, const char *on_json, const char *secret,
		      const char *actor, jobs_text_fn *fn, void *arg);
void jobs_webhook_remove(struct jobs *jobs, const char *queue, const char *id, const char *actor, jobs_text_fn *fn,
			 void *arg);
/* Signs the webhooks that jobs bring along. */
void jobs_webhook_secret(struct jobs *jobs, const char *queue, const char *secret, jobs_text_fn *fn, void *arg);
void jobs_webhooks(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* text is the id of the delivery. */
void jobs_webhook_test(struct jobs *jobs, const char *queue, const char *id, jobs_text_fn *fn, void *arg);
void jobs_webhook_dead(struct jobs *jobs, const char *queue, int limit, const char *cursor, jobs_text_fn *fn,
		       void *arg);
void jobs_webhook_delivery(struct jobs *jobs, const char *queue, const char *id, jobs_text_fn *fn, void *arg);

struct delivery {
	const char *id;
	int64_t try;        /* 1 for the first */
	const char *target; /* what shares a receiver */
	const char *url;
	const char *message; /* the same at every try, and for every receiver of the event */
	const char *secret;
	const char *body;
	size_t body_len;
};
struct delivery_request {
	const char *queue;
	int max;
	int64_t lease_ms;
	const char *const *busy; /* targets that get no more for now */
	size_t busy_count;
};
typedef void jobs_deliveries_fn(void *arg, const struct delivery *deliveries, size_t count, const struct error *err);
void jobs_webhook_take(struct jobs *jobs, const struct delivery_request *request, jobs_deliveries_fn *fn, void *arg);

struct delivery_end {
	const char *id;
	int64_t try;
	const char *verdict; /* ok, failed, refused */
	int status;          /* 0: no answer */
	const char *error;
};
/* text: ok, failed (it comes again), dead, stale, gone */
void jobs_webhook_done(struct jobs *jobs, const char *queue, const struct delivery_end *end, jobs_text_fn *fn,
		       void *arg);

/* done: 1 if there are more events to read. */
void jobs_webhook_gather(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg);
/* done: how many go again; next_ms: how many dead are left. id "all": 100 of them. */
void jobs_webhook_resend(struct jobs *jobs, const char *queue, const char *id, jobs_tick_fn *fn, void *arg);

#endif
