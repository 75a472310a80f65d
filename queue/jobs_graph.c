/* Several jobs at once. */
#include <string.h>
#include "queue/following.h"
#include "queue/jobs_internal.h"

/* A list of texts, as JSON. */
static void jobs_decode_texts(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct error bad;
	json_t *texts = json_array();
	for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
		const char *text;
		size_t len;
		if (jobs_reply_text(reply->element[i], &text, &len))
			json_array_append_new(texts, jobs_json_text(text, len));
	}
	if (!err && (reply->type != REDIS_REPLY_ARRAY || json_array_size(texts) != reply->elements)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (!err) {
		jobs_tell_json(call, texts);
		return;
	}
	json_decref(texts);
	jobs_tell_text(call, NULL, 0, err);
}

void jobs_graph(struct jobs *jobs, const char *queue, const char *graph_json, const char *key, const char *actor,
		jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_graph", queue, jobs_decode_texts, (jobs_any_fn *)fn, arg);
	jobs_arg(call, graph_json);
	jobs_arg(call, key);
	jobs_arg(call, actor);
	jobs_send(call);
}

/* The number of staged jobs, as text. */
static void jobs_decode_count(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct error bad;
	int64_t count = 0;
	char text[24];
	if (!err && !jobs_reply_number(reply, &count)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	str_format(text, sizeof text, "%lld", (long long)count);
	jobs_tell_text(call, err ? NULL : text, err ? 0 : strlen(text), err);
}

void jobs_stage(struct jobs *jobs, const char *queue, const struct stage_page *page, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_stage", queue, jobs_decode_count, (jobs_any_fn *)fn, arg);
	jobs_arg(call, page->stage);
	jobs_arg_number(call, (int64_t)page->total);
	jobs_arg_number(call, (int64_t)page->at);
	for (size_t i = 0; i < page->count; i++)
		jobs_arg(call, page->specs[i]);
	jobs_send(call);
}

void jobs_commit(struct jobs *jobs, const char *queue, const struct stage_end *end, const char *actor, jobs_text_fn *fn,
		 void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_commit", queue, jobs_decode_texts, (jobs_any_fn *)fn, arg);
	jobs_arg(call, end->stage);
	jobs_arg(call, end->key);
	jobs_arg(call, actor);
	jobs_arg(call, end->batch);
	jobs_arg(call, end->following ? end->following->then_json : NULL);
	if (end->following && end->following->webhook_json) /* an older library has no such argument */
		jobs_arg(call, end->following->webhook_json);
	jobs_send(call);
}
