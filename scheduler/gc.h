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

struct gc_job {             /* what is known of the job that a unit is named after */
	const json_t *show; /* the document of stoker_show; NULL: it is neither in Redis nor in the archive */
	const json_t *lent; /* URIs that unfinished jobs were lent; NULL: Redis does not have its queue */
	int64_t newest;     /* number of the newest job that Redis has had */
};

struct gc_verdict {
	const char *why;   /* it is to be deleted; NULL: it stays */
	const char *doubt; /* it stays, but somebody should look; NULL: nothing is wrong with it */
	char id[48];       /* of its record in Redis; "": it has none */
};

/* Only what is at least older_ms old goes. */
struct gc_verdict gc_judge(const struct stored_unit *unit, const struct gc_job *job, int64_t now_ms, int64_t older_ms);

#endif
