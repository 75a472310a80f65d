/*
 * The typed client of the function library (docs/protocol.md says what each
 * function does; this is the same in C). One struct jobs stands for one Redis
 * connection and one key prefix; every call names its queue.
 *
 * Each call ends exactly once by its callback, as in queue/redis.h: err NULL on
 * success. Pointers given to a callback are valid during it only. Arguments are
 * copied before a call returns.
 */
#ifndef STOKER_QUEUE_JOBS_H
#define STOKER_QUEUE_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/error.h"
#include "queue/redis.h"

struct jobs;

/* prefix NULL: "stoker". Owns its connection. Loads the function library when
 * load_library (schedulers), and again whenever a connection shows a Redis that
 * lacks it; never replaces a newer one. */
struct jobs_options {
	struct redis_options redis;
	const char *prefix;
	bool load_library;
};
struct jobs *jobs_new(struct event_base *base, const struct jobs_options *options, struct error *err);
void jobs_free(struct jobs *jobs);
/* Of the calls from now on: how long each took. */
struct histogram;
void jobs_measure(struct jobs *jobs, struct histogram *into);
void jobs_on_state(struct jobs *jobs, redis_state_fn *fn, void *arg); /* connected: the library is there, too */
bool jobs_is_ready(const struct jobs *jobs);
const char *jobs_where(const struct jobs *jobs);

/* One attempt of one job: what every fenced call names. */
struct attempt_ref {
	char queue[64];
	int64_t n;
	char uid[33];
	char token[24];
};

/* ---- answers that are one text: a job id, a state, or a JSON document ---- */
typedef void jobs_text_fn(void *arg, const char *text, size_t len, const struct error *err);

void jobs_submit(struct jobs *jobs, const char *queue, const char *spec_json, const char *key, const char *actor,
		 jobs_text_fn *fn, void *arg);
/* Up to JOBS_BULK_MAX submits in one call; answers are as many, in the same order. */
#define JOBS_BULK_MAX 100
struct bulk_item {
	const char *spec; /* JSON */
	size_t len;
	const char *key; /* "": none */
};
struct bulk_answer {
	const char *id; /* NULL: refused, and error says why */
	struct error error;
};
typedef void jobs_bulk_fn(void *arg, const struct bulk_answer *answers, size_t count, const struct error *err);
void jobs_bulk(struct jobs *jobs, const char *queue, const char *actor, const struct bulk_item *items, size_t count,
	       jobs_bulk_fn *fn, void *arg);
/* A whole graph (queue/graph.h), of at most GRAPH_A_CALL jobs: the answer is a JSON list of their ids. */
void jobs_graph(struct jobs *jobs, const char *queue, const char *graph_json, const char *key, const char *actor,
		jobs_text_fn *fn, void *arg);
/* A larger graph: pages of it, parents before their children, of which nobody sees anything until the commit, whose
 * answer is as that of jobs_graph. The answer of a page: how many are staged. The same page again: nothing changes. */
struct stage_page {
	const char *stage; /* its name */
	size_t total;      /* of the graph */
	size_t at;         /* the first of this page */
	const char *const *specs;
	size_t count; /* at most GRAPH_A_CALL */
};
void jobs_stage(struct jobs *jobs, const char *queue, const struct stage_page *page, jobs_text_fn *fn, void *arg);
struct stage_end {
	const char *stage;
	const char *key, *batch;           /* NULL or "": none */
	const struct following *following; /* NULL: nothing */
};
void jobs_commit(struct jobs *jobs, const char *queue, const struct stage_end *end, const char *actor, jobs_text_fn *fn,
		 void *arg);
/* Makes a batch or changes it: json is {"size","then","webhook"}. The answer is its id. */
void jobs_batch(struct jobs *jobs, const char *queue, const char *batch, const char *json, const char *actor,
		jobs_text_fn *fn, void *arg);
void jobs_batches(struct jobs *jobs, const char *queue, int limit, const char *cursor, jobs_text_fn *fn, void *arg);
struct members_page {
	const char *batch;
	const char *state;
	int limit; /* at most 100 */
	const char *cursor;
	const char *metric; /* whose last value is given as "rank"; NULL: none */
};
void jobs_members(struct jobs *jobs, const char *queue, const struct members_page *page, jobs_text_fn *fn, void *arg);
void jobs_cancel(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *reason,
		 jobs_text_fn *fn, void *arg);
