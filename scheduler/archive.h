/*
 * What has ended leaves Redis for the object store (scheduler/archive_store.h), and
 * is read from there.
 *
 * Leaving, a batch at a time: the oldest records are taken, their logs and metrics
 * read, all is written by a helper process, and then those that have not changed
 * since leave Redis. A scheduler that dies in between leaves nothing undone: what was
 * written but not let go is written again, and the later one counts. Of several
 * schedulers one archives a queue; Redis says which.
 */
#ifndef STOKER_SCHEDULER_ARCHIVE_H
#define STOKER_SCHEDULER_ARCHIVE_H

#include <event2/event.h>
#include "queue/jobs_archive.h"
#include "scheduler/archive_store.h"
#include "scheduler/stored.h"
#include "scheduler/transcript_read.h"

struct archive;

struct archive_options {
	struct event_base *base;
	struct jobs *jobs;
	const char *store;        /* URL */
	struct stored *stored;    /* the same; reads it, and must outlive it */
	const char *installation; /* "" until it is known: nobody calls before */
};
struct archive *archive_new(const struct archive_options *options);
void archive_free(struct archive *archive);

/* Something of the queue is to be archived. Nothing happens while another batch is under way, or soon after a failure:
 * whoever ticks looks again. */
void archive_look(struct archive *archive, const char *queue);

/* text is what archive_store.h says. */
void archive_read(struct archive *archive, const char *queue, int64_t n, enum archive_part part, stored_fn *fn,
		  void *arg);
void archive_page(struct archive *archive, const char *queue, const struct archive_query *query, stored_fn *fn,
		  void *arg);
/* As archive_scan has it. */
void archive_part_of_all(struct archive *archive, const char *queue, const char *cursor, stored_fn *fn, void *arg);
/* A page of what a job wrote: of its transcripts alone, or of the job in the archive (scheduler/transcript_read.h). */
void archive_transcript(struct archive *archive, const char *queue, const struct transcript_query *query,
			bool is_archived, stored_fn *fn, void *arg);

#endif
