/* What has left Redis for the archive: the other half of the routes that read or retry one job. */
#include <inttypes.h>
#include <string.h>
#include "lib/clock.h"
#include "lib/fields.h"
#include "scheduler/api.h"

/* ---- asking ---- */

static void api_on_archived(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND && call->missing.kind)
		api_refuse(call, &call->missing);
	else if (err && err->kind == ERR_NOT_FOUND)
		api_on_state(call, call->key, strlen(call->key), NULL);
	else if (api_went_well(call, err))
		call->archived(call, text, len);
}

static void api_ask_archive(struct api_call *call, enum archive_part part, api_archived_fn *fn)
{
	call->archived = fn;
	archive_read(call->scheduler->archive, call->queue, call->n, part, api_on_archived, call);
}

bool api_archived(struct api_call *call, const struct error *err, enum archive_part part, api_archived_fn *fn)
{
	if (!err || err->kind != ERR_NOT_FOUND || !call->scheduler->archive || call->archived)
		return false;
	call->missing = *err;
	api_ask_archive(call, part, fn);
	return true;
}

void api_unless_archived(struct api_call *call, const char *text, size_t len, api_archived_fn *fn)
{
	str_format(call->key, sizeof call->key, "%.*s", (int)len, text);
	api_ask_archive(call, ARCHIVE_RECORD, fn);
}

/* NULL: the call was refused. */
static json_t *api_archived_parse(struct api_call *call, const char *text, size_t len)
{
	struct error err;
	json_t *json = fields_parse(text, len);
	if (json)
		return json;
	error_set(&err, ERR_DAMAGED, "its object in the store is not as it was written",
		  "what the archive has of job %s is no JSON", call->id);
	api_refuse(call, &err);
	return NULL;
}

/* ---- a record, as stoker_show would have it ---- */

/* Objects whose values stand as the texts that they are in Redis. */
static json_t *api_parse_values(const json_t *texts)
{
	json_t *object = json_object();
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)texts, name, value)
	{
		json_t *parsed = fields_json(texts, name);
		if (parsed)
			json_object_set_new(object, name, parsed);
	}
	return object;
}

static json_t *api_parse_list(const json_t *texts)
{
	json_t *list = json_array();
	size_t i;
	json_t *value;
	json_array_foreach(texts, i, value)
	{
		json_t *parsed = fields_parse(json_string_value(value), json_string_length(value));
		if (parsed)
			json_array_append_new(list, parsed);
	}
	return list;
}

/* "<condition> <state>" */
static json_t *api_parse_parents(const json_t *texts)
{
	json_t *parents = json_object();
	const char *id;
	json_t *value;
	json_object_foreach((json_t *)texts, id, value)
	{
		const char *text = json_string_value(value), *state = strchr(text, ' ');
		if (state)
			json_object_set_new(parents, id,
					    json_pack("{s:s%, s:s}", "condition", text, (size_t)(state - text), "state",
						      state + 1));
	}
	return parents;
}

json_t *api_record_read(const char *text, size_t len, const char *id)
{
	json_auto_t *record = fields_parse(text, len);
	if (!record)
		return NULL;
	json_t *spec = fields_json(record, "spec");
	json_t *show = json_pack("{s:s, s:O*, s:o, s:o, s:o, s:{}, s:b, s:I}", "id", id, "job",
				 json_object_get(record, "job"), "spec", spec ? spec : json_object(), "checkpoints",
				 api_parse_values(json_object_get(record, "checkpoints")), "history",
				 api_parse_list(json_object_get(record, "history")), "requirement", "archived", true,
				 "now_ms", (json_int_t)clock_wall_ms());
	const json_t *result = json_object_get(record, "result"), *parents = json_object_get(record, "parents");
	if (result)
		json_object_set_new(
			show, "result",
			json_loadb(json_string_value(result), json_string_length(result), JSON_DECODE_ANY, NULL));
	if (parents)
		json_object_set_new(show, "parents", api_parse_parents(parents));
	if (json_object_get(record, "lineage"))
		json_object_set_new(show, "lineage", api_parse_values(json_object_get(record, "lineage")));
	return show;
}

json_t *api_record_show(struct api_call *call, const char *text, size_t len)
{
	json_auto_t *record = api_archived_parse(call, text, len);
	return record ? api_record_read(text, len, call->id) : NULL;
}

static void api_archived_failed(struct api_call *call, const char *text, size_t len)
{
	json_auto_t *entries = len ? fields_parse(text, len) : NULL;
	api_show_failed(call, entries);
}

void api_archived_show(struct api_call *call, const char *text, size_t len)
{
	json_t *show = api_record_show(call, text, len);
	if (!show)
		return;
	call->show = show;
	if (fields_is(json_object_get(call->show, "job"), "state", "failed"))
		api_ask_archive(call, ARCHIVE_LOG, api_archived_failed);
	else
		api_show_answer(call, NULL);
}

