/*
 * What jobs of all queues were lent and still have: a job of any of them may go on from a
 * checkpoint of one that is gone. Those in Redis, and with the archive those in it as well.
 */
#ifndef STOKER_SCHEDULER_GC_LENT_H
#define STOKER_SCHEDULER_GC_LENT_H

#include "scheduler/gc_archived.h"

/* Adds to lent (gc_lent), which must live until fn was called. archive NULL: only what Redis has. */
void gc_lent_gather(struct jobs *jobs, struct archive *archive, json_t *lent, gc_archived_fn *fn, void *arg);

#endif
