/*
 * One page of a job's log or metrics, wherever it is: in Redis, else in the archive.
 * Both keep a bounded part of them. What they let go of, or never had, is looked for in the
 * transcripts of the attempts (queue/transcript.h): a page ends before such a hole, and the next one is
 * what fills it, if anything does.
 *
 * So one entry is looked at first: is it what follows? Only then is a page read.
 */
#include <inttypes.h>
#include <string.h>
#include "lib/fields.h"
#include "scheduler/api.h"

void api_entry_end(const json_t *entry, char *into, size_t size)
{
	struct entry_place at;
	const char *id = fields_text(entry, "id");
	if (!json_object_get(entry, "lines") || !entry_place_parse(id, &at))
		str_copy(into, size, id);
	else
		str_format(into, size, "%" PRId64 "-%" PRId64, at.attempt, at.number + entry_lines(entry) - 1);
}

static void api_read(struct api_call *call, const char *after, int64_t limit, jobs_text_fn *fn)
{
	enum jobs_stream stream = call->part == ARCHIVE_LOG ? STREAM_LOG : STREAM_METRICS;
	jobs_read_stream(call->scheduler->jobs, call->queue, stream, call->n, after, (int)limit, fn, call);
}

static struct transcript_query api_query(const struct api_call *call)
{
	struct transcript_query query = { .n = call->n,
					  .part = call->part == ARCHIVE_LOG ? TRANSCRIPT_LOG : TRANSCRIPT_METRICS,
					  .limit = call->limit };
	entry_place_parse(call->after, &query.after); /* what is no place was refused by Redis */
	return query;
}

/* ---- of Redis ---- */

static void api_on_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *entries = api_parse(call, text, len, err);
	if (!entries)
		return;
	size_t count = json_array_size(entries), whole = call->scheduler->archive ? transcript_whole(entries) : count;
	call->has_more = whole < count || count == (size_t)call->limit;
	while (json_array_size(entries) > whole)
		json_array_remove(entries, json_array_size(entries) - 1);
	call->paged(call, entries);
}

static void api_read_redis(struct api_call *call)
{
	json_decref(call->page);
	call->page = NULL;
	api_read(call, call->after, call->limit, api_on_page);
}

/* ---- of the transcripts ---- */

static void api_on_transcript(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	const struct transcript_query query = api_query(call);
	json_t *found = err ? transcript_gap(&query, json_array_get(call->page, 0), err) : fields_parse(text, len);
	if (json_array_size(found)) {
		call->has_more = true;
		call->paged(call, found);
		return;
	}
	json_decref(found);
	api_read_redis(call);
}

static void api_on_uid(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *show = err ? NULL : fields_parse(text, len);
	const char *uid = fields_text(json_object_get(show, "job"), "uid");
	const json_t *next = json_array_get(call->page, 0);
	struct transcript_query query = api_query(call);
	if (!*uid || !str_copy(query.uid, sizeof query.uid, uid) ||
	    !entry_place_parse(fields_text(next, "id"), &query.before)) {
		api_read_redis(call);
		return;
	}
	if (json_object_get(next, "gap"))
		query.before.number += entry_lines(next);
	archive_transcript(call->scheduler->archive, call->queue, &query, false, api_on_transcript, call);
}

/* What stands at the very beginning tells whether something was let go of. */
static void api_on_first(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *first = err ? NULL : fields_parse(text, len);
	if (fields_is(json_array_get(first, 0), "id", fields_text(json_array_get(call->page, 0), "id")))
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_uid, call);
	else
		api_read_redis(call);
}

/* ---- of the archive ---- */

static void api_on_archived_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *entries = api_parse(call, text, len, err && err->kind == ERR_NOT_FOUND ? &call->missing : err);
	if (!entries)
		return;
	call->has_more = json_array_size(entries) > 0;
	call->paged(call, entries);
}

/* What Redis did not get of the end. It may be on its way to the store, or not to be read now: then the end is where
 * it is in Redis. */
static void api_on_end(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *found = err ? NULL : fields_parse(text, len);
	call->has_more = json_array_size(found) > 0;
	call->paged(call, found ? found : json_array());
}

/* Nothing: because there is none, or because there is no such job, or because it is in the archive? */
static void api_on_exists(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND && call->scheduler->archive) {
		const struct transcript_query query = api_query(call);
		call->missing = *err;
		archive_transcript(call->scheduler->archive, call->queue, &query, true, api_on_archived_page, call);
		return;
	}
	json_auto_t *show = api_parse(call, text, len, err);
	if (!show)
		return;
	const json_t *job = json_object_get(show, "job");
	struct transcript_query query = api_query(call);
	if (call->scheduler->archive && json_object_get(job, "is_cut") &&
	    str_copy(query.uid, sizeof query.uid, fields_text(job, "uid"))) {
		archive_transcript(call->scheduler->archive, call->queue, &query, false, api_on_end, call);
		return;
	}
	call->has_more = false;
	call->paged(call, json_array());
}

/* ---- which of them ---- */

static void api_on_next(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	struct entry_place after, at;
	json_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	json_decref(call->page);
	call->page = page;
	const json_t *next = json_array_get(call->page, 0);
	bool is_placed = entry_place_parse(call->after, &after) && entry_place_parse(fields_text(next, "id"), &at);
	if (!next)
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_exists, call);
	else if (call->scheduler->archive && is_placed && json_object_get(next, "gap"))
		jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_uid, call);
	else if (!call->scheduler->archive || !is_placed || transcript_is_next(&after, &at))
		api_read_redis(call);
	else
		api_read(call, "", 1, api_on_first);
}

void api_read_page(struct api_call *call, api_page_fn *fn)
{
	call->paged = fn;
	api_read(call, call->after, 1, api_on_next);
}
