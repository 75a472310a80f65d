/*
 * Following: what happens to jobs and queues, from the very first entry, live, to the end, as newline-delimited JSON
 * or as server-sent events (docs/http.md, Following). The hub knows all clients, and what is published; what a client
 * is sent of one job or queue is scheduler/follower.h.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_H
#define STOKER_SCHEDULER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/http_server.h"
#include "queue/jobs.h"
#include "scheduler/follower.h"

struct follow_hub;

/* subscriber is owned by the hub from now on. */
struct follow_hub *follow_hub_new(struct event_base *base, struct jobs *jobs, struct redis *subscriber);
/* What has left Redis is read there. */
void follow_hub_archive(struct follow_hub *hub, struct archive *archive);

/* Redis is back: everybody looks again. */
void follow_hub_wake(struct follow_hub *hub);

/* Ends every stream without an end line: the reader comes back. */
void follow_hub_stop(struct follow_hub *hub);

/* After jobs_free, which ends its calls. */
void follow_hub_free(struct follow_hub *hub);

enum { FOLLOW_TOPICS_MAX = 32 };

struct follow_options {
	struct follower_options topics[FOLLOW_TOPICS_MAX];
	size_t count;
	bool is_sse;
	const char *last_id; /* of the event that the client saw last; NULL: it sees all */
};

/* Takes the reply. An unknown job is answered with a problem, before any stream begins. */
void follow_start(struct follow_hub *hub, const struct follow_options *options, struct http_reply *reply);

#endif
