/* Batches, and the jobs of one: page after page, and ranked by a metric. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/api_gather.h"

enum { BATCH_PAGE = 100, BATCH_RANK_MAX = 10000 };

/* ---- the list ---- */

static void api_batches_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	jobs_batches(call->scheduler->jobs, queue, (int)call->limit, call->after, fn, arg);
}

static int api_batches_order(const void *a, const void *b)
{
	int64_t left = fields_int(*(json_t *const *)a, "created_ms", 0);
	int64_t right = fields_int(*(json_t *const *)b, "created_ms", 0);
	return (right > left) - (right < left);
}

/* As api_list_answer: a cursor only within one queue. */
static void api_batches_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	size_t total = 0, used = 0, row;
	json_t *batch, *batches = json_array();
	for (size_t i = 0; i < count; i++)
		total += json_array_size(json_object_get(all[i].answers[0], "batches"));
	json_t **sorted = mem_alloc((total + 1) * sizeof *sorted);
	for (size_t i = 0; i < count; i++)
		json_array_foreach(json_object_get(all[i].answers[0], "batches"), row, batch)
		{
			json_object_set_new(batch, "queue", json_string(all[i].queue));
			sorted[used++] = batch;
		}
	if (count > 1)
		qsort(sorted, used, sizeof *sorted, api_batches_order);
	for (size_t i = 0; i < used && i < (size_t)call->limit; i++)
		json_array_append(batches, sorted[i]);
	free(sorted);
	const char *cursor = count == 1 ? fields_text(all[0].answers[0], "cursor") : "";
	api_answer(call, 200, json_pack("{s:o, s:s}", "batches", batches, "cursor", cursor));
}

void api_batches(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { 1, api_batches_ask, api_batches_answer };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_queue(call, http_request_query(request, "queue"), &err) &&
	    api_limit(call, request, 50, BATCH_PAGE, &err) && api_after(call, request, "cursor", &err))
		api_gather(call, &options);
	else
		api_refuse(call, &err);
}

/* ---- making one ---- */

static void api_on_batch(void *arg, const char *text, size_t len, const struct error *err);

static void api_batch_send(struct api_call *call)
{
	json_auto_t *rest = json_copy(call->body);
	const char *batch = fields_text(call->body, "batch");
	json_object_del(rest, "batch");
	json_object_del(rest, "queue");
	CLEANUP(free_p) char *text = json_dumps(rest, JSON_COMPACT);
	jobs_batch(call->scheduler->jobs, call->queue, batch, text, call->actor, api_on_batch, call);
}

static void api_on_batch(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_makes_queue(call, err, api_batch_send) && api_went_well(call, err))
		api_answer(call, 201, json_pack("{s:s%}", "batch", text, len));
}

void api_create_batch(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "batch", "queue", "size", "then", "webhook" };
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_body(call, request, keys, ARRAY_LEN(keys), &err)) {
		api_refuse(call, &err);
		return;
	}
	const char *queue = fields_text(call->body, "queue");
	if (api_queue(call, *queue ? queue : "default", &err))
		api_batch_send(call);
	else
		api_refuse(call, &err);
}

/* ---- the jobs of one ---- */

/*
 * What call->show collects: jobs, and the batches that they are of, each with its queue. Several queues may have a
 * batch of that name; call->show.queues are those that are not done yet, and call->n of the jobs are of others.
 */
static void api_members_next(struct api_call *call);

/* A missing value comes last, whichever way it is ranked. */
static double api_rank_of(const json_t *job, bool is_descending)
{
	double value;
	if (!fields_number(job, "rank", &value) || isnan(value))
		return INFINITY;
	return is_descending ? -value : value;
}

static int api_rank_ascending(const void *a, const void *b)
{
	double left = api_rank_of(*(json_t *const *)a, false), right = api_rank_of(*(json_t *const *)b, false);
	return (left > right) - (left < right);
}

static int api_rank_descending(const void *a, const void *b)
{
	double left = api_rank_of(*(json_t *const *)a, true), right = api_rank_of(*(json_t *const *)b, true);
	return (left > right) - (left < right);
}

static void api_members_sort(struct api_call *call, json_t **jobs, size_t count)
{
	bool is_descending = call->spec && *call->spec == '-';
	if (call->spec)
		qsort(jobs, count, sizeof *jobs, is_descending ? api_rank_descending : api_rank_ascending);
	else if (json_array_size(json_object_get(call->show, "batches")) > 1)
		qsort(jobs, count, sizeof *jobs, api_newest_first);
}

