/*
 * One question to several queues at once: the answers come in any order, and when
 * the last one is there the handler goes on with all of them. A failure of any
 * refuses the whole call, except that a queue which does not exist (yet) is left
 * out, unless it was the one asked for.
 */
#ifndef STOKER_SCHEDULER_API_GATHER_H
#define STOKER_SCHEDULER_API_GATHER_H

#include "scheduler/api.h"

enum { GATHER_ANSWERS = 2 };

struct gathered {
	char queue[64];
	json_t *answers[GATHER_ANSWERS]; /* NULL: not asked, or the queue does not exist */
};

/* Sends question number which (0 …) about a queue. */
typedef void api_ask_fn(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg);
/* The answers are valid during the call, in the order of the queues' names. */
typedef void api_gathered_fn(struct api_call *call, const struct gathered *all, size_t count);

struct api_gather_options {
	size_t questions; /* for each queue, at most GATHER_ANSWERS */
	api_ask_fn *ask;
	api_gathered_fn *done;
};

/* About call->queue, or about every queue when that is "". */
void api_gather(struct api_call *call, const struct api_gather_options *options);

/* About workers: what stoker_worker keeps of each, as JSON; and those of all queues, each once, with its `queues`. */
api_ask_fn api_workers_ask;
json_t *api_workers_of(const struct gathered *all, size_t count);

#endif
