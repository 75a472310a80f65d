/*
 * Sends the deliveries of webhooks. Redis says which are due and hands each to one
 * scheduler at a time, for the length of a lease (lua/delivery.lua); this sends them and
 * tells how it went. It keeps nothing: one that is killed has used up a try of what was
 * under way, and another takes it when the lease is over.
 *
 * Bounds: WEBHOOKS_MAX under way, of which one receiver has a few, so that one that is
 * slow holds up nobody else.
 */
#ifndef STOKER_SCHEDULER_WEBHOOKS_H
#define STOKER_SCHEDULER_WEBHOOKS_H

#include <event2/event.h>
#include "queue/jobs_webhooks.h"

struct webhooks;

struct webhooks_options {
	struct event_base *base;
	struct jobs *jobs;
	const char *allow; /* ranges of addresses beside the public ones; NULL: none */
	const char *ca_file;
	int64_t timeout_ms;
};

/* NULL: allow is wrong. */
struct webhooks *webhooks_new(const struct webhooks_options *options, struct error *err);

/* Something is due in this queue. */
void webhooks_look(struct webhooks *webhooks, const char *queue);

/* After jobs_free, which ends its calls. */
void webhooks_free(struct webhooks *webhooks);

#endif
