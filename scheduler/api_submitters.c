/* Who may use an inbox of a queue (lua/inbox.lua). */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"
#include "lib/fields.h"

static void api_on_submitters(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *answer = api_parse(call, text, len, err);
	if (answer)
		api_answer(call, 200, answer);
}

void api_submitters(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_queue_or_default(call, http_request_query(request, "queue"), &err))
		jobs_submitters(call->scheduler->jobs, call->queue, api_on_submitters, call);
	else
		api_refuse(call, &err);
}

/* What an app has to know, and an operator to write into the file of users. */
static void api_on_added(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	char inbox[JOBS_KEY_MAX], answers[JOBS_KEY_MAX];
	(void)text;
	(void)len;
	if (!api_went_well(call, err))
		return;
	jobs_inbox_keys(call->scheduler->jobs, call->queue, call->key, inbox, answers);
	api_answer(call, 201,
		   json_pack("{s:s, s:s, s:s, s:s}", "queue", call->queue, "name", call->key, "inbox", inbox, "reply",
			     answers));
}

void api_add_submitter(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "queue", "name" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	bool is_valid = api_body(call, request, keys, ARRAY_LEN(keys), &err) &&
			api_queue_or_default(call, fields_text(call->body, "queue"), &err);
	if (is_valid && !str_copy(call->key, sizeof call->key, fields_text(call->body, "name")))
		is_valid = error_set(&err, ERR_INPUT, NULL, "name: longer than 64 characters");
	if (is_valid)
		jobs_submitter(call->scheduler->jobs, call->queue, "add", call->key, call->actor, api_on_added, call);
	else
		api_refuse(call, &err);
}

static void api_on_removed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		api_answer(call, 200, json_pack("{s:s, s:s}", "queue", call->queue, "name", call->key));
}

void api_remove_submitter(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	bool is_valid = api_queue_or_default(call, http_request_query(request, "queue"), &err);
	if (is_valid && !str_copy(call->key, sizeof call->key, request->segment))
		is_valid = error_set(&err, ERR_INPUT, NULL, "name: longer than 64 characters");
	if (is_valid)
		jobs_submitter(call->scheduler->jobs, call->queue, "remove", call->key, call->actor, api_on_removed,
			       call);
	else
		api_refuse(call, &err);
}
