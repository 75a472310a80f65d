/*
 * A client that follows: one answer, and the jobs and queues that it is sent in it.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_CLIENT_H
#define STOKER_SCHEDULER_FOLLOW_CLIENT_H

#include <sys/queue.h>
#include "scheduler/follow_out.h"
#include "scheduler/follower.h"

struct follow_hub;

struct follow_client {
	TAILQ_ENTRY(follow_client) next;
	struct follow_hub *hub;
	struct follow_out out; /* without a reply: ended; the memory goes with the last pending call */
	bool is_started;       /* the stream's header was sent */
	unsigned full_looks;   /* in a row at which it took nothing more */
	struct error failed;   /* why there will be no stream */
	size_t pending;        /* calls of its followers; */
	size_t reading;        /* reads of streams among them */
	char key[16];          /* of what it asked for: an id of another stream is none of this one */
	size_t count;
	size_t turn; /* whose turn to read it is */
	struct follower *followers;
};

/* Pages that are read for one client at a time: what it may cost. */
enum { FOLLOW_READS_MAX = 2 };

/* Reads on for all of it that have something, the next one first. */
void follow_client_pump(struct follow_client *client);
/* After anything that a follower did: begins the stream when all is known, ends it when all is over. May free it. */
void follow_client_settle(struct follow_client *client);

#endif
