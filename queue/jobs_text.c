#include "queue/jobs_internal.h"

#include <string.h>

/* One text, or a number as text. */
static void jobs_decode_text(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct error bad;
	const char *text;
	size_t len;
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
	} else if (jobs_reply_text(reply, &text, &len)) {
		jobs_tell_text(call, text, len, NULL);
	} else if (reply->type == REDIS_REPLY_INTEGER) {
		char number[24];
		str_format(number, sizeof number, "%lld", reply->integer);
		jobs_tell_text(call, number, strlen(number), NULL);
	} else {
		jobs_bad_shape(call, &bad);
		jobs_tell_text(call, NULL, 0, &bad);
	}
}

struct jobs_call *jobs_text_call(struct jobs *jobs, const char *name, const char *queue, jobs_text_fn *fn, void *arg)
{
	return jobs_call_new(jobs, name, queue, jobs_decode_text, (jobs_any_fn *)fn, arg);
}

void jobs_submit(struct jobs *jobs, const char *queue, const char *spec_json, const char *key, const char *actor,
		 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_submit", queue, fn, arg);
	jobs_arg(call, spec_json);
	jobs_arg(call, key);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_cancel(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *reason,
		 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_cancel", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, actor);
	jobs_arg(call, reason);
	jobs_send(call);
}

void jobs_corrupt(struct jobs *jobs, const char *queue, const struct jobs_flag *flag, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_corrupt", queue, fn, arg);
	jobs_arg_number(call, flag->n);
	jobs_arg_number(call, flag->attempt);
	jobs_arg(call, flag->reason);
	jobs_arg(call, flag->onset);
	jobs_arg(call, flag->actor);
	if (flag->token) { /* an older library knows neither */
		jobs_arg(call, flag->good);
		jobs_arg(call, flag->token);
	}
	jobs_send(call);
}

void jobs_retry(struct jobs *jobs, const char *queue, const struct jobs_retry *retry, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_retry", queue, fn, arg);
	jobs_arg_number(call, retry->n);
	jobs_arg_number(call, retry->attempt);
	jobs_arg(call, retry->actor);
	if (retry->archived || retry->resume)
		jobs_arg(call, retry->archived ? retry->archived : "");
	if (retry->resume)
		jobs_arg(call, retry->resume);
	jobs_send(call);
}

void jobs_checkpoints(struct jobs *jobs, const char *queue, int64_t n, int64_t limit, const char *cursor,
		      jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_checkpoints", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg_number(call, limit);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_lent(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	jobs_send(jobs_text_call(jobs, "stoker_lent", queue, fn, arg));
}

void jobs_discard(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *const *words,
		  size_t count, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_discard", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, actor);
	for (size_t i = 0; i < count; i++)
		jobs_arg(call, words[i]);
	jobs_send(call);
}

static void jobs_arg_limit(struct jobs_call *call, int64_t value)
{
	if (value < 0)
		jobs_arg(call, "");
	else
		jobs_arg_number(call, value);
}

void jobs_limit(struct jobs *jobs, const char *queue, const struct queue_limits *limits, const char *actor,
		jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_limit", queue, fn, arg);
	jobs_arg_limit(call, limits->max_running);
	jobs_arg_limit(call, limits->rate_max);
	jobs_arg_limit(call, limits->rate_per_ms);
	jobs_arg(call, actor);
	if (limits->max_recovering >= 0 || limits->preempt >= 0) /* older libraries do not know these */
		jobs_arg_limit(call, limits->max_recovering);
	if (limits->preempt >= 0)
		jobs_arg_limit(call, limits->preempt);
	jobs_send(call);
}

void jobs_hold(struct jobs *jobs, const char *queue, int64_t n, const char *actor, const char *reason, jobs_text_fn *fn,
	       void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_hold", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, actor);
	jobs_arg(call, reason);
	jobs_send(call);
}

void jobs_release(struct jobs *jobs, const char *queue, int64_t n, const char *actor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_release", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_update(struct jobs *jobs, const char *queue, int64_t n, const char *changes_json, const char *actor,
		 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_update", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, changes_json);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_remove(struct jobs *jobs, const char *queue, int64_t n, const char *actor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_remove", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_pause(struct jobs *jobs, const char *queue, const char *verb, const char *actor, const char *reason,
		jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_pause", queue, fn, arg);
	jobs_arg(call, verb);
	jobs_arg(call, actor);
	jobs_arg(call, reason);
	jobs_send(call);
}

void jobs_share(struct jobs *jobs, const char *queue, const char *tenant, const char *weight, const char *actor,
		jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_share", queue, fn, arg);
	jobs_arg(call, tenant);
	jobs_arg(call, weight);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_show(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_show", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_send(call);
}

void jobs_list(struct jobs *jobs, const char *queue, const char *state, int limit, const char *cursor, jobs_text_fn *fn,
	       void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_list", queue, fn, arg);
	jobs_arg(call, state);
	jobs_arg_number(call, limit);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_stats(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	jobs_send(jobs_text_call(jobs, "stoker_stats", queue, fn, arg));
}

void jobs_drop(struct jobs *jobs, const struct attempt_ref *ref, const char *const *ids, size_t count, jobs_text_fn *fn,
	       void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_drop", ref->queue, fn, arg);
	jobs_arg_ref(call, ref);
	for (size_t i = 0; i < count; i++)
		jobs_arg(call, ids[i]);
	jobs_send(call);
}

void jobs_watch(struct jobs *jobs, const char *queue, int64_t n, const char *child, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_watch", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, child);
	jobs_send(call);
}

void jobs_about(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_about", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_send(call);
}

void jobs_tell(struct jobs *jobs, const char *queue, int64_t n, const char *parent, const char *state,
	       const char *about, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_tell", queue, fn, arg);
	jobs_arg_number(call, n);
	jobs_arg(call, parent);
	jobs_arg(call, state);
	if (about)
		jobs_arg(call, about);
	jobs_send(call);
}

static void jobs_decode_asked(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_asked_fn *fn = (jobs_asked_fn *)call->fn;
	const char *words[3] = { "", "", "" };
	struct error bad;
	for (size_t i = 0; i < ARRAY_LEN(words) && !err; i++) {
		if (jobs_reply_text(jobs_reply_item(reply, i), &words[i], NULL))
			continue;
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, words[0], words[1], words[2], err);
}

void jobs_swept_read(struct jobs *jobs, const char *queue, const char *token, jobs_asked_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_swept", queue, jobs_decode_asked, (jobs_any_fn *)fn, arg);
	jobs_arg(call, token);
	jobs_send(call);
}

void jobs_swept(struct jobs *jobs, const char *queue, const char *token, const char *wrong, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_swept", queue, fn, arg);
	jobs_arg(call, token);
	jobs_arg(call, wrong);
	jobs_send(call);
}

void jobs_sent(struct jobs *jobs, const char *queue, const char *letter, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_sent", queue, fn, arg);
	jobs_arg(call, letter);
	jobs_send(call);
}

void jobs_batch(struct jobs *jobs, const char *queue, const char *batch, const char *json, const char *actor,
		jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_batch", queue, fn, arg);
	jobs_arg(call, batch);
	jobs_arg(call, json);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_batches(struct jobs *jobs, const char *queue, int limit, const char *cursor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_batches", queue, fn, arg);
	jobs_arg_number(call, limit);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_members(struct jobs *jobs, const char *queue, const struct members_page *page, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_members", queue, fn, arg);
	jobs_arg(call, page->batch);
	jobs_arg(call, page->state);
	jobs_arg_number(call, page->limit);
	jobs_arg(call, page->cursor);
	jobs_arg(call, page->metric);
	jobs_send(call);
}