struct jobs_flag {
	int64_t n;
	int64_t attempt;
	const char *reason;
	const char *onset; /* the step where it began; NULL or "": unknown */
	const char *good;  /* what was saved at or past this step is not proved good; likewise */
	const char *actor;
	const char *token; /* of the attempt, when its runner says it; NULL: somebody else does */
};
void jobs_corrupt(struct jobs *jobs, const char *queue, const struct jobs_flag *flag, jobs_text_fn *fn, void *arg);
struct jobs_retry {
	int64_t n;
	int64_t attempt;
	const char *actor;
	const char *archived; /* its record out of the archive (struct archive_record); NULL: it is in Redis */
	const char *resume;   /* latest, best, none, a step or an id; NULL: as its spec says */
};
void jobs_retry(struct jobs *jobs, const char *queue, const struct jobs_retry *retry, jobs_text_fn *fn, void *arg);
/* The state after it. */
void jobs_hold(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *reason, jobs_text_fn *fn,
	       void *arg);
void jobs_release(struct jobs *jobs, const char *queue, int64_t n, const char *actor, jobs_text_fn *fn, void *arg);
void jobs_update(struct jobs *jobs, const char *queue, int64_t n, const char *changes_json, const char *actor,
		 jobs_text_fn *fn, void *arg);
void jobs_remove(struct jobs *jobs, const char *queue, int64_t n, const char *actor, jobs_text_fn *fn, void *arg);
/* verb: pause, drain, resume; text is the state after it: paused, draining, open. */
void jobs_pause(struct jobs *jobs, const char *queue, const char *verb, const char *actor, const char *reason,
		jobs_text_fn *fn, void *arg);
void jobs_show(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg);
void jobs_list(struct jobs *jobs, const char *queue, const char *state, int limit, const char *cursor, jobs_text_fn *fn,
	       void *arg);
