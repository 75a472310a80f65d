/*
 * The HTTP API (docs/http.md, scheduler/routes.h): what its handlers share.
 *
 * A handler makes a struct api_call, which holds the reply token and carries the
 * request over the calls to Redis; api_answer and api_refuse end both. json_t stays
 * in these files.
 */
#ifndef STOKER_SCHEDULER_API_H
#define STOKER_SCHEDULER_API_H

#include <jansson.h>
#include "queue/graph.h"
#include "queue/sweep.h"
#include "scheduler/archive.h"
#include "scheduler/scheduler.h"

#define API_JOBS "/api/v1/jobs"
enum { API_LIMIT_MAX = 10000 };

struct api_call;
/* What the archive has of the call's job; ends the call. */
typedef void api_archived_fn(struct api_call *call, const char *text, size_t len);
/* A page of a stream: takes the reference. */
typedef void api_page_fn(struct api_call *call, json_t *entries);

struct api_call {
	struct scheduler *scheduler;
	struct http_reply *reply;
	char id[96]; /* of the job; "" for calls about none */
	char queue[64];
	int64_t n;
	char actor[129];
	/* what some handlers keep until Redis answers, freed with the call */
	json_t *body;
	json_t *show;
	char *spec;
	char key[129];   /* idempotency key, the state that is listed, a worker, or what became of a schedule */
	char name[65];   /* of a schedule, or a tag that is looked for */
	char after[256]; /* a lane may name a worker */
	int64_t limit;
	int64_t past_ms;                     /* what is listed of the archive ended before it; 0: all */
	void (*send)(struct api_call *call); /* once its queue was made */
	bool is_second_try;
	bool is_merged;         /* points are asked for as they hold, not as they came */
	enum archive_part part; /* the stream that is asked for */
	json_t *page;           /* of it, that something is looked for in front of */
	api_page_fn *paged;
	bool has_more; /* perhaps: behind the page that was read last */
	api_archived_fn *archived;
	struct error missing; /* what Redis said; the archive may know better */
	struct graph graph;   /* what is submitted, when it is one; count 0: it is something else */
	struct sweep sweep;   /* likewise */
};

/* NULL: the request was refused (Redis is away) and answered. */
struct api_call *api_call_new(struct scheduler *s, const struct http_request *request, struct http_reply *reply);

/* A job was made: Redis is told of its number, should it ever forget it. */
void api_made(struct api_call *call, const char *id);

/* The same for a route with {id}: fills id, queue and n, or refuses a malformed one. */
struct api_call *api_job_call_new(struct scheduler *s, const struct http_request *request, struct http_reply *reply);

/* The call of a queue's route whose body has these keys; NULL: it was refused. */
struct api_call *api_queue_call(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
				const char *const *keys, size_t key_count);

/* End the call. api_answer takes the reference. */
void api_answer(struct api_call *call, int status, json_t *json);
void api_refuse(struct api_call *call, const struct error *err);

/* The reply was handed on: frees the call only. */
void api_forget(struct api_call *call);

/* Ends the call when err is set; true: go on. */
bool api_went_well(struct api_call *call, const struct error *err);

/* The answer of a function as JSON (a new reference); NULL: the call was refused and ended. */
json_t *api_parse(struct api_call *call, const char *text, size_t len, const struct error *err);

/* Has this job a tag of this pattern (* stands for anything)? */
bool api_has_tag(const json_t *job, const char *pattern);

/* The body as an object: {} when there is none. Only the named keys may be in it. */
bool api_body(struct api_call *call, const struct http_request *request, const char *const *keys, size_t key_count,
	      struct error *err);

/* limit= from 1 to max; after= or cursor= by its name. */
bool api_limit(struct api_call *call, const struct http_request *request, int64_t otherwise, int64_t max,
	       struct error *err);
bool api_after(struct api_call *call, const struct http_request *request, const char *name, struct error *err);

/* The body is a job spec: fills spec, and queue: that of the request, of the spec, or default. */
bool api_read_spec(struct api_call *call, const struct http_request *request, struct error *err);

/* What is sent to a queue that does not exist yet makes it, and send is called once more. False: that was not it. */
bool api_makes_queue(struct api_call *call, const struct error *err, void (*send)(struct api_call *call));

/* Sets the queue, if that is a name for one; NULL and "": all of them. */
bool api_queue(struct api_call *call, const char *queue, struct error *err);
/* The same, where none means default. */
bool api_queue_or_default(struct api_call *call, const char *queue, struct error *err);

/* Adds its `why` to a job of a list; workers may be NULL. */
void api_list_explain(json_t *job, const json_t *paused, const json_t *workers);
/* For qsort of json_t *: by submitted_ms. */
int api_newest_first(const void *a, const void *b);

/* Lists the jobs of the batch that the query names (api_batch.c). */
void api_members(struct api_call *call, const struct http_request *request);

/* Sends call->graph, then answers (api_graph.c). */
void api_submit_graph(struct api_call *call);
/* The same of call->sweep (api_sweep.c); call->after is the stem of its keys. */
void api_submit_sweep(struct api_call *call);
void api_sweep_stem(struct api_call *call, const struct http_request *request, char stem[17]);

