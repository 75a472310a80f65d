/*
 * Where the time of jobs went, and how often it would be best to save: pure readings of what lua/spent.lua keeps.
 *
 * What is lost is training that had to be done again, or was thrown away: `training_ms` is without it. The productive
 * share is that of training in the time that attempts ran, waiting apart.
 */
#ifndef STOKER_SCHEDULER_GOODPUT_H
#define STOKER_SCHEDULER_GOODPUT_H

#include <jansson.h>

/* Of the answer of stoker_show: {"queued_ms","setup_ms" (with "loading_ms", the program's own),"restore_ms",
 * "training_ms","saving_ms","lost_ms","productive":0.93}. To be freed. */
json_t *goodput_of_job(const json_t *show);

/* Of the sums of a queue (`goodput` of stoker_show and stoker_stats): the same without waiting, and "ran_ms", "ends":
 * attempts that did not go straight. To be freed. */
json_t *goodput_of_sums(const json_t *sums);

/* Adds the sums of a queue to those of all. */
void goodput_add(json_t *all, const json_t *sums);

/* How often the job should save: {"every_ms","save_ms","mtbf_ms","ends","ran_ms"}, the square root of twice what a save
 * takes and the time between two ends of the queue (Young). NULL: too little is known. To be freed. */
json_t *goodput_interval(const json_t *show);

#endif