void jobs_stats(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* JSON array of every worker of the queue: the hash fields plus "id" and "seen_ms". */
void jobs_workers(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* An operator asks a worker of the queue to claim no more, or to go on: JSON {"worker","state"}. ERR_NOT_FOUND: it
 * does not serve this queue. */
void jobs_worker_drain(struct jobs *jobs, const char *queue, const char *worker, const char *reason, const char *actor,
		       jobs_text_fn *fn, void *arg);
void jobs_worker_resume(struct jobs *jobs, const char *queue, const char *worker, const char *actor, jobs_text_fn *fn,
			void *arg);
/* The result of a job, JSON as its program wrote it. ERR_NOT_FOUND: there is none. */
void jobs_result(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg);
/* JSON array of queue names, sorted. */
void jobs_queues(struct jobs *jobs, jobs_text_fn *fn, void *arg);
/* The limits of a queue; -1 leaves one as it is, 0 lifts it. text is "ok". */
struct queue_limits {
	int64_t max_running;
	int64_t rate_max, rate_per_ms;
	int64_t max_recovering;
	int64_t preempt; /* 1: higher priorities take the places of lower ones */
};
void jobs_limit(struct jobs *jobs, const char *queue, const struct queue_limits *limits, const char *actor,
		jobs_text_fn *fn, void *arg);
/* weight: a decimal number. text is "ok". */
void jobs_share(struct jobs *jobs, const char *queue, const char *tenant, const char *weight, const char *actor,
		jobs_text_fn *fn, void *arg);
/* SADD stoker:queues, then stoker_create: text is the queue's name. */
void jobs_create_queue(struct jobs *jobs, const char *queue, const char *installation, jobs_text_fn *fn, void *arg);
/* Lets a submitter use its inbox ("add"), or not any more ("remove"): text is "added" or "removed". */
void jobs_submitter(struct jobs *jobs, const char *queue, const char *verb, const char *name, const char *actor,
		    jobs_text_fn *fn, void *arg);
/* The names of its two streams. */
#define JOBS_KEY_MAX 320
void jobs_inbox_keys(const struct jobs *jobs, const char *queue, const char *name, char inbox[JOBS_KEY_MAX],
		     char reply[JOBS_KEY_MAX]);
void jobs_submitters(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* The installation id, text: 12 hex digits, kept at <prefix>:installation. Made (SET NX) when there is none, that which
 * is known ("": a new one), so that schedulers that start side by side agree. */
void jobs_installation(struct jobs *jobs, const char *known, jobs_text_fn *fn, void *arg);
/* What is wrong in the queue (lua/fsck_run.lua): from the beginning with cursor "", to the end by the cursor of the
 * answer,
 * {"cursor","looked","partial","findings":[{"where","code","repair","detail"}]}. */
void jobs_fsck(struct jobs *jobs, const char *queue, const char *cursor, jobs_text_fn *fn, void *arg);
/* Mends what such a finding names: text is "repaired", or "gone" if it is not there any more. */
void jobs_repair(struct jobs *jobs, const char *queue, const char *where, const char *code, const char *actor,
		 jobs_text_fn *fn, void *arg);
/* JSON object of what `stoker doctor` judges: redis_version, valkey_version, run_id, appendonly, appendfsync,
 * maxmemory, maxmemory_policy, role, aof_last_write_status, rdb_last_bgsave_status, used_memory, clients, library, and
 * more; now_ms of Redis, and clock_ahead_ms: how far ours is ahead. */
void jobs_server_info(struct jobs *jobs, jobs_text_fn *fn, void *arg);

/* ---- one action on many jobs ---- */
enum { JOBS_EACH_MAX = 100 };
struct jobs_each_one {
	int64_t n;
	int64_t attempt; /* only if this is still the last one; -1: whichever is */
};
struct jobs_each {
	const char *queue;
	const char *action; /* cancel, retry, hold, release, update, remove */
	const char *states; /* only jobs still in these, "queued,waiting"; NULL: any */
	const char *actor;
	const char *extra; /* a reason, or the changes of an update; NULL: none */
	const struct jobs_each_one *all;
	size_t count; /* 1 to JOBS_EACH_MAX */
};
enum jobs_outcome { EACH_DONE, EACH_SKIPPED, EACH_REFUSED };
struct jobs_each_answer {
	enum jobs_outcome outcome;
	const char *text; /* the state after it (retry: the id), or the one that it was skipped for */
	struct error err; /* of one that was refused */
};
/* As many answers as jobs, in their order. */
typedef void jobs_each_fn(void *arg, const struct jobs_each_answer *answers, size_t count, const struct error *err);
void jobs_each(struct jobs *jobs, const struct jobs_each *each, jobs_each_fn *fn, void *arg);

/* JSON array of names. */
void jobs_submitter_names(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* Waits until something is put into one of these inboxes, at most timeout_ms (> 0): those have rang set, and after
 * moved on. On a struct jobs of its own, whose answers are bounded: what is put in may be of any size. The items stay
 * the caller's, and stay as they are until fn is called. */
struct inbox_ref {
	char queue[64];
	char name[65];
	char after[48]; /* id of the last entry that rang; "": whatever comes from now on */
	bool rang;
};
typedef void jobs_rang_fn(void *arg, const struct error *err);
struct inbox_wait {
	struct inbox_ref *items;
	size_t count;
	int64_t timeout_ms;
	jobs_rang_fn *fn;
	void *arg;
};
void jobs_inbox_wait(struct jobs *jobs, struct inbox_wait *wait);

/* ---- reading the streams ---- */
enum jobs_stream { STREAM_LOG, STREAM_METRICS, STREAM_EVENTS };
/* One of them: its id, the field `lines` (1 where there is none), and all of it as a JSON object of texts,
 * {"id":…, fields…}. */
struct stream_entry {
	const char *id;
	int64_t lines;
	const char *json;
	size_t len;
};
typedef void jobs_entries_fn(void *arg, const struct stream_entry *entries, size_t count, const struct error *err);
/* At most limit entries after the id `after` ("" from the start), in order. n is ignored for STREAM_EVENTS. */
void jobs_read_entries(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, const char *after,
		       int limit, jobs_entries_fn *fn, void *arg);
/* The same as one JSON array. */
void jobs_read_stream(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, const char *after,
		      int limit, jobs_text_fn *fn, void *arg);
/* The same of the last limit entries, in order. */
void jobs_read_tail(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, int limit,
		    jobs_text_fn *fn, void *arg);
/* The channel that announces the entries of that stream, for redis_subscribe. */
void jobs_channel(const struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, char *into,
		  size_t size);
void jobs_control_channel(const struct jobs *jobs, const char *queue, char *into, size_t size);

/* ---- the scheduler's tick ---- */
/* ms until the next one is due, -1: none. */
typedef void jobs_tick_fn(void *arg, int64_t done, int64_t next_ms, const struct error *err);
/* The same, with what is to be carried to other queues (lua/post.lua). */
typedef void jobs_promoted_fn(void *arg, int64_t done, int64_t next_ms, const char *const *letters, size_t count,
			      const struct error *err);
void jobs_promote(struct jobs *jobs, const char *queue, jobs_promoted_fn *fn, void *arg);
/* A job of another queue waits for this one: the answer is its state, "gone" when there is none. */
void jobs_watch(struct jobs *jobs, const char *queue, int64_t n, const char *child, jobs_text_fn *fn, void *arg);
/* What this job leaves to its children in other queues, as JSON. */
void jobs_about(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg);
/* A parent in another queue has ended so; about NULL: nothing is known of it. */
void jobs_tell(struct jobs *jobs, const char *queue, int64_t n, const char *parent, const char *state,
	       const char *about, jobs_text_fn *fn, void *arg);
/* A sweep that somebody asked for by FCALL: spec, batch and actor; "" when it is there no more. */
typedef void jobs_asked_fn(void *arg, const char *spec, const char *batch, const char *actor, const struct error *err);
void jobs_swept_read(struct jobs *jobs, const char *queue, const char *token, jobs_asked_fn *fn, void *arg);
/* It was carried out; or why it never will be. */
void jobs_swept(struct jobs *jobs, const char *queue, const char *token, const char *wrong, jobs_text_fn *fn,
		void *arg);
void jobs_sent(struct jobs *jobs, const char *queue, const char *letter, jobs_text_fn *fn, void *arg);
/* newest: the number of the newest job that the caller has seen, 0: of none; should Redis not know of it, it has lost
 * writes. What it tells is the newest that it knows, 0: it does not say. */
typedef void jobs_reaped_fn(void *arg, int64_t done, int64_t next_ms, int64_t newest, const struct error *err);
void jobs_reap(struct jobs *jobs, const char *queue, int64_t newest, jobs_reaped_fn *fn, void *arg);
/* What is past its bound goes; with has_store nothing does that is to be archived. over: how many jobs wait for that.
 * marked: the URL of a store of files that has a mark (store_is_marked), to be remembered; NULL: none. */
typedef void jobs_pruned_fn(void *arg, int64_t dropped, int64_t over, const struct error *err);
void jobs_prune(struct jobs *jobs, const char *queue, bool has_store, const char *marked, jobs_pruned_fn *fn,
		void *arg);
void jobs_inbox(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg);

/* ---- schedules: jobs that recur ---- */
/* The spec has the section `schedule`; text: "created", "changed" or "unchanged". */
void jobs_schedule(struct jobs *jobs, const char *queue, const char *spec_json, const char *actor, jobs_text_fn *fn,
		   void *arg);
void jobs_unschedule(struct jobs *jobs, const char *queue, const char *name, const char *actor, jobs_text_fn *fn,
		     void *arg);
void jobs_schedule_pause(struct jobs *jobs, const char *queue, const char *name, bool is_pause, const char *actor,
			 jobs_text_fn *fn, void *arg);
/* JSON: {"queue","schedules":[{fields}],"now_ms"}; {"queue","schedule":{fields},"spec":{…},"now_ms"}. */
void jobs_schedules(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
void jobs_schedule_show(struct jobs *jobs, const char *queue, const char *name, jobs_text_fn *fn, void *arg);

struct schedule_due { /* one that something is to be done about: queue/schedule.h decides what */
	const char *name;
	const char *revision;
	const char *cron;
	int64_t every_ms;
	const char *zone;
	const char *missed;
	int64_t anchor_ms, from_ms, next_ms;
};
/* At most JOBS_DUE of them, behind the first offset ones. now_ms: of Redis; next_ms: until the first that is not due
 * yet, -1: there is none. */
enum { JOBS_DUE = 100 };
typedef void jobs_due_fn(void *arg, int64_t now_ms, int64_t next_ms, const struct schedule_due *due, size_t count,
			 const struct error *err);
void jobs_due(struct jobs *jobs, const char *queue, int offset, jobs_due_fn *fn, void *arg);

struct schedule_firing {
	const char *name;
	const char *revision;
	int64_t expected_ms; /* the next due time as jobs_due told it */
	int64_t due_ms;      /* 0: fire for none */
	int64_t next_ms;
};
/* what: planned, fired (id is the job), skipped, missed; stale: somebody else was faster; early: by Redis' clock. */
typedef void jobs_fired_fn(void *arg, const char *what, const char *id, int64_t next_ms, const struct error *err);
void jobs_fire(struct jobs *jobs, const char *queue, const struct schedule_firing *firing, jobs_fired_fn *fn,
	       void *arg);
void jobs_schedule_refuse(struct jobs *jobs, const char *queue, const char *name, const char *revision,
			  const char *error, jobs_text_fn *fn, void *arg);

/* ---- workers ---- */
struct worker_answer {
	int64_t last_request; /* number of its last claim */
	bool drain;           /* an operator wants it to claim no more */
	int64_t resumed_ms;   /* when an operator last asked it to go on; 0: never */
	const char
		*marked; /* the installation, when something of it is in a store of files that is marked; else NULL */
};
typedef void jobs_worker_fn(void *arg, const struct worker_answer *answer, const struct error *err);
void jobs_worker(struct jobs *jobs, const char *queue, const char *worker, const char *info_json, jobs_worker_fn *fn,
		 void *arg);

struct claim {
	struct attempt_ref ref;
	char id[96]; /* "gpu-42" */
	int64_t attempt;
	int64_t lease_ms;
	const char *installation; /* first part of every path in the store */
	const char *class_name;
	int64_t cpus;
	int64_t gpus;
	int64_t memory_bytes;
	const char *spec_json;
	size_t spec_len;
	const char *resume;     /* checkpoint id; NULL: cold start */
	const char *checkpoint; /* its summary JSON; NULL likewise */
	int64_t scheduled_ms;   /* the due time that its schedule made it for; 0: none did */
	int64_t corrupted;      /* so many attempts of it were, before this one */
	const char *parents;    /* what it waited for: JSON by id; NULL: nothing */
	int64_t age_ms;         /* how long before the answer the attempt began, if that was not in this call */
	int64_t request;        /* of one that is handed over: its worker's claim before that; else 0 */
};
struct claim_request {
	const char *queue;
	const char *worker;
	const char *free_json; /* {"cpus","gpus","memory","labels","given"} */
	int max;               /* 0: takes nothing, and takes an offer back */
	int64_t request;
	const char *channel; /* where it listens for what is handed over to it, lua/offer.lua; NULL: nowhere */
};
typedef void jobs_claim_fn(void *arg, const struct claim *claims, size_t count, const struct error *err);
void jobs_claim(struct jobs *jobs, const struct claim_request *request, jobs_claim_fn *fn, void *arg);
/* The channel of that name, for redis_subscribe; and what a message on it says: fn gets one claim, or an error. */
void jobs_given_channel(const struct jobs *jobs, const char *queue, const char *name, char *into, size_t size);
void jobs_given(const char *queue, const char *text, size_t len, jobs_claim_fn *fn, void *arg);

/* The classes of a queue: JSON object class → requirement. */
void jobs_classes(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);

/* Waits (BZPOPMIN) on the doorbells of these classes for at most timeout_ms (> 0): class is the one
 * that rang, NULL when none did. On a struct jobs of its own: it blocks the connection.
 * jobs_interrupt ends it early. */
typedef void jobs_doorbell_fn(void *arg, const char *class_name, const struct error *err);
void jobs_doorbell(struct jobs *jobs, const char *queue, const char *const *classes, size_t count, int64_t timeout_ms,
		   jobs_doorbell_fn *fn, void *arg);
void jobs_interrupt(struct jobs *jobs);

/* ---- runners ---- */
enum verdict { VERDICT_OK, VERDICT_CANCEL, VERDICT_PREEMPT, VERDICT_CORRUPTED };
typedef void jobs_verdict_fn(void *arg, enum verdict verdict, const char *reason, const struct error *err);
struct renewal {
	const char *phase;   /* NULL: unchanged */
	int64_t step;        /* -1: unknown */
	int64_t total;       /* steps in all; 0: unknown */
	double pace_ms;      /* of a step; NaN: unknown */
	const char *resumed; /* checkpoint id or "cold", once; else NULL */
	const char *lineage; /* what the attempt found on its machine, JSON, once; else NULL */
	const char *spent;   /* "<setup>:<restore>:<loading>" in ms; NULL: not known */
};
void jobs_renew(struct jobs *jobs, const struct attempt_ref *ref, const struct renewal *renewal, jobs_verdict_fn *fn,
		void *arg);
struct adoption { /* an attempt is offered back to a Redis that may have lost writes */
	const char *worker;
	int64_t attempt; /* 0: none of what follows is told */
	const char *installation;
	const char *spec_json;
	const char *resume; /* the checkpoint that it began with; NULL: none */
	struct adoption_checkpoint {
		const char *id, *summary;
	} * checkpoints; /* what was committed, oldest first */
	size_t checkpoint_count;
};
void jobs_adopt(struct jobs *jobs, const struct attempt_ref *ref, const struct adoption *adoption, jobs_verdict_fn *fn,
		void *arg);

/* ok: everything up to next is there; otherwise `next` is wanted. */
typedef void jobs_next_fn(void *arg, bool ok, int64_t next, const struct error *err);
struct log_entry {
	int64_t first; /* number of its first line */
	int64_t time_ms;
	const char *stream; /* stdout, stderr, stoker, gap */
	int64_t lines;
	const char *text; /* valid UTF-8 */
	size_t len;
};
void jobs_log(struct jobs *jobs, const struct attempt_ref *ref, const struct log_entry *entries, size_t count,
	      jobs_next_fn *fn, void *arg);
void jobs_metric(struct jobs *jobs, const struct attempt_ref *ref, int64_t first, const char *const *points,
		 size_t count, jobs_next_fn *fn, void *arg);

typedef void jobs_ids_fn(void *arg, const char *const *ids, size_t count, const struct error *err);
void jobs_checkpoint(struct jobs *jobs, const struct attempt_ref *ref, const char *id, const char *summary_json,
		     jobs_ids_fn *to_delete, void *arg);
/* ids: none, or {next id, its summary}. */
void jobs_reject(struct jobs *jobs, const struct attempt_ref *ref, const char *id, const char *reason,
		 jobs_ids_fn *next, void *arg);
void jobs_drop(struct jobs *jobs, const struct attempt_ref *ref, const char *const *ids, size_t count, jobs_text_fn *fn,
	       void *arg);
/* A page, newest first: JSON {"count","cursor","checkpoints":[{"id","summary"}]}; cursor "": the first one. */
void jobs_checkpoints(struct jobs *jobs, const char *queue, int64_t n, int64_t limit, const char *cursor,
		      jobs_text_fn *fn, void *arg);
/* URIs that unfinished jobs were lent and still have: a JSON list. */
void jobs_lent(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg);
/* Packed code. uses: JSON {"cursor","code":[hashes that the next part of the specs names]}; cursor "" begins, and ends.
 * condemn: a step of its deletion (lua/code.lua), of up to so many; JSON: the hashes it was done for. */
enum { JOBS_CONDEMN_MAX = 100 };
void jobs_code_uses(struct jobs *jobs, const char *queue, const char *cursor, jobs_text_fn *fn, void *arg);
void jobs_condemn(struct jobs *jobs, const char *queue, const char *verb, const char *run, const char *const *hashes,
		  size_t count, jobs_text_fn *fn, void *arg);
/* words: ids, or "last" and how many; text: JSON with what is needed to delete the objects, and then to drop. */
void jobs_discard(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *const *words,
		  size_t count, jobs_text_fn *fn, void *arg);
/* text is the state after it. A stale token: ERR_STALE. */
void jobs_finish(struct jobs *jobs, const struct attempt_ref *ref, const char *cause, const char *detail_json,
		 jobs_text_fn *fn, void *arg);

/* ---- pub/sub, on a connection of its own ---- */
struct redis *jobs_subscriber(struct event_base *base, const struct jobs_options *options, struct error *err);

#endif
