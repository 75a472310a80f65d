#include "queue/jobs_internal.h"

#include <string.h>

void jobs_webhook_add(struct jobs *jobs, const char *queue, const char *url, const char *on_json, const char *secret,
		      const char *actor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_add", queue, fn, arg);
	jobs_arg(call, url);
	jobs_arg(call, on_json);
	jobs_arg(call, secret);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_webhook_remove(struct jobs *jobs, const char *queue, const char *id, const char *actor, jobs_text_fn *fn,
			 void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_remove", queue, fn, arg);
	jobs_arg(call, id);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_webhook_secret(struct jobs *jobs, const char *queue, const char *secret, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_secret", queue, fn, arg);
	jobs_arg(call, secret);
	jobs_send(call);
}

void jobs_webhooks(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	jobs_send(jobs_text_call(jobs, "stoker_webhooks", queue, fn, arg));
}

void jobs_webhook_test(struct jobs *jobs, const char *queue, const char *id, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_test", queue, fn, arg);
	jobs_arg(call, id);
	jobs_send(call);
}

void jobs_webhook_dead(struct jobs *jobs, const char *queue, int limit, const char *cursor, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_dead", queue, fn, arg);
	jobs_arg_number(call, limit);
	jobs_arg(call, cursor);
	jobs_send(call);
}

void jobs_webhook_delivery(struct jobs *jobs, const char *queue, const char *id, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_delivery", queue, fn, arg);
	jobs_arg(call, id);
	jobs_send(call);
}

void jobs_webhook_gather(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg)
{
	jobs_send(jobs_call_new(jobs, "stoker_webhook_gather", queue, jobs_decode_due, (jobs_any_fn *)fn, arg));
}

void jobs_webhook_resend(struct jobs *jobs, const char *queue, const char *id, jobs_tick_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_webhook_resend", queue, jobs_decode_due, (jobs_any_fn *)fn, arg);
	jobs_arg(call, id);
	jobs_send(call);
}

/* ---- deliveries: a list of lists of name, value, … ---- */

static bool jobs_delivery_field(struct delivery *delivery, const char *name, const struct redisReply *value)
{
	const struct {
		const char *name;
		const char **field;
	} texts[] = {
		{ "id", &delivery->id },           { "target", &delivery->target }, { "url", &delivery->url },
		{ "message", &delivery->message }, { "secret", &delivery->secret },
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (strcmp(name, texts[i].name) == 0)
			return jobs_reply_text(value, texts[i].field, NULL);
	if (strcmp(name, "body") == 0)
		return jobs_reply_text(value, &delivery->body, &delivery->body_len);
	if (strcmp(name, "try") == 0)
		return jobs_reply_number(value, &delivery->try);
	return true; /* for newer programs */
}

static bool jobs_read_delivery(const struct redisReply *pairs, struct delivery *delivery)
{
	if (!pairs || pairs->type != REDIS_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
		const char *name;
		if (!jobs_reply_text(pairs->element[i], &name, NULL) ||
		    !jobs_delivery_field(delivery, name, pairs->element[i + 1]))
			return false;
	}
	return delivery->id && delivery->target && delivery->url && delivery->message && delivery->secret &&
	       delivery->body && delivery->try > 0;
}

static void jobs_decode_deliveries(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_deliveries_fn *fn = (jobs_deliveries_fn *)call->fn;
	struct error bad;
	size_t count = !err && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
	struct delivery *deliveries = mem_alloc((count + 1) * sizeof *deliveries);
	bool is_right = err || reply->type == REDIS_REPLY_ARRAY;
	for (size_t i = 0; i < count; i++)
		is_right = is_right && jobs_read_delivery(reply->element[i], &deliveries[i]);
	if (!is_right) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, err ? NULL : deliveries, err ? 0 : count, err);
	free(deliveries);
}

void jobs_webhook_take(struct jobs *jobs, const struct delivery_request *request, jobs_deliveries_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_webhook_take", request->queue, jobs_decode_deliveries,
					       (jobs_any_fn *)fn, arg);
	jobs_arg_number(call, request->max);
	jobs_arg_number(call, request->lease_ms);
	for (size_t i = 0; i < request->busy_count; i++)
		jobs_arg(call, request->busy[i]);
	jobs_send(call);
}

void jobs_webhook_done(struct jobs *jobs, const char *queue, const struct delivery_end *end, jobs_text_fn *fn,
		       void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_webhook_done", queue, fn, arg);
	jobs_arg(call, end->id);
	jobs_arg_number(call, end->try);
	jobs_arg(call, end->verdict);
	if (end->status)
		jobs_arg_number(call, end->status);
	else
		jobs_arg(call, "");
	jobs_arg(call, end->error);
	jobs_send(call);
}
