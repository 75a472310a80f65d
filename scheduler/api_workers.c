/* The workers that serve the queues, and what operators ask of them. */
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api_gather.h"
#include "lib/fields.h"

void api_workers_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_workers(call->scheduler->jobs, queue, fn, arg);
}

/* What stands as JSON text in a hash is shown as what it is. */
static void api_worker_unfold(json_t *worker)
{
	static const char *const names[] = { "capacity", "used", "runs", "limits" };
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

json_t *api_workers_of(const struct gathered *all, size_t count)
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
	return workers;
}

static void api_workers_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	api_answer(call, 200, json_pack("{s:o}", "workers", api_workers_of(all, count)));
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

/* ---- drain, resume: in every queue that the worker serves ---- */

static void api_drain_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_worker_drain(call->scheduler->jobs, queue, call->key, fields_text(call->body, "reason"), call->actor, fn,
			  arg);
}

static void api_resume_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_worker_resume(call->scheduler->jobs, queue, call->key, call->actor, fn, arg);
}

static void api_told_worker(struct api_call *call, const struct gathered *all, size_t count)
{
	json_t *queues = json_array();
	const char *state = "";
	for (size_t i = 0; i < count; i++) {
		if (!all[i].answers[0])
			continue; /* not of this queue */
		state = fields_text(all[i].answers[0], "state");
		json_array_append_new(queues, json_string(all[i].queue));
	}
	if (json_array_size(queues)) {
		api_answer(call, 200,
			   json_pack("{s:s, s:s, s:o}", "worker", call->key, "state", state, "queues", queues));
		return;
	}
	struct error err;
	json_decref(queues);
	error_set(&err, ERR_NOT_FOUND, "stoker workers lists those there are", "no worker %s", call->key);
	api_refuse(call, &err);
}

static void api_tell_worker(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
			    const struct api_gather_options *options)
{
	static const char *const keys[] = { "reason" };
	struct error err;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return;
	bool is_valid = api_body(call, request, keys, ARRAY_LEN(keys), &err) &&
			api_queue(call, http_request_query(request, "queue"), &err);
	if (is_valid && !str_copy(call->key, sizeof call->key, request->segment))
		is_valid = error_set(&err, ERR_NOT_FOUND, "stoker workers lists those there are", "no such worker");
	const json_t *reason = json_object_get(call->body, "reason");
	if (is_valid && reason && !json_is_string(reason))
		is_valid = error_set(&err, ERR_INPUT, NULL, "reason: expected a text");
	if (is_valid)
		api_gather(call, options);
	else
		api_refuse(call, &err);
}

void api_worker_drain(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_drain_ask, api_told_worker };
	api_tell_worker(arg, request, reply, &options);
}

void api_worker_resume(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_resume_ask, api_told_worker };
	api_tell_worker(arg, request, reply, &options);
}
