/*
 * Following: newline-delimited JSON of what happens to a job (or to a queue), from the
 * very first entry, live, to the end (docs/http.md, Following).
 *
 * The rule this file protects: nothing is missed and nothing is sent twice. A published
 * message is only a hint to look; what is sent is read from the streams, after the id
 * that was sent last. So a late joiner, a reconnect of Redis and a slow reader (who is
 * simply read for later) are all the same case. The end is sent when the job is final
 * and a read that began after that was known found nothing more.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_H
#define STOKER_SCHEDULER_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/http_server.h"
#include "queue/jobs.h"

struct follow_hub;

/* subscriber is owned by the hub from now on. */
struct follow_hub *follow_hub_new(struct event_base *base, struct jobs *jobs, struct redis *subscriber);

/* Redis is back: everybody looks again. */
void follow_hub_wake(struct follow_hub *hub);

/* Ends every stream without an end line: the reader comes back. */
void follow_hub_stop(struct follow_hub *hub);

/* After jobs_free, which ends its calls. */
void follow_hub_free(struct follow_hub *hub);

struct follow_options {
	const char *queue;
	int64_t n;         /* 0: no job: all events of the queue, without an end */
	const char *after; /* for those: the id of the last event seen; "": from the first */
	bool wants_logs;
	bool wants_metrics;
	bool wants_history; /* of the job: retries, losses, … */
};

/* Takes the reply. An unknown job is answered with a problem, before any stream begins. */
void follow_start(struct follow_hub *hub, const struct follow_options *options, struct http_reply *reply);

#endif
