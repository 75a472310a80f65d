/* Everything about one job, with the sentence that says why. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "scheduler/api.h"
#include "scheduler/attempts.h"
#include "scheduler/explain.h"
#include "scheduler/goodput.h"
#include "lib/fields.h"

enum { API_LAST_ENTRIES = 8, API_LAST_LINES = 10, API_TAG_DIGITS = 32, API_SHOW_MAX = 64 * 1024 * 1024 };

/* The answer has a tag by which a client learns that nothing changed. What is counted on from the time of asking stands
 * behind the rest, and is no part of the tag. */
static void api_show_tagged(struct api_call *call)
{
	static const char *const counted[] = { "time", "now_ms" };
	CLEANUP(buf) struct buf whole;
	buf_init(&whole, API_SHOW_MAX);
	json_auto_t *rest = json_object();
	for (size_t i = 0; i < ARRAY_LEN(counted); i++) {
		json_t *value = json_object_get(call->show, counted[i]);
		if (value)
			json_object_set(rest, counted[i], value);
		json_object_del(call->show, counted[i]);
	}
	CLEANUP(free_p) char *text = json_dumps(call->show, JSON_COMPACT);
	CLEANUP(free_p) char *rest_text = json_dumps(rest, JSON_COMPACT);
	struct digest_hex hash = digest_of(text, strlen(text));
	hash.text[API_TAG_DIGITS] = '\0';
	http_reply_tag(call->reply, hash.text);
	text[strlen(text) - 1] = ','; /* both are objects, and neither is empty */
	buf_str(&whole, text);
	buf_str(&whole, rest_text + 1);
	http_reply_json(call->reply, 200, buf_text(&whole), whole.len);
	api_forget(call);
}

void api_show_answer(struct api_call *call, const json_t *workers)
{
	CLEANUP(buf) struct buf why;
	buf_init(&why, 4096);
	explain_job(call->show, workers, &why);
	explain_add_left(json_object_get(call->show, "job"), fields_int(call->show, "now_ms", 0));
	json_t *interval = goodput_interval(call->show);
	json_object_set_new(call->show, "time", goodput_of_job(call->show));
	if (interval)
		json_object_set_new(call->show, "save_every", interval);
	json_object_del(call->show, "goodput"); /* that of the queue: an answer on queues has it */
	json_object_set_new(call->show, "attempts", attempts_of(call->show));
	json_object_set_new(call->show, "why", json_stringn(buf_text(&why), why.len));
	api_show_tagged(call);
}

static void api_on_show_workers(void *arg, const char *text, size_t len, const struct error *err)
{
	json_auto_t *workers = api_parse(arg, text, len, err);
	if (workers)
		api_show_answer(arg, workers);
}

/* The last lines that the program wrote in this attempt, out of the last entries of its log. */
static json_t *api_last_lines(const json_t *entries, int64_t attempt)
{
	json_t *lines = json_array();
	size_t count = json_array_size(entries);
	for (size_t i = count > API_LAST_ENTRIES ? count - API_LAST_ENTRIES : 0; i < count; i++) {
		const json_t *entry = json_array_get(entries, i);
		if (strtoll(fields_text(entry, "id"), NULL, 10) != attempt)
			continue;
		const char *text = fields_text(entry, "stderr");
		if (!*text)
			text = fields_text(entry, "stdout");
		while (*text) {
			size_t len = strcspn(text, "\n");
			json_array_append_new(lines, json_stringn(text, len));
			text += len;
			text += *text == '\n';
		}
	}
	while (json_array_size(lines) > API_LAST_LINES)
		json_array_remove(lines, 0);
	return lines;
}

void api_show_failed(struct api_call *call, const json_t *entries)
{
	json_object_set_new(call->show, "last_lines",
			    api_last_lines(entries, fields_int(json_object_get(call->show, "job"), "attempt", 0)));
	api_show_answer(call, NULL);
}

static void api_on_show_tail(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *entries = api_parse(call, text, len, err);
	if (!entries)
		return;
	api_show_failed(call, entries);
}

static void api_on_show(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, ARCHIVE_RECORD, api_archived_show))
		return;
	json_t *show = api_parse(call, text, len, err);
	if (!show)
		return; /* and the call is no more */
	call->show = show;
	struct jobs *jobs = call->scheduler->jobs;
	const json_t *job = json_object_get(call->show, "job");
	if (fields_is(job, "state", "queued"))
		jobs_workers(jobs, call->queue, api_on_show_workers, call);
	else if (fields_is(job, "state", "failed") || fields_is(job, "reason", "retry"))
		jobs_read_tail(jobs, call->queue, STREAM_LOG, call->n, API_LAST_ENTRIES, api_on_show_tail, call);
	else
		api_show_answer(call, NULL);
}

void api_show(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (call)
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_show, call);
}
