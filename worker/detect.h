/*
 * Whether a run has gone bad, out of the values of the metric that is watched: pure.
 *
 * Two things are looked for: values that are not finite, some reports in a row; and
 * a spike that lasts: values far above the median of the last good reports, where
 * "far" is a multiple of their spread (median absolute deviation), more than half of
 * the median itself, and more than a third of what was gained since the best of the
 * past; so neither noise, nor a plateau, nor a restart of the learning rate is one.
 *
 * Only reports whose step is above that of the one before are counted for a spike: what an evaluation prints in between
 * under the same name, at one step or with steps of its own, tells nothing of the training.
 *
 * What is suspicious never enters the window, so that a bad run cannot become usual.
 * Until the suspicion is confirmed, or over, the run is in doubt.
 */
#ifndef STOKER_WORKER_DETECT_H
#define STOKER_WORKER_DETECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct detect_rules {
	int64_t nonfinite;  /* so many reports in a row that are not finite; 0: never */
	double spike;       /* so many times the spread above the median; 0: never */
	int64_t window;     /* the good reports that both are taken over; no spike before there are so many */
	int64_t reports;    /* so many in a row make a spike that lasts */
	bool is_high_good;  /* as of an accuracy: then falls are looked for */
	int64_t resumed_at; /* the step that it started from; 0: the beginning */
};

enum detect_verdict { DETECT_GOOD, DETECT_DOUBT, DETECT_NONFINITE, DETECT_SPIKE };

struct detect_report {
	double value;
	int64_t step;
};

struct detect {
	struct detect_rules rules;
	struct detect_report *recent; /* a ring of the good ones */
	double *sorted;               /* their values */
	size_t count, next;
	double worst_median;
	bool has_limit;       /* the window was full */
	double median, limit; /* above it a value is suspicious */
	enum detect_verdict verdict;
	int64_t nonfinite, outside; /* of the suspicion: not finite, in a row; above the limit */
	double extreme;             /* the farthest of them */
	int64_t onset, good, last;  /* steps */
	bool has_steps;             /* they are known, and never fell */
};

void detect_init(struct detect *d, const struct detect_rules *rules);
void detect_done(struct detect *d);

/* A report. step -1: unknown. O(window) at most. After a verdict worse than doubt there is nothing more to ask. */
enum detect_verdict detect_note(struct detect *d, int64_t step, double value);

/* Of a suspicion: the step of its first report, and that of the last report before it which was good (where it
 * started from, if there was none): what was saved at or past that one is not proved to be good, as a loss tells of the
 * weights before its step. -1: unknown, since steps were not said, or fell. */
int64_t detect_onset(const struct detect *d);
int64_t detect_last_good(const struct detect *d);

/* "loss was not finite in 3 reports in a row since step 7 (the last good one: step 6)" */
void detect_explain(const struct detect *d, const char *name, char *text, size_t size);

#endif
