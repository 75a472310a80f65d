/*
 * The metrics of a job, point by point from the API, as one series a name.
 */
#ifndef STOKER_CLI_SERIES_H
#define STOKER_CLI_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "lib/buf.h"

struct series {
	char *name;
	int64_t *steps;
	double *values;
	size_t count;
	size_t capacity;
};

struct series_resume {
	int64_t attempt;
	int64_t step;
};

struct series_set {
	bool keeps_superseded; /* what a later attempt went over again, too */
	struct series *items;  /* in the order in which they appeared */
	size_t count;
	struct series_resume *resumes; /* attempts that went on from a checkpoint */
	size_t resume_count;
};

void series_add_entry(struct series_set *set, const json_t *entry);
/* One line a series:
 * loss   4.31 ▇▆▅▄▃▃▂▂▁▁ 1.482   (2000 points, lowest 1.479; attempt 2 from step 200) */
void series_print(const struct series_set *set, struct buf *into);
void series_set_done(struct series_set *set);

#endif
