/*
 * The index of the archive, made anew from the store: a step a call, each of so many
 * objects. Whoever asks goes on with the cursor until there is none. A step that is
 * repeated adds nothing twice; what is archived meanwhile enters the index by itself.
 */
#include <event2/util.h>
#include <stdlib.h>
#include <string.h>
#include "lib/fields.h"
#include "scheduler/api.h"

enum { REINDEX_JOBS = 100 }; /* a call to Redis */

/* The cursor is "<who>/<cursor of the scan>": who began it. What a step keeps: call->name is who, call->show what the
 * scan answered, call->limit how many of its jobs were sent, call->past_ms how many of them were new. */
static void api_reindex_send(struct api_call *call, const char *verb, const struct archive_record *records,
			     size_t count, jobs_text_fn *fn)
{
	jobs_reindex(call->scheduler->jobs, call->queue, call->name, verb, records, count, fn, call);
}

static void api_reindex_answer(struct api_call *call, const char *cursor)
{
	json_t *next = *cursor ? json_sprintf("%s/%s", call->name, cursor) : json_string("");
	api_answer(call, 200,
		   json_pack("{s:o, s:I, s:I, s:O}", "cursor", next, "read",
			     (json_int_t)json_array_size(json_object_get(call->show, "jobs")), "added",
			     (json_int_t)call->past_ms, "damaged", json_object_get(call->show, "damaged")));
}

static void api_on_reindex_end(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	if (api_went_well(arg, err))
		api_reindex_answer(arg, "");
}

static void api_reindex_add(struct api_call *call);

static void api_on_reindex_added(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_went_well(call, err))
		return;
	call->past_ms += len ? strtoll(text, NULL, 10) : 0;
	api_reindex_add(call);
}

static void api_reindex_add(struct api_call *call)
{
	const json_t *jobs = json_object_get(call->show, "jobs");
	struct archive_record records[REINDEX_JOBS];
	char *texts[REINDEX_JOBS];
	size_t count = 0;
	for (; call->limit < (int64_t)json_array_size(jobs) && count < REINDEX_JOBS; call->limit++, count++) {
		const json_t *job = json_array_get(jobs, (size_t)call->limit);
		texts[count] = json_dumps(job, JSON_COMPACT);
		records[count] = (struct archive_record){ .n = fields_int(job, "n", 0),
							  .json = texts[count],
							  .len = strlen(texts[count]) };
	}
	const char *cursor = fields_text(call->show, "cursor");
	if (count)
		api_reindex_send(call, "add", records, count, api_on_reindex_added);
	else if (*cursor)
		api_reindex_answer(call, cursor);
	else
		api_reindex_send(call, "end", NULL, 0, api_on_reindex_end);
	while (count > 0)
		free(texts[--count]);
}

static void api_on_reindex_part(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *part = api_parse(call, text, len, err);
	if (!part)
		return;
	call->show = part;
	call->limit = 0;
	api_reindex_add(call);
}

static void api_on_reindex_begun(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		archive_part_of_all(call->scheduler->archive, call->queue, call->after, api_on_reindex_part, call);
}

/* The cursor into who and how far; "": it begins, and who is a new name. */
static bool api_reindex_read(struct api_call *call, const char *cursor, struct error *err)
{
	unsigned char random[8];
	const char *slash = strchr(cursor, '/');
	if (!*cursor) {
		evutil_secure_rng_get_bytes(random, sizeof random);
		for (size_t i = 0; i < sizeof random; i++)
			str_format(call->name + 2 * i, 3, "%02x", random[i]);
		return true;
	}
	return (slash && str_format(call->name, sizeof call->name, "%.*s", (int)(slash - cursor), cursor) &&
		str_copy(call->after, sizeof call->after, slash + 1)) ||
	       error_set(err, ERR_INPUT, "give back what the last answer said", "cursor: this is none of a reindex");
}

void api_reindex(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "cursor" };
	struct error err;
	const char *cursor;
	struct api_call *call = api_queue_call(arg, request, reply, keys, ARRAY_LEN(keys));
	if (!call)
		return;
	bool ok = api_body_text(call, "cursor", &cursor, &err) && api_reindex_read(call, cursor, &err);
	if (ok && !call->scheduler->archive)
		ok = error_set(&err, ERR_NOT_FOUND, "start it with --store URL, the one of the workers",
			       "this scheduler has no archive");
	if (!ok)
		api_refuse(call, &err);
	else if (*cursor)
		archive_part_of_all(call->scheduler->archive, call->queue, call->after, api_on_reindex_part, call);
	else
		api_reindex_send(call, "begin", NULL, 0, api_on_reindex_begun);
}
