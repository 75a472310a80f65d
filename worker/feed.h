/*
 * Sends the records of a spool to Redis, in order, each at least once and with its
 * number, so that the stream there stays dense.
 *
 * The spool is the queue; a feed is two cursors into it: what Redis has
 * acknowledged and what was sent. A few batches are in flight. An answer that wants
 * an earlier record, or a connection that died, moves the second cursor back. A slow
 * Redis never slows the program: when more than max_backlog bytes wait, the oldest
 * of them are skipped and one explicit gap says how many. One mechanism for the log
 * and for metrics (which have no gaps: their backlog is not bounded but small).
 */
#ifndef STOKER_WORKER_FEED_H
#define STOKER_WORKER_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "queue/jobs.h"
#include "worker/spool.h"

struct feed;

/* Entries of a log that one call may have: neighbouring lines of one stream share an entry. */
#define FEED_ENTRIES_MAX 100

struct feed_batch {
	int64_t first;    /* number of the first record */
	int64_t count;    /* records, those that gaps stand for included */
	const char *text; /* lines of the spool, each with its newline; "" for a skipped stretch */
	size_t len;
	bool is_skipped; /* count records that are not sent, because Redis is too slow */
};

struct feed_options {
	struct event_base *base;
	const struct spool *spool; /* must outlive the feed */
	int64_t max_backlog;       /* bytes; 0: no bound */
	int64_t max_records;       /* in a batch */
	struct jobs *jobs;
	const struct attempt_ref *ref;
	/* Sends a batch; its answer goes to fn with arg, exactly once and not from within. */
	void (*send)(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch, jobs_next_fn *fn,
		     void *arg);
	/* Everything was acknowledged after feed_drain, or the token is stale. */
	void (*on_drained)(void *arg);
	void *arg;
};

struct feed *feed_new(const struct feed_options *options);
void feed_free(struct feed *feed); /* answers still due are ignored */

/* Redis wants this record first: what is before it is there. */
void feed_begin_at(struct feed *feed, int64_t line);
void feed_open(struct feed *feed);   /* from now on it may send: the connection is there */
void feed_retry(struct feed *feed);  /* the connection is back: send at once what is due */
void feed_revive(struct feed *feed); /* the token that was stale holds again */
void feed_added(struct feed *feed);  /* the spool has grown; sent within 20 ms */
void feed_drain(struct feed *feed);  /* nothing will be added: the rest at once; on_drained, unless it is already */
bool feed_is_drained(const struct feed *feed);
bool feed_is_complete(const struct feed *feed); /* Redis has acknowledged all of it, and nothing was skipped */
int64_t feed_refusals(const struct feed *feed); /* calls in a row that were refused since the connection stands */

/* The two ways to send: they make calls of records. */
void feed_send_log(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch, jobs_next_fn *fn,
		   void *arg);
void feed_send_metrics(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch,
		       jobs_next_fn *fn, void *arg);

#endif
