/* Logs, metrics and events: pages of their streams. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"
#include "lib/fields.h"
#include "scheduler/points.h"

enum { API_ID_DIGITS = 19 };      /* of each half: below 2^64 */
enum { API_POINTS_MAX = 300000 }; /* that are merged: what a request may cost the scheduler */

/* {"entries":[…],"next":"<where it goes on>"} */
void api_answer_entries(struct api_call *call, json_t *entries)
{
	size_t count = json_array_size(entries);
	char next[256];
	str_copy(next, sizeof next, call->after);
	if (count)
		api_entry_end(json_array_get(entries, count - 1), next, sizeof next);
	if (!json_is_array(entries)) { /* Lua writes an empty list as an empty object */
		json_decref(entries);
		entries = json_array();
	}
	api_answer(call, 200, json_pack("{s:o, s:s}", "entries", entries, "next", next));
}

static void api_on_events(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *entries = api_parse(call, text, len, err);
	if (entries)
		api_answer_entries(call, entries);
}

/* "", "2" or "2-17": what Redis takes for an id, so that it never has to refuse one. */
static bool api_is_entry(const char *id)
{
	size_t whole = strspn(id, "0123456789"), part = 0;
	if (whole && id[whole] == '-')
		part = strspn(id + whole + 1, "0123456789") + 1;
	return !id[whole + part] && (whole || !*id) && whole <= API_ID_DIGITS && part != 1 && part <= API_ID_DIGITS + 1;
}

static bool api_page(struct api_call *call, const struct http_request *request, struct error *err)
{
	if (!api_limit(call, request, 1000, API_LIMIT_MAX, err) || !api_after(call, request, "after", err))
		return false;
	return api_is_entry(call->after) ||
	       error_set(err, ERR_INPUT, "give back what the last answer said", "after: this is no id of an entry");
}

void api_logs(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	call->part = ARCHIVE_LOG;
	if (api_page(call, request, &err))
		api_read_page(call, api_answer_entries);
	else
		api_refuse(call, &err);
}

/* ---- metrics ---- */

/* All pages, since what stands at the end may void what stands at the start. */
static void api_add_points(struct api_call *call, json_t *page)
{
	size_t count = json_array_size(page);
	struct error err;
	if (!call->show)
		call->show = json_array();
	json_array_extend(call->show, page);
	if (count)
		api_entry_end(json_array_get(page, count - 1), call->after, sizeof call->after);
	json_decref(page);
	if (json_array_size(call->show) > API_POINTS_MAX) {
		error_set(&err, ERR_FULL, "ask for them page by page, without merged", "job %s has more than %d points",
			  call->id, API_POINTS_MAX);
		api_refuse(call, &err);
	} else if (call->has_more) {
		api_read_page(call, api_add_points);
	} else {
		api_answer_entries(call, points_merge(call->show));
	}
}

void api_metrics(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	call->part = ARCHIVE_METRICS;
	if (!api_page(call, request, &err)) {
		api_refuse(call, &err);
	} else if (api_flag(request, "merged")) {
		call->limit = 1000; /* a page: how much one read of Redis costs it */
		api_read_page(call, api_add_points);
	} else {
		api_read_page(call, api_answer_entries);
	}
}

/* ---- events ---- */

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
		api_follow_queue(call, request);
	} else {
		jobs_read_stream(s->jobs, call->queue, STREAM_EVENTS, 0, call->after, (int)call->limit, api_on_events,
				 call);
	}
}
