/*
 * The lineage of a job: its attempts, each with the checkpoint that it went on from and how it ended. Put together
 * from the history of the job and its record; nothing is kept for it.
 */
#ifndef STOKER_SCHEDULER_ATTEMPTS_H
#define STOKER_SCHEDULER_ATTEMPTS_H

#include <jansson.h>

/* Of the answer of stoker_show, the oldest first: {"attempt":2,"checkpoint":"1-3","step":300,"onset":351,"worker":"w1",
 * "cause":"corrupted","error":"…","reason":"…","ended_ms":…}; `checkpoint` is "none" for a start from the beginning,
 * and without `cause` it runs, or succeeded (`state`). To be freed. */
json_t *attempts_of(const json_t *show);

#endif
