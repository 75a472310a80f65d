#include "worker/detect.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"

#define DETECT_SIGMA     1.4826   /* a standard deviation out of the median absolute deviation of normal noise */
#define DETECT_OF_MEDIAN 0.5      /* the least rise, as a part of the median */
#define DETECT_OF_GAINED (1 / 3.) /* and of what was gained so far */
#define DETECT_EDGE      0.25     /* a rise to this part of the limit, just before, belongs to it */

void detect_init(struct detect *d, const struct detect_rules *rules)
{
	*d = (struct detect){ .rules = *rules, .worst_median = -INFINITY, .onset = -1, .last = -1, .has_steps = true };
	d->good = rules->resumed_at > 0 ? rules->resumed_at : 0;
	if (rules->spike > 0) {
		d->recent = mem_alloc((size_t)rules->window * sizeof *d->recent);
		d->sorted = mem_alloc((size_t)rules->window * sizeof *d->sorted);
	}
}

void detect_done(struct detect *d)
{
	free(d->recent);
	free(d->sorted);
	d->recent = NULL;
	d->sorted = NULL;
}

/* ---- the window ---- */

/* The first place whose value is not below this one. */
static size_t detect_place(const struct detect *d, double value)
{
	size_t low = 0, high = d->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (d->sorted[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The median absolute deviation: from the median outwards, to the middle of the way. */
static double detect_spread(const struct detect *d)
{
	size_t above = detect_place(d, d->median), below = above;
	double away = 0;
	for (size_t passed = 0; passed <= d->count / 2; passed++) {
		double left = below > 0 ? d->median - d->sorted[below - 1] : INFINITY;
		double right = above < d->count ? d->sorted[above] - d->median : INFINITY;
		away = left < right ? left : right;
		if (left < right)
			below--;
		else
			above++;
	}
	return away;
}

static void detect_set_limit(struct detect *d)
{
	size_t half = d->count / 2;
	d->median = d->count % 2 ? d->sorted[half] : (d->sorted[half - 1] + d->sorted[half]) / 2;
	d->worst_median = fmax(d->worst_median, d->median);
	double rise = d->rules.spike * DETECT_SIGMA * detect_spread(d);
	rise = fmax(rise, DETECT_OF_MEDIAN * fabs(d->median));
	rise = fmax(rise, DETECT_OF_GAINED * (d->worst_median - d->median));
	d->limit = d->median + rise;
	d->has_limit = rise > 0; /* all zero: nothing is known of its noise */
}

/* Takes a good report in, instead of the oldest one. */
static void detect_take(struct detect *d, struct detect_report report)
{
	size_t size = (size_t)d->rules.window;
	if (!d->recent)
		return;
	if (d->count == size) {
		size_t old = detect_place(d, d->recent[d->next].value);
		d->count--;
		memmove(&d->sorted[old], &d->sorted[old + 1], (d->count - old) * sizeof *d->sorted);
	}
	size_t place = detect_place(d, report.value);
	memmove(&d->sorted[place + 1], &d->sorted[place], (d->count - place) * sizeof *d->sorted);
	d->sorted[place] = report.value;
	d->count++;
	d->recent[d->next] = report;
	d->next = (d->next + 1) % size;
	if (d->count == size)
		detect_set_limit(d);
}

/* ---- reports ---- */

/* A rise that led to the suspicion belongs to it: the onset is where that began. */
static void detect_begin(struct detect *d, int64_t step)
{
	size_t size = (size_t)d->rules.window;
	double edge = d->median + DETECT_EDGE * (d->limit - d->median);
	d->onset = step;
	for (size_t i = 1; d->has_limit && i <= size; i++) {
		const struct detect_report *before = &d->recent[(d->next + size - i) % size];
		d->good = before->step;
		if (before->value <= edge)
			return;
		d->onset = before->step;
	}
}

static enum detect_verdict detect_suspect(struct detect *d, int64_t step, double value, bool has_moved)
{
	bool is_finite = isfinite(value);
	if (d->verdict == DETECT_GOOD) {
		detect_begin(d, step);
		d->nonfinite = d->outside = 0;
		d->extreme = -INFINITY;
	}
	d->verdict = DETECT_DOUBT;
	d->outside += is_finite && has_moved;
	d->nonfinite = is_finite ? 0 : d->nonfinite + 1;
	d->extreme = is_finite ? fmax(d->extreme, value) : d->extreme;
	if (d->rules.nonfinite && d->nonfinite >= d->rules.nonfinite)
		d->verdict = DETECT_NONFINITE;
	else if (d->outside >= d->rules.reports)
		d->verdict = DETECT_SPIKE;
	return d->verdict;
}

enum detect_verdict detect_note(struct detect *d, int64_t step, double value)
{
	bool is_finite = isfinite(value), has_moved = step > d->last;
	value = d->rules.is_high_good ? -value : value;
	d->has_steps = d->has_steps && step >= 0 && step >= d->last;
	d->last = step;
	if (!is_finite && !d->rules.nonfinite)
		return d->verdict;
	if (!is_finite || (d->has_limit && d->has_steps && value > d->limit))
		return detect_suspect(d, step, value, has_moved);
	d->verdict = DETECT_GOOD;
	d->good = step;
	detect_take(d, (struct detect_report){ value, step });
	return d->verdict;
}

/* ---- the suspicion ---- */

int64_t detect_onset(const struct detect *d)
{
	return d->has_steps ? d->onset : -1;
}

int64_t detect_last_good(const struct detect *d)
{
	return d->has_steps ? d->good : -1;
}

void detect_explain(const struct detect *d, const char *name, char *text, size_t size)
{
	double sign = d->rules.is_high_good ? -1 : 1;
	char since[96] = "";
	if (d->has_steps)
		str_format(since, sizeof since, " since step %" PRId64 " (the last good one: step %" PRId64 ")",
			   d->onset, d->good);
	if (d->verdict == DETECT_NONFINITE)
		str_format(text, size, "%s was not finite in %" PRId64 " reports in a row%s", name, d->nonfinite,
			   since);
	else
		str_format(text, size,
			   "%s was %s %.4g in %" PRId64 " reports in a row, %s to %.4g%s; the median of the %" PRId64
			   " before is %.4g",
			   name, d->rules.is_high_good ? "below" : "above", sign * d->limit, d->outside,
			   d->rules.is_high_good ? "down" : "up", sign * d->extreme, since, d->rules.window,
			   sign * d->median);
}
