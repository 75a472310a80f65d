/* The checkpoints of a job: what there is of them, whether they verify, how to get them, and letting them go. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/fields.h"
#include "lib/store.h"
#include "queue/saved.h"
#include "scheduler/api.h"
#include "scheduler/data_link.h"
#include "scheduler/pick.h"
#include "scheduler/stored.h"

/* ---- the list ---- */

/* Newest first: by attempt, then by the sequence in it. */
static int api_checkpoint_order(const void *a, const void *b)
{
	const json_t *left = *(json_t *const *)a, *right = *(json_t *const *)b;
	int64_t attempts = fields_int(right, "attempt", 0) - fields_int(left, "attempt", 0);
	int64_t seqs = fields_int(right, "seq", 0) - fields_int(left, "seq", 0);
	int64_t order = attempts ? attempts : seqs;
	return (order > 0) - (order < 0);
}

/* What another job lent is of attempt 0 here, whatever attempt of that job it is from. */
static void api_name_summary(json_t *summary, const char *id)
{
	char *end;
	json_object_set_new(summary, "id", json_string(id));
	json_object_set_new(summary, "attempt", json_integer(strtoll(id, &end, 10)));
	json_object_set_new(summary, "seq", json_integer(*end ? strtoll(end + 1, NULL, 10) : 0));
}

static json_t *api_checkpoint_list(const json_t *checkpoints)
{
	json_t *list = json_array();
	size_t count = json_object_size(checkpoints), used = 0;
	json_t **sorted = mem_alloc((count + 1) * sizeof *sorted);
	const char *id;
	json_t *value;
	json_object_foreach((json_t *)checkpoints, id, value)
	{
		json_t *summary = fields_json(checkpoints, id);
		if (!summary)
			continue;
		api_name_summary(summary, id);
		sorted[used++] = summary;
	}
	qsort(sorted, used, sizeof *sorted, api_checkpoint_order);
	for (size_t i = 0; i < used; i++)
		json_array_append_new(list, sorted[i]);
	free(sorted);
	return list;
}

/* ---- of a job, wherever it is ---- */

static void api_archived_then(struct api_call *call, const char *text, size_t len)
{
	call->show = api_record_show(call, text, len);
	if (call->show)
		call->send(call);
}

static void api_on_shown(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, ARCHIVE_RECORD, api_archived_then))
		return;
	json_t *show = api_parse(call, text, len, err);
	if (!show)
		return; /* and the call is no more */
	call->show = show;
	call->send(call);
}

static void api_with_show(struct api_call *call, void (*then)(struct api_call *call))
{
	call->send = then;
	jobs_show(call->scheduler->jobs, call->queue, call->n, api_on_shown, call);
}

/* Those of an archived job all at once. */
static void api_list_archived(struct api_call *call, const char *text, size_t len)
{
	json_auto_t *show = api_record_show(call, text, len);
	if (!show)
		return;
	json_t *list = api_checkpoint_list(json_object_get(show, "checkpoints"));
	api_answer(call, 200,
		   json_pack("{s:o, s:I, s:s}", "checkpoints", list, "count", (json_int_t)json_array_size(list),
			     "cursor", ""));
}

/* {"id","summary"} → the summary with the id in it. */
static void api_on_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_archived(call, err, ARCHIVE_RECORD, api_list_archived))
		return;
	json_auto_t *page = api_parse(call, text, len, err);
	if (!page)
		return;
	json_t *list = json_array(), *one;
	size_t i;
	json_array_foreach(json_object_get(page, "checkpoints"), i, one)
	{
		json_t *summary = json_object_get(one, "summary");
		api_name_summary(summary, fields_text(one, "id"));
		json_array_append(list, summary);
	}
	json_object_set_new(page, "checkpoints", list);
	api_answer(call, 200, json_incref(page));
}

void api_checkpoints(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	if (api_limit(call, request, 100, 1000, &err) && api_after(call, request, "cursor", &err))
		jobs_checkpoints(call->scheduler->jobs, call->queue, call->n, call->limit, call->after, api_on_page,
				 call);
	else
		api_refuse(call, &err);
}

/* ---- one of them ---- */

static bool api_has_store(const struct api_call *call, struct error *err)
{
	return call->scheduler->stored ||
	       error_set(err, ERR_NOT_FOUND, "start it with --store URL, the one of the workers",
			 "this scheduler has no store");
}

/* Of which of its objects the data are meant; 0: its own. */
static bool api_object(struct api_call *call, const struct http_request *request, struct error *err)
{
	const char *text = http_request_query(request, "object");
	call->limit = 0;
	return !text || (config_parse_int(text, &call->limit) && call->limit > 0) ||
	       error_set(err, ERR_INPUT, NULL, "object: expected one of the numbers in its uses, got \"%.40s\"", text);
}

/* The call of a route with {id} and {checkpoint}; NULL: it was refused. */
static struct api_call *api_checkpoint_call(struct scheduler *s, const struct http_request *request,
					    struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_job_call_new(s, request, reply);
	if (!call)
		return NULL;
	if (!api_has_store(call, &err) || !pick_is_word(request->part, &err) || !api_object(call, request, &err)) {
		api_refuse(call, &err);
		return NULL;
	}
	str_copy(call->key, sizeof call->key, request->part);
	return call;
}

