/*
 * How long a program may be silent before it counts as stalled: pure.
 *
 * What a run has shown so far decides: six times its slowest recent step. That holds while it goes
 * from step to step. Before its first steps (it loads, compiles), nothing is known of it and it has the
 * whole stall_timeout; after a word that is no step (it evaluates, saves) or while it computes in
 * silence it has ten times as long.
 *
 * Recent means the last ten minutes to twenty, and at least the last 16 steps.
 */
#ifndef STOKER_WORKER_STALL_H
#define STOKER_WORKER_STALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stall_window {
	int64_t since_ms;
	int64_t slowest_ms; /* the longest time from one step to the next */
	size_t count;       /* of such times */
};

struct stall {            /* all zero at the start */
	int64_t heard_ms; /* the newest output, metric, step, checkpoint or heartbeat */
	int64_t step_ms;  /* the newest step; 0: none yet */
	struct stall_window now, before;
};

void stall_heard(struct stall *stall, int64_t now_ms);
void stall_step(struct stall *stall, int64_t now_ms); /* it reported a step that is not the one before */

struct stall_bounds {
	int64_t least_ms; /* that is waited when the steps are fast */
	int64_t most_ms;  /* stall_timeout of the spec */
};

/* How long the silence since heard_ms may last. computes: the program uses a processor meanwhile. */
int64_t stall_limit(const struct stall *stall, const struct stall_bounds *bounds, bool computes);
/* The slowest recent step; 0: not known yet. */
int64_t stall_slowest(const struct stall *stall);

#endif
