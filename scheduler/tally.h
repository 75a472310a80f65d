/*
 * What happens in the queues, counted: read from their streams of events, from the first time that somebody asks on.
 * So it costs nothing where nobody does, and every scheduler counts all of it, whoever did it.
 *
 * A wait is from the submit of a job to its first claim, a run from a claim to what ended it. Of what began before the
 * first asking neither is known.
 */
#ifndef STOKER_SCHEDULER_TALLY_H
#define STOKER_SCHEDULER_TALLY_H

#include <jansson.h>
#include "lib/prometheus.h"
#include "queue/jobs.h"

struct tally;

struct tally *tally_new(struct jobs *jobs);
void tally_free(struct tally *tally); /* after jobs_free, which ends its calls */

/* Counts what came since the last time; then fn is called with "{}", or with why it could not be read. */
void tally_read(struct tally *tally, const char *queue, jobs_text_fn *fn, void *arg);

struct tally_queue {
	struct tally_queue *next;
	char name[64];
	char after[64]; /* the last entry that was counted */
	bool is_begun, is_reading;
	json_t *events;                /* by name: how many jobs it happened to */
	json_t *waiting_ms, *began_ms; /* by job: since when */
	struct histogram wait, run;
};
/* The first of a list, in no order; valid until the next call of the loop. */
const struct tally_queue *tally_all(const struct tally *tally);

/* One entry of the stream events; for tests, too. */
void tally_count(struct tally_queue *q, const json_t *entry);

#endif
