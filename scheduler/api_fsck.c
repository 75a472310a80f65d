/*
 * What is wrong in the queues (POST /api/v1/fsck): walks each of them by stoker_fsck, a
 * call after the other, and answers a line a finding. With `repair` each finding that has
 * one right answer is mended by a call of its own; since one damage may hide another, a
 * queue is walked again until a walk mends nothing, and what is left is told of the last.
 */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/fsck.h"
#include "scheduler/api.h"

enum { FSCK_WALKS = 5, FSCK_FULL_MS = 50, FSCK_LEFT_MAX = 1000 };

struct fsck {
	struct api_call *call;
	struct jobs *jobs;
	bool repairs, is_partial;
	json_t *queues; /* names */
	size_t queue_at;
	char *cursor;     /* where the walk goes on; "": at the beginning */
	int walk;         /* of this queue, from 1 */
	json_t *findings; /* of the last call; at: the one whose turn it is */
	size_t at;
	json_t *left;                     /* of this walk, with repair: what is told if no other walk follows */
	int64_t walk_left, walk_mended;   /* of this walk */
	int64_t looked, all_left, mended; /* the sum */
	struct event *next;
};

static void fsck_walk_on(struct fsck *fsck);

static void fsck_end(struct fsck *fsck, const struct error *err)
{
	json_t *sum = json_pack("{s:I, s:I, s:I, s:I, s:b}", "queues", (json_int_t)json_array_size(fsck->queues),
				"looked", (json_int_t)fsck->looked, "repaired", (json_int_t)fsck->mended, "left",
				(json_int_t)fsck->all_left, "partial", fsck->is_partial);
	api_lines_end(fsck->call, err, sum);
	event_free(fsck->next);
	json_decref(fsck->queues);
	json_decref(fsck->findings);
	json_decref(fsck->left);
	free(fsck->cursor);
	free(fsck);
}

static const char *fsck_queue(const struct fsck *fsck)
{
	return json_string_value(json_array_get(fsck->queues, fsck->queue_at));
}

/* A finding as it is told: with what it risks, and what becomes of it. */
static void fsck_tell(const struct fsck *fsck, const json_t *finding, const char *outcome)
{
	static const struct fsck_row unknown = { "",
						 "not known here: the function library is newer than this scheduler",
						 NULL, "upgrade the scheduler" };
	const struct fsck_row *known = fsck_row_of(fields_text(finding, "code"));
	const struct fsck_row *row = known ? known : &unknown;
	bool is_mended = strcmp(outcome, "repaired") == 0, can_be = fields_is_true(finding, "repair");
	const char *advice = is_mended ? row->repair : can_be ? "stoker fsck --repair mends it" : row->advice;
	api_line(fsck->call,
		 json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s?}", "queue", fsck_queue(fsck), "where",
			   fields_text(finding, "where"), "code", fields_text(finding, "code"), "detail",
			   fields_text(finding, "detail"), "outcome", outcome, "risk", row->risk, "advice", advice));
}

/* What is not mended; with repair another walk may follow that sees it again. */
static void fsck_leave(struct fsck *fsck, json_t *finding)
{
	fsck->walk_left++;
	if (!fsck->repairs)
		fsck_tell(fsck, finding, "found");
	else if (json_array_size(fsck->left) < FSCK_LEFT_MAX)
		json_array_append(fsck->left, finding);
}

/* The end of a walk through one queue. */
static void fsck_walked(struct fsck *fsck)
{
	size_t i;
	json_t *finding;
	bool goes_again = fsck->walk_mended > 0 && fsck->walk < FSCK_WALKS;
	if (!goes_again) {
		json_array_foreach(fsck->left, i, finding) fsck_tell(fsck, finding, "left");
		fsck->all_left += fsck->walk_left;
		fsck->queue_at++;
		fsck->walk = 0;
	}
	json_array_clear(fsck->left);
	fsck->walk++;
	fsck->walk_left = fsck->walk_mended = 0;
	fsck_walk_on(fsck);
}