static void api_members_answer(struct api_call *call)
{
	json_t *jobs = json_object_get(call->show, "jobs"), *answered = json_array();
	json_t *batches = json_object_get(call->show, "batches");
	size_t count = json_array_size(jobs);
	json_t **sorted = mem_alloc((count + 1) * sizeof *sorted);
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(jobs, i);
	api_members_sort(call, sorted, count);
	for (size_t i = 0; i < count && i < (size_t)call->limit; i++) {
		api_list_explain(sorted[i], NULL, NULL);
		json_array_append(answered, sorted[i]);
	}
	free(sorted);
	/* As api_list_answer: a cursor only within one queue. */
	bool is_one = json_array_size(batches) == 1;
	json_t *answer = json_pack("{s:o, s:s}", "jobs", answered, "cursor", is_one && !call->spec ? call->after : "");
	json_object_set(answer, is_one ? "batch" : "batches", is_one ? json_array_get(batches, 0) : batches);
	api_answer(call, 200, answer);
}

static void api_members_queue(struct api_call *call)
{
	json_t *queues = json_object_get(call->show, "queues");
	str_copy(call->queue, sizeof call->queue, json_string_value(json_array_get(queues, 0)));
	json_array_remove(queues, 0);
	call->n = (int64_t)json_array_size(json_object_get(call->show, "jobs"));
	api_members_next(call);
}

static void api_members_add(struct api_call *call, const json_t *page)
{
	json_t *jobs = json_object_get(call->show, "jobs"), *batches = json_object_get(call->show, "batches"), *job;
	json_t *batch = json_object_get(page, "batch"), *last = json_array_get(batches, json_array_size(batches) - 1);
	size_t i;
	if (!fields_is(last, "queue", call->queue)) {
		json_object_set_new(batch, "queue", json_string(call->queue));
		json_array_append(batches, batch);
	}
	json_array_foreach(json_object_get(page, "jobs"), i, job) if (!*call->name || api_has_tag(job, call->name))
		json_array_append(jobs, job);
}

static void api_on_members(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	api_members_add(call, page);
	str_copy(call->after, sizeof call->after, fields_text(page, "cursor"));
	int64_t wanted = call->spec ? BATCH_RANK_MAX : call->limit;
	if (*call->after && (int64_t)json_array_size(json_object_get(call->show, "jobs")) - call->n < wanted) {
		api_members_next(call);
	} else if (json_array_size(json_object_get(call->show, "queues")) > 0) {
		*call->after = '\0';
		api_members_queue(call);
	} else {
		api_members_answer(call);
	}
}

static void api_members_next(struct api_call *call)
{
	int64_t left = call->limit + call->n - (int64_t)json_array_size(json_object_get(call->show, "jobs"));
	const char *metric = call->spec ? call->spec + (*call->spec == '-') : NULL;
	struct members_page page = { .batch = call->id,
				     .state = call->key,
				     .limit = call->spec || left > BATCH_PAGE ? BATCH_PAGE : (int)left,
				     .cursor = call->after,
				     .metric = metric };
	jobs_members(call->scheduler->jobs, call->queue, &page, api_on_members, call);
}

/* queues is taken. */
static void api_members_of(struct api_call *call, json_t *queues)
{
	if (json_array_size(queues) > 1)
		*call->after = '\0'; /* a cursor is one of a single queue */
	call->show = json_pack("{s:[], s:[], s:o}", "jobs", "batches", "queues", queues);
	api_members_queue(call);
}

/* ---- without a queue: those that have it ---- */

static void api_members_seek(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	(void)which;
	struct members_page page = { .batch = call->id, .state = call->key, .limit = 1, .cursor = "" };
	jobs_members(call->scheduler->jobs, queue, &page, fn, arg);
}

static void api_members_found(struct api_call *call, const struct gathered *all, size_t count)
{
	struct error err;
	json_t *queues = json_array();
	for (size_t i = 0; i < count; i++)
		if (all[i].answers[0])
			json_array_append_new(queues, json_string(all[i].queue));
	if (json_array_size(queues) > 0) {
		api_members_of(call, queues);
		return;
	}
	json_decref(queues);
	error_set(&err, ERR_NOT_FOUND, "stoker batches", "no queue has a batch %s", call->id);
	api_refuse(call, &err);
}

void api_members(struct api_call *call, const struct http_request *request)
{
	static const struct api_gather_options options = { 1, api_members_seek, api_members_found };
	struct error err;
	const char *rank = http_request_query(request, "rank");
	const char *batch = http_request_query(request, "batch");
	call->spec = rank && *rank ? mem_strdup(rank) : NULL;
	if (!str_copy(call->id, sizeof call->id, batch)) {
		error_set(&err, ERR_INPUT, NULL, "batch: longer than 64 characters");
		api_refuse(call, &err);
	} else if (*call->queue) {
		api_members_of(call, json_pack("[s]", call->queue));
	} else {
		api_gather(call, &options);
	}
}
