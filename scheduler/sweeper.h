/*
 * The jobs of a sweep, into Redis: its batch is made, then they go in page after
 * page, each with a key of its own. What was cut off and is begun again with the same
 * stem goes on where it was, and answers the same.
 */
#ifndef STOKER_SCHEDULER_SWEEPER_H
#define STOKER_SCHEDULER_SWEEPER_H

#include <jansson.h>
#include "queue/jobs.h"
#include "queue/sweep.h"

struct sweeper_options {
	struct jobs *jobs;
	const char *queue;
	const struct sweep *sweep; /* the caller's, until the end */
	const char *stem;          /* what the keys of its jobs begin with */
	const char *actor;
};

/* ids: of all jobs, or of those that are in when err says why the next is not. has_batch: false when not even the batch
 * could be made. err says which job it was. Once. */
typedef void sweeper_fn(void *arg, json_t *ids, bool has_batch, const struct error *err);
void sweeper_run(const struct sweeper_options *options, sweeper_fn *fn, void *arg);

#endif
