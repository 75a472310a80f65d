/*
 * How an attempt ended, in the words of `stoker_finish`: a pure judgement on how
 * the program ended and what was asked of it before.
 */
#ifndef STOKER_WORKER_OUTCOME_H
#define STOKER_WORKER_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>
#include "queue/spec.h"
#include "worker/death.h"

enum stop_reason { /* why the runner ended the program; later ones win over earlier ones */
		   STOP_NONE,
		   STOP_PREEMPT,   /* drain, or asked by Redis */
		   STOP_STALLED,   /* nothing was heard of it for stall_timeout */
		   STOP_TIMEOUT,   /* it ran longer than its timeout */
		   STOP_CORRUPTED, /* its watched value is not finite, it said so itself, or somebody flagged it */
		   STOP_CANCEL,
		   STOP_PARTITION, /* on_partition: stop, and Redis cannot be reached */
		   STOP_STALE,     /* somebody else has the job: nothing is reported */
};

#define OUTCOME_ERROR_MAX 400

struct outcome_input {
	enum stop_reason stop; /* asked before the program ended */
	const char *why;       /* of the stop: a sentence, or "" */
	bool was_started;
	struct death death;      /* how it ended; its tail is for the rules, too */
	bool said_done;          /* {"t":"done"}: it had finished its work */
	bool said_corrupted;     /* by its program, or its metrics did; then there is a why */
	const char *failure;     /* why it could not be started; "" */
	bool is_permanent;       /* the failure can never go away */
	const struct spec *spec; /* its rules on what to retry; NULL: none */
};

struct outcome {
	const char *cause; /* of stoker_finish */
	int exit_code;     /* -1: none */
	int signal;        /* 0: none */
	bool is_own_fault; /* error or permanent by what it did, not by what it said of its input */
	char error[OUTCOME_ERROR_MAX];
};

void outcome_of(const struct outcome_input *input, struct outcome *outcome);

#endif
