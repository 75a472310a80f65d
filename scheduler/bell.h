/*
 * The bell of the inboxes: one blocking read of all of them, on a connection of its own,
 * so that an entry is taken at once. Nothing depends on it: the tick looks, too.
 *
 * What an app puts in may be of any size, and the read would carry it here: such an answer
 * costs the connection, and counts as a ring (BELL_REPLY_MAX).
 */
#ifndef STOKER_SCHEDULER_BELL_H
#define STOKER_SCHEDULER_BELL_H

#include <event2/event.h>
#include "queue/jobs.h"

struct bell;

/* options: of the scheduler's own connection. */
struct bell *bell_new(struct event_base *base, struct jobs *jobs, const struct jobs_options *options,
		      struct error *err);

/* After jobs_free of the scheduler's connection, which ends its calls. */
void bell_free(struct bell *bell);

#endif
