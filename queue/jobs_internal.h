/*
 * What the parts of the typed client share. Nobody else includes this.
 *
 *	jobs.c           the client itself, building and sending calls, reading answers
 *	jobs_archive.c   what leaves Redis for the archive
 *	jobs_bulk.c      many submits in one call
 *	jobs_text.c      calls whose answer is one text
 *	jobs_each.c      one action on many jobs
 *	jobs_code.c      packed code that gc deletes
 *	jobs_fsck.c      what is wrong in a queue
 *	jobs_schedules.c recurring jobs
 *	jobs_graph.c     several jobs at once
 *	jobs_server.c    answers gathered from plain commands
 *	jobs_streams.c   logs, metrics and events as JSON
 *	jobs_webhooks.c  webhooks and their deliveries
 *	jobs_worker.c    what workers and schedulers call
 *	jobs_inbox.c     submitters and their inboxes
 *	jobs_runner.c    what runners call
 *
 * A call is built (jobs_call_new), gets its arguments (jobs_arg_…), and is sent
 * (jobs_send). Its decode function reads the reply, calls the user's callback
 * exactly once and frees nothing: jobs.c does. A reply of another shape than
 * expected is ERR_INTERNAL and names the function; what a newer library adds
 * behind what we know is ignored.
 */
#ifndef STOKER_QUEUE_JOBS_INTERNAL_H
#define STOKER_QUEUE_JOBS_INTERNAL_H

#include <hiredis/hiredis.h>
#include <jansson.h>
#include "lib/buf.h"
#include "queue/functions.h"
#include "queue/jobs.h"
#include "queue/jobs_webhooks.h"
#include "queue/keys.h"

struct jobs {
	struct redis *redis;
	struct functions *functions;
	char prefix[KEY_PREFIX_MAX + 1];
	int64_t deadline_ms; /* of a call */
	bool is_closing;     /* jobs_free is at work */
	redis_state_fn *on_state;
	void *on_state_arg;
};

struct jobs_call;
typedef void jobs_decode_fn(struct jobs_call *call, const struct redisReply *reply, const struct error *err);
typedef void jobs_any_fn(void); /* a user's callback; its decode function knows the true type */

struct jobs_arg {
	size_t offset, len; /* into text */
};

struct jobs_call {
	struct jobs *jobs;
	const char *name; /* "stoker_claim", "XRANGE": for errors */
	char queue[64];   /* "": none */
	jobs_decode_fn *decode;
	jobs_any_fn *fn;
	void *arg;
	struct buf text; /* the arguments, one after the other */
	struct jobs_arg *args;
	size_t count, capacity;
	struct error error; /* kind ERR_NONE: it can be sent */
	json_t *kept;       /* what a call in several steps carries along */
};

/* FCALL stoker_<name> 1 <meta of queue>; the other arguments follow. */
struct jobs_call *jobs_call_new(struct jobs *jobs, const char *name, const char *queue, jobs_decode_fn *decode,
				jobs_any_fn *fn, void *arg);
/* A plain command; queue may be NULL. */
struct jobs_call *jobs_command_new(struct jobs *jobs, const char *command, const char *queue, jobs_decode_fn *decode,
				   jobs_any_fn *fn, void *arg);
void jobs_arg_bytes(struct jobs_call *call, const char *text, size_t len);
void jobs_arg(struct jobs_call *call, const char *text); /* NULL counts as "" */
void jobs_arg_number(struct jobs_call *call, int64_t n);
void jobs_arg_ref(struct jobs_call *call, const struct attempt_ref *ref); /* n, uid, token */
void jobs_send(struct jobs_call *call);
void jobs_call_free(struct jobs_call *call); /* one that is not sent */
void jobs_send_within(struct jobs_call *call, int64_t deadline_ms);

/* Reading replies: false if the shape is another. Texts are the reply's. */
bool jobs_reply_text(const struct redisReply *reply, const char **text, size_t *len);
bool jobs_reply_number(const struct redisReply *reply, int64_t *n); /* an integer, or one as text */
/* The item of a list; NULL if there is none, or reply is no list. */
const struct redisReply *jobs_reply_item(const struct redisReply *reply, size_t i);
void jobs_bad_shape(const struct jobs_call *call, struct error *err);

/* A JSON string of bytes that may not be UTF-8 (foreign clients write, too). */
json_t *jobs_json_text(const char *text, size_t len);

/* A call whose answer is one text, or a number as text; its arguments follow. */
struct jobs_call *jobs_text_call(struct jobs *jobs, const char *name, const char *queue, jobs_text_fn *fn, void *arg);
/* One that is answered with [done, next]: a jobs_tick_fn is told. */
void jobs_decode_due(struct jobs_call *call, const struct redisReply *reply, const struct error *err);

/* Calls the user's jobs_text_fn. */
void jobs_tell_text(struct jobs_call *call, const char *text, size_t len, const struct error *err);
/* The same with a JSON document, which is given up. */
void jobs_tell_json(struct jobs_call *call, json_t *document);

#endif
