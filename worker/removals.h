/*
 * The stored checkpoints that are to be removed: a short list with retries, one at work
 * at a time. What fails is tried again later, and later still.
 */
#ifndef STOKER_WORKER_REMOVALS_H
#define STOKER_WORKER_REMOVALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct removal {
	char *id;
	char *summary; /* NULL: unknown */
	bool is_told;  /* the runner waits for the answer */
	int64_t retry_ms;
	int64_t backoff_ms;
};

struct removals { /* zeroed: empty */
	struct removal *items;
	size_t count;
};

void removals_done(struct removals *r);

/* An id that is in the list already is not added again. */
void removals_push(struct removals *r, const char *id, const char *summary, bool is_told);

/* Brings the first that is due to the front and answers it; NULL when none is: then *due_ms is when the next will be
 * (-1: none waits). */
struct removal *removals_next(struct removals *r, int64_t now_ms, int64_t *due_ms);

/* The front one is done with. */
void removals_pop(struct removals *r);

#endif
