/*
 * What is done after a runner that died without having reported: kill every process
 * of its run until none is left, send the tail of its log, report the attempt lost
 * until Redis has answered, and put its folder away. In this order: a second program
 * of the job can be started only after the report.
 */
#ifndef STOKER_WORKER_LOST_H
#define STOKER_WORKER_LOST_H

#include <event2/event.h>
#include "queue/jobs.h"
#include "worker/run_folder.h"

struct lost;

struct lost_options {
	struct event_base *base;
	struct jobs *jobs;
	const char *how; /* the runner ended; of the call only */
	const char *folder;
	const struct run_record *record; /* must outlive the object */
	void (*on_done)(void *arg);      /* once */
	void *arg;
};

struct lost *lost_new(const struct lost_options *options);
void lost_free(struct lost *lost);

#endif
