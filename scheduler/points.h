/*
 * Metric points as the runs left them: a run that resumed at step s made every point
 * of earlier attempts past s void. The entry <attempt>-0 with `resumed_at` says so
 * (docs/protocol.md, Metrics). A pure function, so that charts need no such rule.
 */
#ifndef STOKER_SCHEDULER_POINTS_H
#define STOKER_SCHEDULER_POINTS_H

#include <jansson.h>

/* A new array of the points that hold, without the resumed_at entries. */
json_t *points_merge(const json_t *entries);

#endif
