/*
 * What jobs in the archive were lent and still have: one of them may be done again, and
 * goes on from there, when whose checkpoint it was is long gone. Asked for when gc met jobs
 * that are gone, once a queue: it looks through all of the archive.
 */
#ifndef STOKER_SCHEDULER_GC_ARCHIVED_H
#define STOKER_SCHEDULER_GC_ARCHIVED_H

#include <jansson.h>
#include "scheduler/archive.h"

typedef void gc_archived_fn(void *arg, const struct error *err);

/* Adds to lent (gc_lent), which must live until fn was called. */
void gc_archived_lent(struct archive *archive, const char *queue, json_t *lent, gc_archived_fn *fn, void *arg);

/* Could all of this part of the archive (archive_part_of_all) be read? */
bool gc_archived_is_whole(const json_t *part, struct error *err);

#endif
