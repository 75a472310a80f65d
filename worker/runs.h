/*
 * The runs of this machine: starts a runner for each claim, adopts the runners that
 * an earlier worker left, and cleans up after those that died.
 *
 * The rules it protects: a run is watched by a pidfd on its runner. When that ends
 * without having reported (its folder is still in runs/), every process of the run
 * is killed first, and only when none is left the attempt is reported lost: two
 * programs of one job never overlap here. Nor does an attempt start here while an
 * earlier one, which the reaper gave up, lives: that is killed first. What a run holds of the machine is free
 * only when its lock is free and no process of it is left.
 */
#ifndef STOKER_WORKER_RUNS_H
#define STOKER_WORKER_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <event2/event.h>
#include "lib/buf.h"
#include "lib/error.h"
#include "queue/jobs.h"
#include "worker/breaker.h"
#include "worker/runner.h"
#include "worker/slots.h"

struct runs;

struct runs_options {
	struct event_base *base;
	struct jobs *jobs; /* reports what was lost */
	struct slots *slots;
	const char *state_dir;
	const struct runner_settings *settings; /* of the runners */
	int64_t keep_runs;
	void (*on_ended)(void *arg, const char *job, enum run_end end); /* what a runner's end says of this machine */
	void (*on_freed)(void *arg); /* something became free, or the last run has gone */
	void *arg;
};

struct runs *runs_new(const struct runs_options *options, struct error *err);
void runs_free(struct runs *runs); /* the runners go on */

/* Finds what an earlier worker left: adopts the living, begins to clean up after the dead. */
bool runs_scan(struct runs *runs, struct error *err) MUST_CHECK;

/* Starts the runner of a claim that was sent at claimed_boot_ms. A claim whose run is already here is nothing
 * new, and true. false: it could not be started; the caller gives the attempt back. */
bool runs_start(struct runs *runs, const struct claim *claim, int64_t claimed_boot_ms, struct error *err);

/* Asks every runner to give its job back (SIGTERM); those started later as well, until it is called off. */
void runs_drain(struct runs *runs);
void runs_drain_no_more(struct runs *runs);

size_t runs_count(const struct runs *runs);
/* Nothing runs, and nothing of what ran is being written to the store. */
bool runs_are_over(const struct runs *runs);
/* JSON array of the job ids. */
void runs_list(const struct runs *runs, struct buf *into);

#endif
