/* The requests that change something: submit, cancel, retry, corrupt. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/http_accept.h"
#include "queue/graph.h"
#include "queue/spec.h"
#include "scheduler/api.h"
#include "lib/fields.h"

/* ---- submit ---- */

static void api_on_submitted(void *arg, const char *text, size_t len, const struct error *err);

static void api_submit_spec(struct api_call *call)
{
	jobs_submit(call->scheduler->jobs, call->queue, call->spec, call->key, call->actor, api_on_submitted, call);
}

static void api_on_queue_made(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	struct api_call *call = arg;
	if (api_went_well(call, err))
		call->send(call);
}

bool api_makes_queue(struct api_call *call, const struct error *err, void (*send)(struct api_call *call))
{
	if (!err || err->kind != ERR_NOT_FOUND || call->is_second_try)
		return false;
	call->is_second_try = true;
	call->send = send;
	jobs_create_queue(call->scheduler->jobs, call->queue, call->scheduler->installation, api_on_queue_made, call);
	return true;
}

static void api_on_submitted(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_makes_queue(call, err, api_submit_spec) || !api_went_well(call, err))
		return;
	CLEANUP(free_p) char *id = mem_strndup(text, len);
	api_made(call, id);
	http_reply_location(call->reply, API_JOBS "/%s", id);
	api_answer(call, 201, json_pack("{s:s}", "id", id));
}

/* The queue of the spec, of the request, or default; a contradiction is an error. */
static bool api_submit_queue(struct api_call *call, const struct http_request *request, const char *own,
			     struct error *err)
{
	const char *asked = http_request_query(request, "queue");
	if (!asked || !*asked)
		asked = *own ? own : "default";
	if (*own && strcmp(own, asked) != 0)
		return error_set(err, ERR_INPUT, "say it once",
				 "queue: the spec says \"%s\", the request says \"%.80s\"", own, asked);
	return api_queue(call, asked, err);
}

static bool api_submit_read_sweep(struct api_call *call, const struct http_request *request, struct error *err)
{
	char stem[17], batch[32];
	api_sweep_stem(call, request, stem);
	str_format(batch, sizeof batch, "sweep-%s", stem);
	str_copy(call->after, sizeof call->after, stem);
	return sweep_read(request->body, request->body_len, NULL, batch, &call->sweep, err) &&
	       api_submit_queue(call, request, call->sweep.queue ? call->sweep.queue : "", err);
}

bool api_read_spec(struct api_call *call, const struct http_request *request, struct error *err)
{
	if (!spec_normalize(request->body, request->body_len, NULL, &call->spec, err))
		return false;
	json_auto_t *spec = fields_parse(call->spec, strlen(call->spec));
	return api_submit_queue(call, request, fields_text(spec, "queue"), err);
}

static bool api_submit_read(struct api_call *call, const struct http_request *request, struct error *err)
{
	const char *key = http_request_header(request, "Idempotency-Key");
	if (key && !str_copy(call->key, sizeof call->key, key))
		return error_set(err, ERR_INPUT, NULL, "Idempotency-Key: longer than %zu characters",
				 sizeof call->key - 1);
	if (sweep_is_one(request->body, request->body_len))
		return api_submit_read_sweep(call, request, err);
	if (graph_is_one(request->body, request->body_len))
		return graph_read(request->body, request->body_len, NULL, &call->graph, err) &&
		       api_submit_queue(call, request, call->graph.queue ? call->graph.queue : "", err);
	return api_read_spec(call, request, err);
}

void api_submit(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (http_is_type(http_request_header(request, "Content-Type"), "application/x-ndjson"))
		api_bulk(call, request);
	else if (!api_submit_read(call, request, &err))
		api_refuse(call, &err);
	else if (call->graph.count)
		api_submit_graph(call);
	else if (call->sweep.count)
		api_submit_sweep(call);
	else
		api_submit_spec(call);
}

/* ---- cancel, retry, corrupt ---- */

void api_on_retried(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, ARCHIVE_RECORD, api_archived_retry))
		return;
	if (api_went_well(call, err))
		api_answer(call, 200, json_pack("{s:s%}", "id", text, len));
}

bool api_body_int(const struct api_call *call, const char *name, int64_t otherwise, int64_t *number, struct error *err)
{
	const json_t *value = json_object_get(call->body, name);
	*number = value ? json_integer_value(value) : otherwise;
	return !value || (json_is_integer(value) && *number >= 0) ||
	       error_set(err, ERR_INPUT, NULL, "%s: expected an integer from 0", name);
}

void api_cancel(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "reason" };
	struct error err;
	const char *reason;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_body(call, request, keys, ARRAY_LEN(keys), &err) && api_body_text(call, "reason", &reason, &err))
		jobs_cancel(call->scheduler->jobs, call->queue, call->n, call->actor, reason, api_on_state, call);
	else
		api_refuse(call, &err);
}

/* From which checkpoint; NULL: as its spec says. */
const char *api_resume_of(const struct api_call *call)
{
	const char *resume = fields_text(call->body, "resume");
	return *resume ? resume : NULL;
}

static void api_retry_attempt(struct api_call *call, int64_t attempt)
{
	const struct jobs_retry retry = {
		.n = call->n, .attempt = attempt, .actor = call->actor, .resume = api_resume_of(call)
	};
	jobs_retry(call->scheduler->jobs, call->queue, &retry, api_on_retried, call);
}

static void api_corrupt_attempt(struct api_call *call, int64_t attempt)
{
	const json_t *onset = json_object_get(call->body, "onset");
	char step[24] = "";
	if (onset)
		str_format(step, sizeof step, "%" PRId64, (int64_t)json_integer_value(onset));
	const struct jobs_flag flag = { .n = call->n,
					.attempt = attempt,
					.reason = fields_text(call->body, "reason"),
					.onset = step,
					.actor = call->actor };
	jobs_corrupt(call->scheduler->jobs, call->queue, &flag, api_on_state, call);
}

/* No attempt was named: it is the last one. */
static void api_with_last_attempt(struct api_call *call, const char *text, size_t len, const struct error *err,
				  void (*then)(struct api_call *call, int64_t attempt))
{
	json_auto_t *show = api_parse(call, text, len, err);
	if (show)
		then(call, fields_int(json_object_get(show, "job"), "attempt", 0));
}

static void api_retry_last(void *arg, const char *text, size_t len, const struct error *err)
{
	if (!api_archived(arg, err, ARCHIVE_RECORD, api_archived_retry))
		api_with_last_attempt(arg, text, len, err, api_retry_attempt);
}

static void api_corrupt_last(void *arg, const char *text, size_t len, const struct error *err)
{
	api_with_last_attempt(arg, text, len, err, api_corrupt_attempt);
}

void api_retry(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "attempt", "resume" };
	const char *resume;
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err) ||
	    !api_body_int(call, "attempt", -1, &call->limit, &err) || !api_body_text(call, "resume", &resume, &err))
		api_refuse(call, &err);
	else if (call->limit >= 0)
		api_retry_attempt(call, call->limit);
	else
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_retry_last, call);
}

void api_corrupt(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "attempt", "reason", "onset" };
	struct error err;
	int64_t attempt, onset;
	const char *reason;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err) ||
	    !api_body_int(call, "attempt", -1, &attempt, &err) || !api_body_int(call, "onset", -1, &onset, &err) ||
	    !api_body_text(call, "reason", &reason, &err))
		api_refuse(call, &err);
	else if (attempt >= 0)
		api_corrupt_attempt(call, attempt);
	else
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_corrupt_last, call);
}
