/*
 * How a client is sent what it follows: a line of JSON each (application/x-ndjson), or server-sent events
 * (text/event-stream). An event carries as its id how far all of the client's sources are, so that whoever comes
 * back with it (Last-Event-ID) goes on exactly there.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_OUT_H
#define STOKER_SCHEDULER_FOLLOW_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"
#include "lib/http_server.h"

enum { FOLLOW_ID_MAX = 8 * 1024 };

/* Adds how far all of it is. */
typedef void follow_id_fn(void *arg, struct buf *id);

struct follow_out {
	struct http_reply *reply; /* NULL: ended */
	bool is_sse;
	follow_id_fn *id;
	void *arg;
};

void follow_out_start(struct follow_out *out, const struct http_stream_events *events);
/* text: one object. source: the job or queue that it is about. */
void follow_out_say(struct follow_out *out, const char *kind, const char *source, const char *text, size_t len);
/* That somebody is there. */
void follow_out_ping(struct follow_out *out);
/* That the scheduler stops: come back soon. */
void follow_out_bye(struct follow_out *out);

#endif
