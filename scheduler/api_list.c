/* Jobs of one queue or of all, newest first, each with its sentence. */
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "scheduler/api_gather.h"
#include "scheduler/explain.h"
#include "lib/fields.h"

enum { API_LIST_MAX = 100 };
enum { LIST_JOBS, LIST_WORKERS, LIST_QUESTIONS }; /* what is asked of each queue */

static void api_list_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	struct jobs *jobs = call->scheduler->jobs;
	if (which == LIST_JOBS)
		jobs_list(jobs, queue, call->key, (int)call->limit, call->after, fn, arg);
	else
		jobs_workers(jobs, queue, fn, arg);
}

/* The wall clock is good enough here: "in 42 s" is for people. */
void api_list_explain(json_t *job, const json_t *page, const json_t *workers)
{
	CLEANUP(buf) struct buf why;
	buf_init(&why, 4096);
	json_auto_t *show =
		json_pack("{s:s, s:O, s:O*, s:O*, s:O*, s:O*, s:I}", "id", fields_text(job, "id"), "job", job,
			  "requirement", json_object_get(job, "requirement"), "paused", json_object_get(page, "paused"),
			  "running", json_object_get(page, "running"), "max_running",
			  json_object_get(page, "max_running"), "now_ms", (json_int_t)clock_wall_ms());
	explain_job(show, workers, &why);
	explain_add_left(job, fields_int(show, "now_ms", 0));
	json_object_set_new(job, "why", json_stringn(buf_text(&why), why.len));
}

int api_newest_first(const void *a, const void *b)
{
	int64_t left = fields_int(*(json_t *const *)a, "submitted_ms", 0);
	int64_t right = fields_int(*(json_t *const *)b, "submitted_ms", 0);
	return (right > left) - (right < left);
}

static void api_list_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	/* Each queue answered newest first; only several of them need sorting. Pages go on
	 * within one queue: a cursor of several would have to remember a place in each. */
	size_t total = 0, used = 0;
	for (size_t i = 0; i < count; i++)
		total += json_array_size(json_object_get(all[i].answers[LIST_JOBS], "jobs"));
	json_t **sorted = mem_alloc(total * sizeof *sorted);
	for (size_t i = 0; i < count; i++) {
		size_t row;
		json_t *job;
		json_array_foreach(json_object_get(all[i].answers[LIST_JOBS], "jobs"), row, job)
		{
			if (*call->name && !api_has_tag(job, call->name))
				continue;
			api_list_explain(job, all[i].answers[LIST_JOBS], all[i].answers[LIST_WORKERS]);
			sorted[used++] = job;
		}
	}
	if (count > 1)
		qsort(sorted, used, sizeof *sorted, api_newest_first);
	json_t *jobs = json_array();
	for (size_t i = 0; i < used && i < (size_t)call->limit; i++)
		json_array_append(jobs, sorted[i]);
	free(sorted);
	const char *cursor = count == 1 ? fields_text(all[0].answers[LIST_JOBS], "cursor") : "";
	api_answer(call, 200, json_pack("{s:o, s:s}", "jobs", jobs, "cursor", cursor));
}

/* A page has those that carry the tag, which may be none: its cursor says that there is more. */
static bool api_list_tag(struct api_call *call, const struct http_request *request, struct error *err)
{
	const char *tag = http_request_query(request, "tag");
	if (!str_copy(call->name, sizeof call->name, tag ? tag : ""))
		return error_set(err, ERR_INPUT, NULL, "tag: longer than 64 characters");
	if (*call->name && !*call->queue && !http_request_query(request, "batch"))
		return error_set(err, ERR_INPUT, "add queue=…", "tag: pages that are searched are those of one queue");
	return true;
}

void api_list(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { LIST_QUESTIONS, api_list_ask, api_list_answer };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	const char *state = http_request_query(request, "state");
	if (!str_copy(call->key, sizeof call->key, state && *state ? state : "all"))
		str_copy(call->key, sizeof call->key, "?"); /* the function says which there are */
	if (!api_queue(call, http_request_query(request, "queue"), &err) ||
	    !api_limit(call, request, 50, http_request_query(request, "batch") ? API_LIMIT_MAX : API_LIST_MAX, &err) ||
	    !api_after(call, request, "cursor", &err) || !api_list_tag(call, request, &err))
		api_refuse(call, &err);
	else if (strcmp(call->key, "archived") == 0)
		api_archived_list(call, request);
	else if (http_request_query(request, "batch"))
		api_members(call, request);
	else
		api_gather(call, &options);
}
