/*
 * Pages of the transcripts of a job's attempts (queue/transcript.h). Its calls block:
 * they belong into helper processes.
 */
#ifndef STOKER_SCHEDULER_TRANSCRIPT_READ_H
#define STOKER_SCHEDULER_TRANSCRIPT_READ_H

#include <jansson.h>
#include "queue/transcript.h"
#include "scheduler/archive_store.h"

struct transcript_query {
	int64_t n;
	char uid[64]; /* "": that of the job in the archive */
	enum transcript_part part;
	struct entry_place after;  /* only what comes behind this line or point */
	struct entry_place before; /* and before this one; attempt 0: to the end */
	int64_t limit;             /* entries */
};

/* Adds a JSON list of entries, all of one attempt: what follows first. A page may be shorter than limit and go on; it
 * is empty when there is nothing. */
bool transcript_page(const struct archive_place *place, const struct transcript_query *query, struct buf *text,
		     struct error *err) MUST_CHECK;
/* The same of a job in the archive: from what was archived of the stream, and from the transcripts what that lacks.
 * ERR_NOT_FOUND: the job is not in the archive. */
bool transcript_archived_page(const struct archive_place *place, const struct transcript_query *query, struct buf *text,
			      struct error *err) MUST_CHECK;

/* A page that says of what stands in front of an entry, and cannot be read, that it is missing; NULL: nothing says how
 * much that is, or that it is. */
json_t *transcript_gap(const struct transcript_query *query, const json_t *next, const struct error *why);

/* Nothing can stand between the place and an entry that is the first of all that are there. */
bool transcript_is_next(const struct entry_place *after, const struct entry_place *first);
/* How many of the entries come before the next gap; one at the very front counts like any other. */
size_t transcript_whole(const json_t *entries);

#endif
