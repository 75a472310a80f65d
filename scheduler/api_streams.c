/* Logs, metrics and events: pages of their streams, and following them. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"
#include "lib/fields.h"
#include "scheduler/follow.h"
#include "scheduler/points.h"

/* {"entries":[…],"next":"<id of the last one>"}; takes the reference. */
void api_answer_entries(struct api_call *call, json_t *entries)
{
	size_t count = json_array_size(entries);
	const char *next = count ? fields_text(json_array_get(entries, count - 1), "id") : call->after;
	char last[64];
	str_copy(last, sizeof last, next);
	if (!json_is_array(entries)) { /* Lua writes an empty list as an empty object */
		json_decref(entries);
		entries = json_array();
	}
	api_answer(call, 200, json_pack("{s:o, s:s}", "entries", entries, "next", last));
}

/* Nothing: because there is none, or because there is no such job, or because it is in the archive? */
static void api_on_exists(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, call->part, api_archived_entries))
		return;
	json_auto_t *show = api_parse(call, text, len, err);
	if (show)
		api_answer_entries(call, json_array());
}

static void api_on_entries(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *entries = api_parse(call, text, len, err);
	if (!entries)
		return;
	if (json_array_size(entries) > 0 || call->n == 0) {
		api_answer_entries(call, entries);
		return;
	}
	json_decref(entries);
	jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_exists, call);
}

static bool api_page(struct api_call *call, const struct http_request *request, struct error *err)
{
	return api_limit(call, request, 1000, API_LIMIT_MAX, err) && api_after(call, request, "after", err);
}

void api_logs(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	call->part = ARCHIVE_LOG;
	if (api_page(call, request, &err))
		jobs_read_stream(call->scheduler->jobs, call->queue, STREAM_LOG, call->n, call->after, (int)call->limit,
				 api_on_entries, call);
	else
		api_refuse(call, &err);
}

/* ---- metrics ---- */

static void api_read_points(struct api_call *call);

/* All pages, since what stands at the end may void what stands at the start. */
static void api_on_points(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	size_t count = json_array_size(page);
	if (!call->show)
		call->show = json_array();
	json_array_extend(call->show, page);
	if (count == (size_t)call->limit) {
		str_copy(call->after, sizeof call->after, fields_text(json_array_get(page, count - 1), "id"));
		api_read_points(call);
		return;
	}
	if (json_array_size(call->show))
		api_answer_entries(call, points_merge(call->show));
	else
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_exists, call);
}

static void api_read_points(struct api_call *call)
{
	jobs_read_stream(call->scheduler->jobs, call->queue, STREAM_METRICS, call->n, call->after, (int)call->limit,
			 api_on_points, call);
}

void api_metrics(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	call->part = ARCHIVE_METRICS;
	call->is_merged = api_flag(request, "merged");
	if (!api_page(call, request, &err)) {
		api_refuse(call, &err);
	} else if (call->is_merged) {
		call->limit = 1000; /* a page: how much one read of Redis costs it */
		api_read_points(call);
	} else {
		jobs_read_stream(call->scheduler->jobs, call->queue, STREAM_METRICS, call->n, call->after,
				 (int)call->limit, api_on_entries, call);
	}
}

/* ---- events, and following ---- */

void api_events(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct scheduler *s = arg;
	struct error err;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return;
	const char *queue = http_request_query(request, "queue");
	if (!api_queue(call, queue && *queue ? queue : "default", &err) || !api_page(call, request, &err)) {
		api_refuse(call, &err);
	} else if (api_flag(request, "follow")) {
		const struct follow_options options = { .queue = call->queue, .after = call->after };
		follow_start(s->follow, &options, reply);
		api_forget(call);
	} else {
		jobs_read_stream(s->jobs, call->queue, STREAM_EVENTS, 0, call->after, (int)call->limit, api_on_entries,
				 call);
	}
}

void api_follow(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct scheduler *s = arg;
	struct api_call *call = api_job_call_new(s, request, reply);
	if (!call)
		return;
	const struct follow_options options = { .queue = call->queue,
						.n = call->n,
						.after = "",
						.wants_logs = api_flag(request, "logs"),
						.wants_metrics = api_flag(request, "metrics"),
						.wants_history = api_flag(request, "events") };
	follow_start(s->follow, &options, reply);
	api_forget(call);
}
