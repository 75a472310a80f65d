/* The requests that steer: hold, release, update and remove of one job; pause, drain, resume, limits and shares of a
 * queue. */
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/api.h"

/* ---- one job ---- */

/* The call of a route with {id} whose body has these keys; NULL: it was refused. */
static struct api_call *api_control_call(struct scheduler *s, const struct http_request *request,
					 struct http_reply *reply, const char *const *keys, size_t key_count)
{
	struct error err;
	struct api_call *call = api_job_call_new(s, request, reply);
	if (!call || api_body(call, request, keys, key_count, &err))
		return call;
	api_refuse(call, &err);
	return NULL;
}

void api_hold(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "reason" };
	struct error err;
	const char *reason;
	struct api_call *call = api_control_call(arg, request, reply, keys, ARRAY_LEN(keys));
	if (!call)
		return;
	if (api_body_text(call, "reason", &reason, &err))
		jobs_hold(call->scheduler->jobs, call->queue, call->n, call->actor, reason, api_on_state, call);
	else
		api_refuse(call, &err);
}

void api_release(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_control_call(arg, request, reply, NULL, 0);
	if (call)
		jobs_release(call->scheduler->jobs, call->queue, call->n, call->actor, api_on_state, call);
}

static void api_archived_stays(struct api_call *call, const char *text, size_t len)
{
	struct error err;
	(void)text;
	(void)len;
	error_set(&err, ERR_CONFLICT, "let the store expire what is old there",
		  "job %s is in the archive, where nothing is removed one by one", call->id);
	api_refuse(call, &err);
}

/* What is not in Redis counts as removed; it may be in the archive. */
static void api_on_removed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err || !call->scheduler->archive)
		api_on_state(call, text, len, err);
	else
		api_unless_archived(call, text, len, api_archived_stays);
}

void api_remove(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_control_call(arg, request, reply, NULL, 0);
	if (call)
		jobs_remove(call->scheduler->jobs, call->queue, call->n, call->actor, api_on_removed, call);
}

/* The body is part of a spec: the function library checks it, so that every door says the same. */
void api_update(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char hint[] = "for example {\"priority\":9}";
	struct error err;
	json_error_t at;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	call->body = json_loadb(request->body, request->body_len, JSON_REJECT_DUPLICATES, &at);
	if (!call->body)
		error_set(&err, ERR_INPUT, hint, "the body is no JSON: line %d: %s", at.line, at.text);
	else if (!json_is_object(call->body))
		error_set(&err, ERR_INPUT, hint, "the body must be one JSON object");
	if (json_is_object(call->body))
		jobs_update(call->scheduler->jobs, call->queue, call->n, request->body, call->actor, api_on_state,
			    call);
	else
		api_refuse(call, &err);
}

/* ---- a queue ---- */

static void api_on_paused(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_went_well(call, err))
		api_answer(call, 200, json_pack("{s:s, s:s%}", "queue", call->queue, "state", text, len));
}

static void api_queue_verb(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
			   const char *verb)
{
	static const char *const keys[] = { "reason" };
	struct error err;
	const char *reason;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return;
	if (api_queue(call, request->segment, &err) && api_body(call, request, keys, ARRAY_LEN(keys), &err) &&
	    api_body_text(call, "reason", &reason, &err))
		jobs_pause(call->scheduler->jobs, call->queue, verb, call->actor, reason, api_on_paused, call);
	else
		api_refuse(call, &err);
}

void api_pause(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_queue_verb(arg, request, reply, "pause");
}

void api_drain(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_queue_verb(arg, request, reply, "drain");
}

void api_resume(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_queue_verb(arg, request, reply, "resume");
}

static void api_on_queue_set(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (!api_went_well(call, err))
		return;
	json_t *answer = json_incref(call->body);
	json_object_set_new(answer, "queue", json_string(call->queue));
	api_answer(call, 200, answer);
}

struct api_call *api_queue_call(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
				const char *const *keys, size_t key_count)
{
	struct error err;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call || (api_queue(call, request->segment, &err) && api_body(call, request, keys, key_count, &err)))
		return call;
	api_refuse(call, &err);
	return NULL;
}

static bool api_body_preempt(const struct api_call *call, int64_t *preempt, struct error *err)
{
	const json_t *value = json_object_get(call->body, "preempt");
	*preempt = value ? json_is_true(value) : -1;
	return !value || json_is_boolean(value) ||
	       error_set(err, ERR_INPUT, "for example {\"preempt\":true}", "preempt: expected true or false");
}

void api_limit_queue(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "max_running", "rate_max", "rate_per_ms", "max_recovering", "preempt" };
	struct error err;
	struct queue_limits limits;
	struct api_call *call = api_queue_call(arg, request, reply, keys, ARRAY_LEN(keys));
	if (!call)
		return;
	if (api_body_int(call, "max_running", -1, &limits.max_running, &err) &&
	    api_body_int(call, "rate_max", -1, &limits.rate_max, &err) &&
	    api_body_int(call, "rate_per_ms", -1, &limits.rate_per_ms, &err) &&
	    api_body_int(call, "max_recovering", -1, &limits.max_recovering, &err) &&
	    api_body_preempt(call, &limits.preempt, &err))
		jobs_limit(call->scheduler->jobs, call->queue, &limits, call->actor, api_on_queue_set, call);
	else
		api_refuse(call, &err);
}

void api_share(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "tenant", "weight" };
	struct error err;
	const char *tenant;
	char weight[32];
	struct api_call *call = api_queue_call(arg, request, reply, keys, ARRAY_LEN(keys));
	if (!call)
		return;
	const json_t *number = json_object_get(call->body, "weight");
	bool ok = api_body_text(call, "tenant", &tenant, &err);
	if (ok && (!json_is_number(number) || !str_format(weight, sizeof weight, "%.6f", json_number_value(number))))
		ok = error_set(&err, ERR_INPUT, "for example {\"tenant\":\"ada\",\"weight\":2}",
			       "weight: expected a number from 0.001 to 1000");
	if (ok)
		jobs_share(call->scheduler->jobs, call->queue, tenant, weight, call->actor, api_on_queue_set, call);
	else
		api_refuse(call, &err);
}
