/*
 * Figures as Prometheus reads them: the text exposition format, and histograms to measure with.
 *
 * A family is opened once, then has its samples: prometheus_family, then prometheus_sample for each set of labels.
 */
#ifndef STOKER_LIB_PROMETHEUS_H
#define STOKER_LIB_PROMETHEUS_H

#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"

enum { HISTOGRAM_BOUNDS = 12 };

/* How long things take, in seconds. The bounds are powers of a step from the first on; what is above the last counts in
 * the sum and the count alone. */
struct histogram {
	double first, step;
	uint64_t counts[HISTOGRAM_BOUNDS]; /* each without those of smaller bounds */
	uint64_t count;
	double sum;
};
void histogram_add(struct histogram *h, double seconds);

enum prometheus_type { PROMETHEUS_GAUGE, PROMETHEUS_COUNTER, PROMETHEUS_HISTOGRAM };

struct prometheus_label {
	const char *name; /* NULL: there is none */
	const char *value;
};

void prometheus_family(struct buf *out, const char *name, enum prometheus_type type, const char *help);
/* Two labels at most: {NULL} for those that are not needed. */
void prometheus_sample(struct buf *out, const char *name, struct prometheus_label a, struct prometheus_label b,
		       double value);
void prometheus_histogram(struct buf *out, const char *name, struct prometheus_label label, const struct histogram *h);

#endif
