/* Queues. */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api_gather.h"
#include "scheduler/goodput.h"
#include "lib/fields.h"

static void api_queues_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_stats(call->scheduler->jobs, queue, fn, arg);
}

static void api_queues_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	json_t *queues = json_array();
	json_auto_t *fleet = json_object();
	for (size_t i = 0; i < count; i++) {
		json_t *stats = all[i].answers[0];
		if (!stats)
			continue;
		goodput_add(fleet, json_object_get(stats, "goodput"));
		json_object_set_new(stats, "goodput", goodput_of_sums(json_object_get(stats, "goodput")));
		json_array_append(queues, stats);
	}
	api_answer(call, 200, json_pack("{s:o, s:o}", "queues", queues, "goodput", goodput_of_sums(fleet)));
}

void api_queues(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_queues_ask, api_queues_answer };
	struct api_call *call = api_call_new(arg, request, reply);
	if (call)
		api_gather(call, &options);
}

static void api_on_created(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_went_well(call, err))
		api_answer(call, 201, json_pack("{s:s%}", "queue", text, len));
}

void api_create_queue(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "queue" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	bool is_valid = api_body(call, request, keys, ARRAY_LEN(keys), &err) &&
			api_queue(call, fields_text(call->body, "queue"), &err);
	if (is_valid && !*call->queue)
		is_valid = error_set(&err, ERR_INPUT, "for example {\"queue\":\"gpu\"}", "queue: expected a name");
	if (is_valid)
		jobs_create_queue(call->scheduler->jobs, call->queue, call->scheduler->installation, api_on_created,
				  call);
	else
		api_refuse(call, &err);
}