void api_archived_result(struct api_call *call, const char *text, size_t len)
{
	json_auto_t *show = api_record_show(call, text, len);
	json_auto_t *record = show ? fields_parse(text, len) : NULL;
	const json_t *result = json_object_get(record, "result");
	if (!show)
		return;
	if (!result) {
		api_refuse_result(call, show);
		return;
	}
	http_reply_json(call->reply, 200, json_string_value(result), json_string_length(result));
	api_forget(call);
}

/* ---- retry ---- */

void api_archived_retry(struct api_call *call, const char *text, size_t len)
{
	json_auto_t *record = api_archived_parse(call, text, len);
	if (!record)
		return;
	const struct jobs_retry retry = {
		.n = call->n,
		.attempt = call->limit >= 0 ? call->limit : fields_int(json_object_get(record, "job"), "attempt", 0),
		.actor = call->actor,
		.archived = text,
		.resume = api_resume_of(call),
	};
	jobs_retry(call->scheduler->jobs, call->queue, &retry, api_on_retried, call);
}

/* ---- a page of all ---- */

static void api_on_archived_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	size_t i;
	json_t *job;
	json_t *jobs = json_array();
	const char *cursor = fields_text(page, "cursor");
	bool is_past = call->past_ms && *cursor;
	json_array_foreach(json_object_get(page, "jobs"), i, job)
	{
		if (*call->name && !api_has_tag(job, call->name))
			continue;
		api_list_explain(job, page, NULL);
		json_array_append(jobs, job);
	}
	api_answer(call, 200,
		   json_pack("{s:o, s:o}", "jobs", jobs, "cursor",
			     is_past ? json_sprintf("past:%lld:%s", (long long)call->past_ms, cursor)
				     : json_string(cursor)));
}

/* The cursor of a page from the store: "<n>", or "past:<ms>:<n>" for what ended before the index begins; n 0: from the
 * newest on. */
static bool api_store_cursor(const char *text, struct archive_query *query)
{
	long long past = 0, n = 0;
	int used = 0;
	bool is_past = sscanf(text, "past:%15lld:%15lld%n", &past, &n, &used) == 2;
	if (!is_past)
		used = sscanf(text, "%15lld%n", &n, &used) == 1 ? used : 0;
	query->ended_before_ms = past;
	query->before = n;
	return used > 0 && !text[used] && past >= 0 && n >= 0;
}

static void api_archived_from_store(struct api_call *call, const struct archive_query *query)
{
	call->limit = query->limit;
	call->past_ms = query->ended_before_ms;
	archive_page(call->scheduler->archive, call->queue, query, api_on_archived_page, call);
}

/* It begins behind the newest job. */
static void api_on_archived_stats(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *stats = api_parse(call, text, len, err);
	const struct archive_query query = { .before = fields_int(stats, "submitted", 0) + 1,
					     .limit = (int)call->limit,
					     .ended_before_ms = call->past_ms };
	if (stats)
		api_archived_from_store(call, &query);
}

static void api_on_indexed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	if (!fields_is(page, "index", "whole")) {
		jobs_stats(call->scheduler->jobs, call->queue, api_on_archived_stats, call);
		return;
	}
	int64_t past_ms = fields_int(page, "past", 0);
	json_auto_t *jobs = json_array();
	size_t i;
	json_t *job;
	json_array_foreach(json_object_get(page, "jobs"), i, job)
	{
		if (*call->name && !api_has_tag(job, call->name))
			continue;
		api_list_explain(job, page, NULL);
		json_array_append(jobs, job);
	}
	json_t *cursor = json_incref(json_object_get(page, "cursor"));
	if (past_ms && !*json_string_value(cursor)) { /* what had to leave the index is still in the store */
		json_decref(cursor);
		cursor = json_sprintf("past:%lld:0", (long long)past_ms);
	}
	api_answer(call, 200, json_pack("{s:O, s:o}", "jobs", jobs, "cursor", cursor));
}

void api_archived_list(struct api_call *call, const struct http_request *request)
{
	struct error err;
	struct archive_query query = { .limit = (int)call->limit };
	if (!*call->queue)
		str_copy(call->queue, sizeof call->queue, "default");
	if (http_request_query(request, "batch"))
		error_set(&err, ERR_INPUT, "ask for all of it, and choose there",
			  "state=archived: the archive is not searched by batch");
	else if (!call->scheduler->archive)
		error_set(&err, ERR_NOT_FOUND, "start it with --store URL, the one of the workers",
			  "this scheduler has no archive");
	else if (*call->after && api_store_cursor(call->after, &query) && query.before) {
		api_archived_from_store(call, &query);
		return;
	} else if (query.ended_before_ms) {
		call->past_ms = query.ended_before_ms;
		jobs_stats(call->scheduler->jobs, call->queue, api_on_archived_stats, call);
		return;
	} else {
		jobs_list(call->scheduler->jobs, call->queue, call->key, (int)call->limit, call->after, api_on_indexed,
			  call);
		return;
	}
	api_refuse(call, &err);
}
