/*
 * A graph is submitted: up to GRAPH_A_CALL jobs in one call of stoker_graph; more are staged page by page, parents
 * first, and shown by one stoker_commit. A request that was cut off and comes again with its key finds what it had
 * staged.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/fields.h"
#include "queue/spec.h"
#include "scheduler/api.h"
#include "scheduler/ticker.h"

static void api_stage_next(struct api_call *call);

/* The batch of a graph that names none is named after its first number. ids is taken. */
static void api_graph_answer(struct api_call *call, json_t *ids)
{
	char queue[SPEC_QUEUE_MAX + 1], batch[40];
	int64_t n, first = INT64_MAX;
	size_t i;
	json_t *id;
	json_array_foreach(ids, i, id) if (spec_split_id(json_string_value(id), queue, &n, NULL) && n < first) first =
		n;
	str_format(batch, sizeof batch, "graph-%" PRId64, first);
	const char *name = call->graph.batch ? call->graph.batch : batch;
	http_reply_location(call->reply, API_JOBS "?queue=%s&batch=%s", call->queue, name);
	api_answer(call, 201, json_pack("{s:o, s:s}", "ids", ids, "batch", name));
}

/* ---- one call ---- */

static void api_on_graph(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_makes_queue(call, err, api_submit_graph) && api_went_well(call, err))
		api_graph_answer(call, fields_parse(text, len));
}

/* ---- in pages ---- */

/* The key names the stage, so that the same request goes on where it was; the text, too, so that another does not. */
static void api_stage_name(struct api_call *call)
{
	unsigned char random[16] = { 0 };
	CLEANUP(digest) struct digest *digest = digest_new();
	if (*call->key)
		digest_add(digest, call->key, strlen(call->key));
	else if (getrandom(random, sizeof random, 0) == (ssize_t)sizeof random)
		digest_add(digest, random, sizeof random);
	for (size_t i = 0; i < call->graph.count; i++)
		digest_add(digest, call->graph.specs[i], strlen(call->graph.specs[i]) + 1);
	str_format(call->after, sizeof call->after, "%.32s", digest_take(digest).text);
}

/* Staged jobs are numbered parents first; the request has them in another order. */
static void api_on_committed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *staged = api_parse(call, text, len, err);
	if (!staged)
		return;
	json_t *ids = json_array();
	for (size_t i = 0; i < call->graph.count; i++)
		json_array_append_new(ids, json_null());
	for (size_t i = 0; i < call->graph.count; i++)
		json_array_set(ids, call->graph.order[i], json_array_get(staged, i));
	ticker_wake(call->scheduler->ticker); /* it queues those that wait for nobody */
	api_graph_answer(call, ids);
}

/* "jobs[3]: …" counts in the order of the stage: back to that of the request. */
static void api_stage_refuse(struct api_call *call, const struct error *err)
{
	struct error own = *err;
	char *end = NULL;
	if (strncmp(err->message, "jobs[", 5) == 0) {
		size_t at = strtoul(err->message + 5, &end, 10);
		if (*end == ']' && at < call->graph.count)
			str_format(own.message, sizeof own.message, "jobs[%zu%s", call->graph.order[at], end);
	}
	api_refuse(call, &own);
}

static void api_on_staged(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)len;
	struct api_call *call = arg;
	if (api_makes_queue(call, err, api_submit_graph))
		return;
	if (err) {
		api_stage_refuse(call, err);
		return;
	}
	call->limit = strtoll(text, NULL, 10);
	api_stage_next(call);
}

/* call->limit: so many are staged. */
static void api_stage_next(struct api_call *call)
{
	const struct graph *graph = &call->graph;
	const char *specs[GRAPH_A_CALL];
	struct stage_page page = { call->after, graph->count, (size_t)call->limit, specs, 0 };
	struct jobs *jobs = call->scheduler->jobs;
	while (page.count < GRAPH_A_CALL && page.at + page.count < graph->count) {
		specs[page.count] = graph->specs[graph->order[page.at + page.count]];
		page.count++;
	}
	if (page.count)
		jobs_stage(jobs, call->queue, &page, api_on_staged, call);
	else
		jobs_commit(jobs, call->queue,
			    &(struct stage_end){ call->after, call->key, graph->batch, &graph->following }, call->actor,
			    api_on_committed, call);
}

void api_submit_graph(struct api_call *call)
{
	if (call->graph.count <= GRAPH_A_CALL) {
		CLEANUP(free_p) char *text = graph_json(&call->graph);
		jobs_graph(call->scheduler->jobs, call->queue, text, call->key, call->actor, api_on_graph, call);
		return;
	}
	api_stage_name(call);
	call->limit = 0;
	api_stage_next(call);
}
