/*
 * Room on the disk of the state folder: it is looked at every few seconds, and when too little is free,
 * things give way in this order:
 *
 *   1. cached checkpoints, then cached code that nobody uses, the longest unused first, in a process of its own
 *   2. new jobs: changed() says why there is no room; the worker claims nothing until there is some again
 *
 * What runs goes on in either case. When nothing is left at all, that is up to who writes: worker/spool.h leaves
 * out lines and counts them, what is written under a name of its own is there whole or not at all.
 */
#ifndef STOKER_WORKER_ROOM_H
#define STOKER_WORKER_ROOM_H

#include <stdint.h>
#include <event2/event.h>
#include "worker/cache.h"

#define ROOM_WHY_MAX 400

struct room;

struct room_options { /* what it points to outlives it */
	struct event_base *base;
	const char *state_dir;
	struct cache checkpoints;
	const char *code_dir;
	int64_t least_bytes; /* free; of a small disk a twentieth is enough. 0: it is not looked at */
	void (*changed)(void *arg, const char *why); /* NULL: there is room again */
	void *arg;
};

struct room *room_new(const struct room_options *options);
void room_free(struct room *room); /* NULL is fine */

#endif
