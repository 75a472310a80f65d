/*
 * The runner: a process that owns exactly one attempt, from its claim to its final
 * report. It is forked from the worker without an exec, leads a session of its own
 * and outlives the worker.
 *
 * It restores the checkpoint, starts the program, keeps the lease, passes on output
 * and metrics, ships checkpoints, stops the program when asked, and reports the end
 * until Redis has answered. When it dies, its program dies with it.
 *
 * One may be forked before its job is there (worker/spare.h): then it waits, and is
 * told its run by a message.
 */
#ifndef STOKER_WORKER_RUNNER_H
#define STOKER_WORKER_RUNNER_H

#include <signal.h>
#include <event2/event.h>
#include "lib/log.h"
#include "queue/jobs.h"
#include "worker/backend.h"
#include "worker/cache.h"
#include "worker/run_folder.h"

struct runner_settings { /* the same for all runs of a worker */
	const struct jobs_options *jobs;
	const char *worker; /* its id */
	const char *store;
	bool is_marked; /* store_expect: as the heartbeats say by now */
	struct cache checkpoint_cache;
	const char *code_dir; /* worker/code_cache.h */
	int64_t code_cache_bytes;
	struct backend_settings backend;
	enum log_level log_level;
	bool log_json;
	int64_t stall_least_ms; /* worker/stall.h */
	int64_t soon_ms;        /* a program that dies so soon after its start tells the breaker (worker/breaker.h) */
};

struct runner_task {
	const struct runner_settings *settings;
	const struct run_record *record; /* NULL: a spare */
	const char *folder;              /* absolute; of a spare until it is called */
	int lock_fd;                     /* held until the process ends */
	int call_fd; /* of a spare: one message, the folder's name from then on; its end: not needed */
};

/* The signals that the runner listens for: to be blocked when it is forked. */
void runner_signals(sigset_t *set);

/* The whole life of a runner; its answer is the exit status: an enum run_end, or 1: it could not do its work. task is a
 * struct runner_task. For child_fork. */
int runner_main(struct event_base *base, void *task);

#endif
