/*
 * What in the store nobody needs any more. Decides only; scheduler/api_gc.c asks Redis
 * and the store, and deletes.
 *
 * The rule it protects: what an unfinished job, a younger upload, a borrower or another
 * installation may own is never taken, and where Redis seems to have lost something, nothing
 * of that is.
 */
#ifndef STOKER_SCHEDULER_GC_H
#define STOKER_SCHEDULER_GC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "scheduler/stored_units.h"

struct gc_job {                /* what is known of the job that a unit is named after */
	const json_t *show;    /* the document of stoker_show; NULL: it is neither in Redis nor in the archive */
	const json_t *records; /* gc_records of it */
	const json_t *lent;    /* gc_lent of what jobs were lent; NULL: Redis does not have its queue */
	int64_t newest;        /* number of the newest job that Redis has had */
	int64_t lost;          /* up to which one that was lost had given them out; 0: none was */
};

/* Both are looked up by the key of a unit's manifest: a store may hold many units, and a job or a queue may have many
 * records. The caller owns them. */
json_t *gc_lent(const json_t *uris); /* key → true; NULL stays NULL */
/* What the job of this document (of stoker_show, or a record of the archive) was lent, and what that uses. */
void gc_lent_add(json_t *lent, const json_t *show);
json_t *gc_records(const json_t *show); /* key → {"id", "record"} */

struct gc_verdict {
	const char *why;   /* it is to be deleted; NULL: it stays */
	const char *doubt; /* it stays, but somebody should look; NULL: nothing is wrong with it */
	char id[48];       /* of its record in Redis; "": it has none */
};

/* Only what is at least older_ms old goes. */
struct gc_verdict gc_judge(const struct stored_unit *unit, const struct gc_job *job, int64_t now_ms, int64_t older_ms);

/* An upload that was begun so long ago that it goes on no more. */
bool gc_is_dead(const struct stored_upload *upload, int64_t now_ms, int64_t older_ms);

#endif
