/* Webhooks of a queue, and the deliveries that are given up (docs/protocol.md, Webhooks). */
#include <string.h>
#include "lib/buf.h"
#include "queue/jobs_webhooks.h"
#include "scheduler/api.h"
#include "scheduler/webhook_sign.h"
#include "scheduler/webhooks.h"
#include "lib/fields.h"

/* Answers with the document that the function made. */
static void api_on_document(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *answer = api_parse(call, text, len, err);
	if (answer)
		api_answer(call, 200, answer);
}

/* A call about the queue of ?queue= and what {id} names, which is kept in key; NULL: it was refused. */
static struct api_call *api_queue_call_new(struct scheduler *s, const struct http_request *request,
					   struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return NULL;
	bool is_valid = api_queue_or_default(call, http_request_query(request, "queue"), &err);
	if (is_valid && !str_copy(call->key, sizeof call->key, request->segment))
		is_valid = error_set(&err, ERR_INPUT, NULL, "id: longer than %zu characters", sizeof call->key - 1);
	if (is_valid)
		return call;
	api_refuse(call, &err);
	return NULL;
}

void api_webhooks(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (call)
		jobs_webhooks(call->scheduler->jobs, call->queue, api_on_document, call);
}

/* ---- adding one, and the secret of the queue ---- */

/* The secret that was given, or a new one, which the answer shows this once. */
static void api_take_secret(struct api_call *call)
{
	char made[WEBHOOK_SECRET_MAX + 1];
	const json_t *given = json_object_get(call->body, "secret");
	call->is_second_try = given != NULL;
	webhook_make_secret(made);
	call->spec = mem_strdup(given ? fields_text(call->body, "secret") : made);
}

/* {"id"} or {"queue"}, and the secret if it was made here. */
static void api_answer_secret(struct api_call *call, int status, const char *name, const char *value, size_t len)
{
	json_t *answer = json_pack("{s:s%}", name, value, len);
	if (!call->is_second_try)
		json_object_set_new(answer, "secret", json_string(call->spec));
	api_answer(call, status, answer);
}

static void api_on_webhook_added(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_went_well(call, err))
		api_answer_secret(call, 201, "id", text, len);
}

void api_add_webhook(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "queue", "url", "on", "secret" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err) ||
	    !api_queue_or_default(call, fields_text(call->body, "queue"), &err)) {
		api_refuse(call, &err);
		return;
	}
	const json_t *on = json_object_get(call->body, "on");
	CLEANUP(free_p) char *events = on ? json_dumps(on, JSON_COMPACT | JSON_ENCODE_ANY) : mem_strdup("");
	api_take_secret(call);
	jobs_webhook_add(call->scheduler->jobs, call->queue, fields_text(call->body, "url"), events, call->spec,
			 call->actor, api_on_webhook_added, call);
}

static void api_on_secret(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		api_answer_secret(call, 200, "queue", call->queue, strlen(call->queue));
}

void api_webhook_secret(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "queue", "secret" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err) ||
	    !api_queue_or_default(call, fields_text(call->body, "queue"), &err)) {
		api_refuse(call, &err);
		return;
	}
	api_take_secret(call);
	jobs_webhook_secret(call->scheduler->jobs, call->queue, call->spec, api_on_secret, call);
}

/* ---- removing, testing ---- */

static void api_on_webhook_removed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		api_answer(call, 200, json_pack("{s:s, s:s}", "queue", call->queue, "id", call->key));
}

void api_remove_webhook(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (call)
		jobs_webhook_remove(call->scheduler->jobs, call->queue, call->key, call->actor, api_on_webhook_removed,
				    call);
}

static void api_on_tested(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_went_well(call, err))
		return;
	webhooks_look(call->scheduler->webhooks, call->queue);
	api_answer(call, 201, json_pack("{s:s%}", "delivery", text, len));
}

void api_test_webhook(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (call)
		jobs_webhook_test(call->scheduler->jobs, call->queue, call->key, api_on_tested, call);
}

/* ---- deliveries ---- */

void api_deliveries(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_limit(call, request, 50, 100, &err) && api_after(call, request, "cursor", &err))
		jobs_webhook_dead(call->scheduler->jobs, call->queue, (int)call->limit, call->after, api_on_document,
				  call);
	else
		api_refuse(call, &err);
}

void api_delivery(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (call)
		jobs_webhook_delivery(call->scheduler->jobs, call->queue, call->key, api_on_document, call);
}

static void api_on_resent(void *arg, int64_t count, int64_t left, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_went_well(call, err))
		return;
	webhooks_look(call->scheduler->webhooks, call->queue);
	api_answer(call, 200, json_pack("{s:I, s:I}", "count", (json_int_t)count, "dead", (json_int_t)left));
}

void api_resend(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_queue_call_new(arg, request, reply);
	if (call)
		jobs_webhook_resend(call->scheduler->jobs, call->queue, call->key, api_on_resent, call);
}