/* The summary of what call->key means, with its id; NULL: the call was refused. */
static json_t *api_picked(struct api_call *call)
{
	struct error err;
	json_t *summary = pick_checkpoint(call->show, call->key, &err);
	if (!summary)
		api_refuse(call, &err);
	else
		str_copy(call->after, sizeof call->after, fields_text(summary, "id"));
	return summary;
}

static void api_ask_of_summary(struct api_call *call, enum stored_verb verb, stored_fn *fn)
{
	json_auto_t *summary = api_picked(call);
	struct error err;
	if (!summary)
		return;
	CLEANUP(free_p)
	char *text = verb == STORED_LINK ? pick_uri(summary, call->limit, &err) : json_dumps(summary, JSON_COMPACT);
	if (!text) {
		api_refuse(call, &err);
		return;
	}
	call->body = json_incref(summary);
	stored_ask(call->scheduler->stored, verb, text, fn, call);
}

static void api_on_manifest(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_t *manifest = api_parse(call, text, len, err);
	if (!manifest)
		return;
	json_object_set_new(call->body, "manifest", manifest);
	api_answer(call, 200, STEAL(call->body));
}

static void api_read_manifest(struct api_call *call)
{
	api_ask_of_summary(call, STORED_MANIFEST, api_on_manifest);
}

void api_checkpoint(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_checkpoint_call(arg, request, reply);
	if (call)
		api_with_show(call, api_read_manifest);
}

/* ---- verifying ---- */

static void api_on_verified(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (err && err->kind != ERR_DAMAGED) {
		api_refuse(call, err);
		return;
	}
	json_object_set_new(call->body, "is_good", json_boolean(!err));
	if (err)
		json_object_set_new(call->body, "problem", json_string(err->message));
	api_answer(call, 200, STEAL(call->body));
}

static void api_verify_picked(struct api_call *call)
{
	api_ask_of_summary(call, STORED_VERIFY, api_on_verified);
}

void api_verify_checkpoint(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_checkpoint_call(arg, request, reply);
	if (call)
		api_with_show(call, api_verify_picked);
}

/* ---- the data ---- */

/* "url <URL>", or "key <key>": then the link is one of ours. Freed by the caller. */
static char *api_link_of(const struct api_call *call, const char *text, int64_t until_ms)
{
	if (strncmp(text, "url ", 4) == 0)
		return mem_strdup(text + 4);
	CLEANUP(free_p) char *object = call->limit ? mem_printf("-object-%" PRId64, call->limit) : mem_strdup("");
	bool is_compressed = !call->limit && *fields_text(call->body, "compression");
	CLEANUP(free_p)
	char *name = mem_printf("%s-checkpoint-%s%s.tar%s", call->id, call->after, object, is_compressed ? ".zst" : "");
	const struct data_link link = { .key = text + strlen("key "), .name = name, .until_ms = until_ms };
	return data_link_make(call->scheduler->token, &link);
}

static void api_on_link(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)len;
	if (!api_went_well(call, err))
		return;
	int64_t until_ms = clock_wall_ms() + 1000 * (int64_t)STORED_LINK_S;
	CLEANUP(free_p) char *url = api_link_of(call, text, until_ms);
	if (!call->is_merged) {
		http_reply_redirect(call->reply, url);
		api_forget(call);
		return;
	}
	json_t *answer = json_pack("{s:s, s:s, s:I}", "id", call->after, "url", url, "until_ms", (json_int_t)until_ms);
	if (!call->limit)
		json_object_set_new(answer, "size", json_integer(fields_int(call->body, "size", 0)));
	api_answer(call, 200, answer);
}

static void api_link_picked(struct api_call *call)
{
	api_ask_of_summary(call, STORED_LINK, api_on_link);
}

void api_checkpoint_data(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_checkpoint_call(arg, request, reply);
	if (call)
		api_with_show(call, api_link_picked);
}

/* The same as an answer that says where, for clients that want to know before they go there. */
void api_checkpoint_link(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_checkpoint_call(arg, request, reply);
	if (!call)
		return;
	call->is_merged = true;
	api_with_show(call, api_link_picked);
}

static bool api_data_file(struct scheduler *s, const struct http_request *request, struct data_link *link,
			  struct http_file *file, struct error *err)
{
	const char *until = http_request_query(request, "until"), *signature = http_request_query(request, "signature");
	link->key = http_request_query(request, "key");
	link->name = http_request_query(request, "name");
	if (!link->key || !link->name || !until || !signature || !config_parse_int(until, &link->until_ms))
		return error_set(err, ERR_INPUT, "such a link is given by GET /api/v1/jobs/{id}/checkpoints/{id}/link",
				 "expected key, name, until and signature");
	if (!data_link_check(s->token, link, signature, clock_wall_ms(), err))
		return false;
	if (!s->settings->store)
		return error_set(err, ERR_NOT_FOUND, NULL, "this scheduler has no store");
	*file = (struct http_file){ .name = link->name, .type = "application/x-tar" };
	return store_file_open(s->settings->store, link->key, &file->fd, &file->size, err);
}

