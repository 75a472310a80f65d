/*
 * The first line of an object of the archive (scheduler/archive_store.h): whose records it has, and where.
 */
#ifndef STOKER_SCHEDULER_ARCHIVE_INDEX_H
#define STOKER_SCHEDULER_ARCHIVE_INDEX_H

#include <jansson.h>
#include "scheduler/archive_store.h"

/* Of these jobs, whose parts are written behind it in this order, a line each. The caller frees it; NULL: err says why.
 */
char *archive_index_make(const struct archive_job *jobs, size_t count, struct error *err);

/* What is in the store others may have written: each row has the fields of a job, and places that are some. */
bool archive_index_is_right(const json_t *index);

/* The row of the job; NULL: it is not there. Borrowed. */
const json_t *archive_index_find(const json_t *index, int64_t n);

#endif
