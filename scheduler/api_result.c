/* The result of a job, byte for byte as its program wrote it. */
#include "lib/fields.h"
#include "scheduler/api.h"

void api_refuse_result(struct api_call *call, const json_t *show)
{
	struct error none;
	const char *state = fields_text(json_object_get(show, "job"), "state");
	if (fields_is(json_object_get(show, "job"), "state", "succeeded"))
		error_set(&none, ERR_NOT_FOUND, "docs/programs.md says how a program leaves one",
			  "job %s left no result", call->id);
	else
		error_set(&none, ERR_NOT_FOUND, "only what succeeded has one", "job %s has no result: it is %s",
			  call->id, state);
	api_refuse(call, &none);
}

/* There is none: of which job, and why not yet? */
static void api_on_result_show(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, ARCHIVE_RECORD, api_archived_result))
		return;
	json_auto_t *show = api_parse(call, text, len, err);
	if (show)
		api_refuse_result(call, show);
}

static void api_on_result(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND) {
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_result_show, call);
		return;
	}
	if (!api_went_well(call, err))
		return;
	http_reply_json(call->reply, 200, text, len);
	api_forget(call);
}

void api_result(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (call)
		jobs_result(call->scheduler->jobs, call->queue, call->n, api_on_result, call);
}
