/*
 * `stoker up`: a private Redis, a scheduler and a worker, started in this order and kept
 * running; drained in the other order. One struct holds everything; up_step looks at
 * the three and does what comes next.
 *
 *	start   redis ready → scheduler ready → worker ready → state file, "ready in 0.4 s"
 *	stop    worker drains → scheduler → redis → state file gone
 */
#ifndef STOKER_CLI_UP_H
#define STOKER_CLI_UP_H

#include "cli/cli.h"

struct up_options {
	int64_t port; /* 0: any free one */
	const char *cpus;
	const char *memory;
	const char *gpus;
	const char *queues;
	struct arg_list worker_args; /* handed to stoker-worker as they are */
};

/* Runs until it is told to stop (SIGINT, SIGTERM, SIGHUP) and everything has ended. */
bool up_run(struct cli *cli, const struct up_options *options, struct error *err) MUST_CHECK;

#endif
