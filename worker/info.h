/*
 * What a worker says of itself with every heartbeat: the JSON object of stoker_worker.
 */
#ifndef STOKER_WORKER_INFO_H
#define STOKER_WORKER_INFO_H

#include "lib/buf.h"
#include "worker/runs.h"
#include "worker/slots.h"

struct worker_info {
	const char *host;
	const char *state; /* up, draining, gone */
	const char *why;   /* it drains itself; UTF-8, or "" */
	const struct slots *slots;
	const char *labels_json;
	const struct runs *runs;
	const char *state_dir;
	const char *store; /* that was given; NULL: it is in the state folder */
};

void worker_info_json(const struct worker_info *info, struct buf *into);

/* READY=1, with what `stoker up` shows of this worker. */
void worker_info_ready(const char *id, const struct slots *slots, int64_t ready_fd);

#endif
