/*
 * Metrics in the plain output of programs: pure, so that it can be tested by a
 * table of lines that real frameworks print.
 *
 * Taken: key=value and "key: value" pairs, JSON objects and Python dicts (also bare
 * NaN, Infinity and nan, inf), and the position as "step 200/2000", "Epoch 3/10",
 * "step=7". Not taken: what only looks like it, as addresses, paths, times, versions.
 */
#ifndef STOKER_WORKER_METRIC_LINES_H
#define STOKER_WORKER_METRIC_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRIC_VALUES_MAX 64
#define METRIC_NAME_MAX   64

struct metric_value {
	char name[METRIC_NAME_MAX + 1]; /* [A-Za-z_][A-Za-z0-9_./-]* */
	double value;                   /* may be NaN or infinite */
};

struct metric_point {
	int64_t step;  /* -1: not said */
	int64_t total; /* steps in all; -1: not said */
	double epoch;  /* NaN: not said */
	size_t count;
	struct metric_value values[METRIC_VALUES_MAX];
};

void metric_point_init(struct metric_point *point);
/* A later value of one name wins. false: no valid name, or there are too many. */
bool metric_point_add(struct metric_point *point, const char *name, size_t len, double value);
/* "step=120 steps=5000": the number of all steps beside the step is the total, not a value. */
void metric_point_settle(struct metric_point *point);
const struct metric_value *metric_point_find(const struct metric_point *point, const char *name);

/* true: the line says at least one value, or a position. Escape sequences of terminals are skipped. */
bool metric_lines_parse(const char *line, size_t len, struct metric_point *point);

/* A number as programs print it: 0.5, 1e-3, nan, NaN, inf, -Infinity, 1,024.5 not. All of text must match. */
bool metric_lines_number(const char *text, size_t len, double *value);

#endif
