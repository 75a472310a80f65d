/*
 * The scheduler daemon as one object: its connection to Redis, the tick, the HTTP
 * server and the followers, and the order in which they start and stop.
 *
 * It keeps nothing that Redis does not have: any number run side by side, and one
 * that is killed is replaced by starting another.
 */
#ifndef STOKER_SCHEDULER_SCHEDULER_H
#define STOKER_SCHEDULER_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>
#include <event2/event.h>
#include <jansson.h>
#include "lib/error.h"
#include "lib/http_server.h"
#include "lib/prometheus.h"
#include "queue/jobs.h"
#include "scheduler/settings.h"

struct archive;
struct follow_hub;
struct stored;
struct bell;
struct tally;
struct ticker;
struct webhooks;

struct scheduler {
	struct event_base *base;
	const struct scheduler_settings *settings;
	struct jobs *jobs;
	struct ticker *ticker;
	struct tally *tally;
	struct histogram round_trips; /* of calls to Redis */
	struct webhooks *webhooks;
	struct archive *archive; /* NULL: there is no store */
	struct stored *stored;   /* likewise */
	struct bell *bell;
	struct follow_hub *follow;
	struct http_server *http;
	struct event *signals[2];
	struct event *stop_timer;
	char *token;           /* NULL: none was given */
	char installation[33]; /* "" until Redis was reached for the first time */
	char found[33];        /* the same, before it is known what is in the store */
	json_t *unasked;       /* queues that were not asked for that yet */
	bool is_down_said;     /* that Redis is away was logged */
	bool is_stopping;
};

/* NULL: err says which setting is wrong. Redis need not be there yet. */
struct scheduler *scheduler_new(struct event_base *base, const struct scheduler_settings *config, struct error *err);

/* Refuses what is new, finishes what is under way (at most 5 s), then ends the loop. */
void scheduler_stop(struct scheduler *s);
void scheduler_free(struct scheduler *s);

/* May requests that need Redis be served? */
bool scheduler_is_ready(const struct scheduler *s);

#endif