static void fsck_on_repaired(void *arg, const char *text, size_t len, const struct error *err)
{
	struct fsck *fsck = arg;
	json_t *finding = json_array_get(fsck->findings, fsck->at++);
	(void)len;
	if (err && err->kind != ERR_CONFLICT && err->kind != ERR_INTERNAL) {
		fsck_end(fsck, err);
		return;
	}
	if (err) {
		fsck_leave(fsck, finding);
	} else if (strcmp(text, "repaired") == 0) {
		fsck->mended++;
		fsck->walk_mended++;
		fsck_tell(fsck, finding, "repaired");
	}
	fsck_walk_on(fsck);
}

static void fsck_on_step(void *arg, const char *text, size_t len, const struct error *err)
{
	struct fsck *fsck = arg;
	json_t *answer = err ? NULL : fields_parse(text, len);
	struct error bad;
	if (!err && !answer) {
		error_set(&bad, ERR_INTERNAL, NULL, "stoker_fsck answered no JSON");
		err = &bad;
	}
	if (err && err->kind == ERR_NOT_FOUND) { /* the queue went, or never came into being */
		fsck_walked(fsck);
		return;
	}
	if (err) {
		fsck_end(fsck, err);
		return;
	}
	free(fsck->cursor);
	fsck->cursor = mem_strdup(fields_text(answer, "cursor"));
	fsck->looked += fields_int(answer, "looked", 0);
	fsck->is_partial = fsck->is_partial || fields_is_true(answer, "partial");
	json_decref(fsck->findings);
	fsck->findings = json_incref(json_object_get(answer, "findings"));
	fsck->at = 0;
	json_decref(answer);
	fsck_walk_on(fsck);
}

/* From the loop, and not before the client has taken what was said. */
static void fsck_go_on(evutil_socket_t fd, short what, void *arg)
{
	struct fsck *fsck = arg;
	(void)fd;
	(void)what;
	json_t *finding;
	while ((finding = json_array_get(fsck->findings, fsck->at))) {
		if (fsck->repairs && fields_is_true(finding, "repair")) {
			jobs_repair(fsck->jobs, fsck_queue(fsck), fields_text(finding, "where"),
				    fields_text(finding, "code"), fsck->call->actor, fsck_on_repaired, fsck);
			return;
		}
		fsck_leave(fsck, finding);
		fsck->at++;
	}
	bool is_walked = fsck->findings && !*fsck->cursor;
	json_decref(fsck->findings);
	fsck->findings = NULL;
	if (http_stream_is_void(fsck->call->reply) || fsck->queue_at == json_array_size(fsck->queues))
		fsck_end(fsck, NULL);
	else if (is_walked)
		fsck_walked(fsck);
	else
		jobs_fsck(fsck->jobs, fsck_queue(fsck), fsck->cursor, fsck_on_step, fsck);
}

static void fsck_walk_on(struct fsck *fsck)
{
	const struct timeval in = { .tv_usec = http_stream_is_full(fsck->call->reply) ? FSCK_FULL_MS * 1000 : 0 };
	event_add(fsck->next, &in);
}

static void fsck_start(struct api_call *call, json_t *queues)
{
	static const struct http_stream_events events = { 0 };
	struct fsck *fsck = mem_alloc(sizeof *fsck);
	fsck->call = call;
	fsck->jobs = call->scheduler->jobs;
	fsck->repairs = fields_is_true(call->body, "repair");
	fsck->queues = queues;
	fsck->cursor = mem_strdup("");
	fsck->walk = 1;
	fsck->left = json_array();
	fsck->next = evtimer_new(call->scheduler->base, fsck_go_on, fsck);
	http_stream_start(call->reply, &events);
	fsck_walk_on(fsck);
}

static void fsck_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *queues = api_parse(call, text, len, err);
	if (queues)
		fsck_start(call, queues);
}

static void fsck_on_stats(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		fsck_start(call, json_pack("[s]", call->queue));
}

/* A queue that is named must be there. */
void api_fsck(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "queue", "repair" };
	struct error err;
	const char *queue;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err) || !api_body_text(call, "queue", &queue, &err) ||
	    !api_queue(call, queue, &err))
		api_refuse(call, &err);
	else if (*call->queue)
		jobs_stats(call->scheduler->jobs, call->queue, fsck_on_stats, call);
	else
		jobs_queues(call->scheduler->jobs, fsck_on_queues, call);
}
