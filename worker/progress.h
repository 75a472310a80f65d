/*
 * How far a program is and how fast it goes, out of what it reports: pure.
 *
 * The pace is the median of the slopes between every two of the last reports that
 * were kept (Theil and Sen): a pause, or a first step that compiles, does not move
 * it, while what comes back regularly, as an evaluation does, counts for its share.
 * Reports are kept at a distance that grows with the run, from one second to
 * half a minute, so that the pace is that of the last quarter of an hour at most.
 */
#ifndef STOKER_WORKER_PROGRESS_H
#define STOKER_WORKER_PROGRESS_H

#include <stdint.h>
#include <stddef.h>

#define PROGRESS_KEPT 32

struct progress_report {
	int64_t at_ms;
	int64_t step;
};

struct progress {      /* all zero at the start */
	int64_t total; /* 0: not known */
	int64_t gap_ms;
	size_t count;
	struct progress_report kept[PROGRESS_KEPT];
	struct progress_report last;
};

/* A report at now_ms. total -1: it did not say. A step below the last one begins anew. */
void progress_note(struct progress *progress, int64_t now_ms, int64_t step, int64_t total);

/* Milliseconds a step; NaN: not known yet. */
double progress_pace(const struct progress *progress);

#endif
