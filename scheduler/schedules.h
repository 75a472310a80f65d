/*
 * Fires the schedules of a queue that are due: asks which, works out for which due time
 * each fires and when it is due next (queue/schedule.h), and has stoker_fire do it. Any
 * number of schedulers may do so at the same time: each due time is fired by one.
 */
#ifndef STOKER_SCHEDULER_SCHEDULES_H
#define STOKER_SCHEDULER_SCHEDULES_H

#include "queue/jobs.h"

/* fn: how many were handled, and the ms until the next is due (0: there is more to do at once). What one of
 * them was refused for does not keep the others: the error is the first. */
void schedules_fire(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg);

#endif
