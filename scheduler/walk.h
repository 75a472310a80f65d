/*
 * The routes about the whole store: gc (scheduler/api_gc.c), which deletes what nobody needs,
 * and verify (scheduler/api_verify.c), which reads all of it. Both walk what the store lists,
 * and answer a line an object as they go; the last line is the sum. Nothing else includes this.
 */
#ifndef STOKER_SCHEDULER_WALK_H
#define STOKER_SCHEDULER_WALK_H

#include "scheduler/api.h"
#include "scheduler/gc.h"

enum { WALK_CHUNK = 100 };

struct walk_pick { /* a unit that goes */
	const struct stored_unit *unit;
	struct gc_verdict verdict;
};

struct walk {
	struct api_call *call;
	struct scheduler *scheduler;
	struct stored_units units;
	size_t at, end; /* the units of one job; `at` moves on in chunks */
	size_t next_job;
	bool is_gc, is_dry_run, is_archived;
	struct buf listed; /* by the store, until it is read */
	size_t folder;     /* that is being listed */
	int64_t older_ms;
	char queue[64]; /* whose newest and lent are known */
	int64_t newest, lost;
	json_t *lent; /* gc_lent; NULL: there is no such queue */
	json_t *show; /* of the job; NULL: there is none */
	json_t *records;
	size_t *gone; /* the first units of jobs of the queue that are gone: judged when all of it was asked for */
	size_t gone_count, gone_at;
	bool is_gone_known; /* lent is younger than that */
	bool has_doubt;     /* Redis seems to have lost something */
	struct walk_pick picks[WALK_CHUNK];
	size_t pick_count;
	int64_t objects, bytes, problems; /* the sum */
	int64_t kinds[STORED_KINDS];      /* of verify: how many of each were read */
	int64_t read, all;                /* of verify: bytes so far, and of what is listed */
	struct event *next;               /* the next job, from the loop */
	struct event *beat;               /* an empty line now and then: reading may take long */
};

/* api_gc.c */
struct api_call *walk_call(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
			   const char *const *keys, size_t key_count, int64_t *older_ms);
void walk_start(struct api_call *call, bool is_gc, int64_t older_ms);
void walk_line(const struct walk *walk, json_t *line); /* takes the reference */
json_t *walk_unit_line(const struct stored_unit *unit, const char *action, const char *why);
void walk_end(struct walk *walk, const struct error *err);
void walk_uploads(struct walk *walk);

/* api_gc_code.c; goes on with walk_uploads */
void walk_code(struct walk *walk);

/* api_verify.c */
void walk_verify_next(struct walk *walk);

#endif