bool api_flag(const struct http_request *request, const char *name);

/* A submit whose body is a spec a line: goes on with the call and ends it. */
void api_bulk(struct api_call *call, const struct http_request *request);

/* A text of the body: absent is "". */
bool api_body_text(const struct api_call *call, const char *name, const char **text, struct error *err);
/* A count of the body, from 0: absent is otherwise. */
bool api_body_int(const struct api_call *call, const char *name, int64_t otherwise, int64_t *number, struct error *err);

/* True: Redis has no such job (err says so), the archive is asked, and fn is called if it has it; otherwise the call is
 * refused with err. False: it was something else, or there is no archive. */
bool api_archived(struct api_call *call, const struct error *err, enum archive_part part, api_archived_fn *fn);
/* Answers {"id","state"} with the text as the state, unless the archive has the job: then fn is called. */
void api_unless_archived(struct api_call *call, const char *text, size_t len, api_archived_fn *fn);
api_archived_fn api_archived_show, api_archived_result;
api_archived_fn api_archived_retry;
/* What the archive has of the call's job, as stoker_show would have it; NULL: the call was refused. */
json_t *api_record_read(const char *text, size_t len, const char *id); /* NULL: it is no JSON */
json_t *api_record_show(struct api_call *call, const char *text, size_t len);
/* A page of the archive: call->queue, ->limit and ->after are set. */
void api_archived_list(struct api_call *call, const struct http_request *request);

/* Reads what follows call->after of the stream call->part of the job, at most call->limit entries (api_pages.c). */
void api_read_page(struct api_call *call, api_page_fn *fn);
/* The place of an entry's end: what follows it comes after that. */
void api_entry_end(const json_t *entry, char *into, size_t size);

/* Ends of calls that two files have. show: the document of stoker_show. */
void api_show_answer(struct api_call *call, const json_t *workers); /* of call->show; workers may be NULL */
void api_show_failed(struct api_call *call, const json_t *entries); /* the same with the end of its log */
void api_refuse_result(struct api_call *call, const json_t *show);
api_page_fn api_answer_entries;
jobs_text_fn api_on_retried;
const char *api_resume_of(const struct api_call *call);

/* An answer that is a line an object, once its stream has begun. Both take the reference; the end is {"error":…} if err
 * is set, else {"sum":…}, and ends the call. */
void api_line(struct api_call *call, json_t *line);
void api_lines_end(struct api_call *call, const struct error *err, json_t *sum);

/* jobs_text_fn: answers {"id","state"} with the text as the state. */
void api_on_state(void *arg, const char *text, size_t len, const struct error *err);

/* ---- the handlers, a file a group of routes ---- */
http_handler_fn api_livez, api_readyz, api_health, api_version; /* api_health.c */
http_handler_fn api_figures;                                    /* api_figures.c */
http_handler_fn api_openapi;                                    /* api_openapi.c */
http_handler_fn api_doctor;                                     /* api_doctor.c */
http_handler_fn api_submit, api_cancel, api_retry, api_corrupt; /* api_change.c */
http_handler_fn api_hold, api_release, api_update, api_remove;  /* api_control.c */
http_handler_fn api_pause, api_drain, api_resume;               /* api_control.c */
http_handler_fn api_limit_queue, api_share;                     /* api_control.c */
http_handler_fn api_each;                                       /* api_each.c */
http_handler_fn api_reindex;                                    /* api_reindex.c */
http_handler_fn api_schedule, api_schedules, api_show_schedule; /* api_schedules.c */
http_handler_fn api_unschedule, api_pause_schedule, api_resume_schedule;
http_handler_fn api_list;                                     /* api_list.c */
http_handler_fn api_show;                                     /* api_show.c */
http_handler_fn api_checkpoints, api_checkpoint, api_discard; /* api_checkpoints.c */
http_handler_fn api_code, api_code_block, api_code_manifest;  /* api_code.c */
http_handler_fn api_gc, api_verify;                           /* api_gc.c */
http_handler_fn api_fsck;                                     /* api_fsck.c */
http_handler_fn api_verify_checkpoint, api_checkpoint_data, api_checkpoint_link, api_data;
http_handler_fn api_result;                        /* api_result.c */
http_handler_fn api_logs, api_metrics, api_events; /* api_streams.c */
http_handler_fn api_follow, api_stream;            /* api_follow.c */
/* The events of call->queue behind call->after, then live. Takes the call. */
void api_follow_queue(struct api_call *call, const struct http_request *request);
http_handler_fn api_batches, api_create_batch; /* api_batch.c */
http_handler_fn api_queues, api_create_queue;  /* api_queues.c */
http_handler_fn api_workers;                   /* api_workers.c */
http_handler_fn api_worker_drain, api_worker_resume;
http_handler_fn api_submitters, api_add_submitter, api_remove_submitter;             /* api_submitters.c */
http_handler_fn api_webhooks, api_add_webhook, api_remove_webhook, api_test_webhook; /* api_webhooks.c */
http_handler_fn api_webhook_secret, api_deliveries, api_delivery, api_resend;

#endif