void api_data(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct data_link link;
	struct http_file file;
	if (api_data_file(arg, request, &link, &file, &err))
		http_reply_file(reply, request, &file);
	else
		http_reply_error(reply, err.kind == ERR_AUTH ? 403 : 0, &err);
}

/* ---- letting go ---- */

static void api_answer_discarded(struct api_call *call)
{
	json_t *ids = json_array(), *value;
	size_t i;
	json_array_foreach(json_object_get(call->show, "checkpoints"), i, value)
	{
		json_array_append(ids, json_object_get(value, "id"));
	}
	api_answer(call, 200,
		   json_pack("{s:s, s:O, s:o}", "id", call->id, "count", json_object_get(call->show, "count"),
			     "deleted", ids));
}

static void api_on_dropped(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		api_answer_discarded(call);
}

static void api_on_objects_gone(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)text;
	(void)len;
	if (!api_went_well(call, err))
		return; /* they are marked: asked again, or by stoker gc, it goes on here */
	struct attempt_ref ref = { .n = call->n };
	const char *ids[100];
	size_t count = 0, i;
	json_t *value;
	str_copy(ref.queue, sizeof ref.queue, call->queue);
	str_copy(ref.uid, sizeof ref.uid, fields_text(call->show, "uid"));
	str_copy(ref.token, sizeof ref.token, fields_text(call->show, "token"));
	json_array_foreach(json_object_get(call->show, "checkpoints"), i, value)
	{
		if (count < ARRAY_LEN(ids))
			ids[count++] = fields_text(value, "id");
	}
	jobs_drop(call->scheduler->jobs, &ref, ids, count, api_on_dropped, call);
}

/* The manifests first: data without one is swept should we die in between. */
static bool api_keys_of(const struct api_call *call, struct buf *keys, struct error *err)
{
	json_t *value;
	size_t i;
	json_array_foreach(json_object_get(call->show, "checkpoints"), i, value)
	{
		const char *uri = fields_text(json_object_get(value, "summary"), "uri");
		CLEANUP(free_p) char *key = pick_key(call->scheduler->settings->store, uri, err);
		if (!key)
			return false;
		buf_printf(keys, "%s\n%.*sdata.tar\n", key, (int)(strrchr(key, '/') + 1 - key), key);
	}
	return true;
}

static void api_on_discarded(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	struct error why;
	CLEANUP(buf) struct buf keys;
	buf_init(&keys, 1 << 20);
	json_t *answer = api_parse(call, text, len, err);
	if (!answer)
		return;
	call->show = answer;
	if (json_array_size(json_object_get(answer, "checkpoints")) == 0)
		api_answer_discarded(call);
	else if (api_keys_of(call, &keys, &why))
		stored_ask(call->scheduler->stored, STORED_REMOVE, buf_text(&keys), api_on_objects_gone, call);
	else
		api_refuse(call, &why);
}

/* {"ids": ["2-1"]} or {"keep_last": 3}, as the words that stoker_discard takes. */
static bool api_discard_words(struct api_call *call, const char *words[100], size_t *count, struct error *err)
{
	const json_t *ids = json_object_get(call->body, "ids");
	int64_t keep_last;
	if (!api_body_int(call, "keep_last", -1, &keep_last, err))
		return false;
	if (!ids == (keep_last < 0))
		return error_set(err, ERR_INPUT, NULL, "expected ids or keep_last, got %s", ids ? "both" : "neither");
	if (!ids) {
		str_format(call->key, sizeof call->key, "%" PRId64, keep_last);
		words[(*count)++] = "last";
		words[(*count)++] = call->key;
		return true;
	}
	size_t i;
	const json_t *value;
	if (!json_is_array(ids) || json_array_size(ids) == 0 || json_array_size(ids) > 100)
		return error_set(err, ERR_INPUT, NULL, "ids: expected a list of 1 to 100 checkpoint ids");
	json_array_foreach(ids, i, value)
	{
		int64_t attempt, seq;
		if (!json_is_string(value) || !saved_split_id(json_string_value(value), &attempt, &seq))
			return error_set(err, ERR_INPUT, NULL, "ids: expected a list of 1 to 100 checkpoint ids");
		words[(*count)++] = json_string_value(value);
	}
	return true;
}

void api_discard(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "ids", "keep_last" };
	const char *words[100];
	size_t count = 0;
	struct error err;
	struct api_call *call = api_job_call_new(arg, request, reply);
	if (!call)
		return;
	if (!api_has_store(call, &err) || !api_body(call, request, keys, ARRAY_LEN(keys), &err) ||
	    !api_discard_words(call, words, &count, &err))
		api_refuse(call, &err);
	else
		jobs_discard(call->scheduler->jobs, call->queue, call->n, call->actor, words, count, api_on_discarded,
			     call);
}
