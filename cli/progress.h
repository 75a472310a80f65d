/*
 * How training goes, in few lines: what `submit --follow` prints of a job that reports
 * steps. One line for a twentieth of the way or every five seconds, and for
 * everything that did not go straight:
 *
 *	step 200/2000   loss 2.713   12.4 steps/s
 *	checkpoint 200 saved
 *	        attempt 1 lost: runner killed (signal 9)
 */
#ifndef STOKER_CLI_PROGRESS_H
#define STOKER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>
#include "cli/entry.h"
#include "lib/buf.h"

struct progress {
	int64_t total; /* steps; 0: not known */
	int64_t step;  /* of the last point */
	int64_t shown_step;
	int64_t shown_ms;
	int64_t attempt;
	int64_t done_before; /* steps executed by earlier attempts */
	int64_t resumed_at;  /* of this attempt */
	double best_loss;
	int64_t best_step;
	bool has_best;
};

/* Appends nothing or a line. */
void progress_metric(struct progress *p, struct entry_id id, const json_t *entry, struct buf *into);
/* What stands behind the outcome: " · 99.1 % productive · best loss 1.482 at step 1983", or nothing. */
void progress_summary(const struct progress *p, struct buf *into);

#endif
