/* stoker queues limit and share. */
#ifndef STOKER_CLI_QUEUE_LIMITS_H
#define STOKER_CLI_QUEUE_LIMITS_H

#include "cli/cli.h"

struct queue_limits_options { /* "0" lifts one of them, NULL leaves it as it is */
	const char *max_running;
	const char *max_recovering;
	const char *rate;    /* "100/1m" */
	const char *preempt; /* "on" or "off" */
};
bool queue_limits_set(struct cli *cli, const char *queue, const struct queue_limits_options *o,
		      struct error *err) MUST_CHECK;
bool queue_limits_share(struct cli *cli, const char *queue, const char *tenant, const char *weight,
			struct error *err) MUST_CHECK;

/* "at most 8 at once, 100 in 1m, preempts"; "" when there are none. */
void queue_limits_text(const json_t *queue, char *into, size_t size);

/* "/api/v1/queues/gpu/limits"; NULL when that is no name of a queue. To be freed. */
char *queue_limits_path(const char *queue, const char *verb, struct error *err);

#endif
