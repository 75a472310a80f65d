/* Queues, and the workers that serve them. */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api_gather.h"
#include "lib/fields.h"

/* ---- queues ---- */

static void api_queues_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_stats(call->scheduler->jobs, queue, fn, arg);
}

static void api_queues_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	json_t *queues = json_array();
	for (size_t i = 0; i < count; i++)
		if (all[i].answers[0])
			json_array_append(queues, all[i].answers[0]);
	api_answer(call, 200, json_pack("{s:o}", "queues", queues));
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

/* ---- workers ---- */

static void api_workers_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_workers(call->scheduler->jobs, queue, fn, arg);
}

/* What stands as JSON text in a hash is shown as what it is. */
static void api_worker_unfold(json_t *worker)
{
	static const char *const names[] = { "capacity", "used", "runs" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		json_t *value = fields_json(worker, names[i]);
		if (value)
			json_object_set_new(worker, names[i], value);
	}
}

/* A worker that serves several queues is one row with all their names. */
static void api_workers_add(json_t *by_id, json_t *worker, const char *queue)
{
	const char *id = fields_text(worker, "id");
	json_t *known = json_object_get(by_id, id);
	if (!known) {
		api_worker_unfold(worker);
		json_object_set_new(worker, "queues", json_array());
		json_object_set(by_id, id, worker);
		known = worker;
	}
	json_array_append_new(json_object_get(known, "queues"), json_string(queue));
}

static void api_workers_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	json_auto_t *by_id = json_object();
	for (size_t i = 0; i < count; i++) {
		size_t row;
		json_t *worker;
		json_array_foreach(all[i].answers[0], row, worker) api_workers_add(by_id, worker, all[i].queue);
	}
	json_t *workers = json_array();
	const char *id;
	json_t *worker;
	json_object_foreach(by_id, id, worker) json_array_append(workers, worker);
	api_answer(call, 200, json_pack("{s:o}", "workers", workers));
}

void api_workers(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_workers_ask, api_workers_answer };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_queue(call, http_request_query(request, "queue"), &err))
		api_gather(call, &options);
	else
		api_refuse(call, &err);
}
