/*
 * Ended runs whose transcript the store does not have yet: the folders in <state>/owed/.
 * A helper writes them one after the other, and each moves to finished/ when the store has it. A
 * store that is away is tried again; a worker that starts again finds the folders where
 * they are. Only so many wait: beyond that the oldest are given up, and said.
 *
 * Not every run owes one: what Redis surely has whole goes with the job's record.
 */
#ifndef STOKER_WORKER_OWED_H
#define STOKER_WORKER_OWED_H

#include <stdbool.h>
#include <event2/event.h>

struct owed;

struct owed_options {
	struct event_base *base;
	const char *state_dir; /* these must outlive it */
	const char *store;
	void (*on_paid)(void *arg); /* some folder has moved to finished/ */
	void (*on_idle)(void *arg); /* nothing is owed, or nothing can be paid now */
	void *arg;
};

struct owed *owed_new(const struct owed_options *options);
void owed_free(struct owed *owed);

/* There may be some. Cheap when there is none. */
void owed_look(struct owed *owed);
/* Something is being written. */
bool owed_is_busy(const struct owed *owed);

#endif
