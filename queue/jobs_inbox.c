#include "queue/jobs_internal.h"

#include <string.h>

void jobs_submitter(struct jobs *jobs, const char *queue, const char *verb, const char *name, const char *actor,
		    jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_submitter", queue, fn, arg);
	jobs_arg(call, verb);
	jobs_arg(call, name);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_inbox_keys(const struct jobs *jobs, const char *queue, const char *name, char inbox[JOBS_KEY_MAX],
		     char reply[JOBS_KEY_MAX])
{
	str_copy(inbox, JOBS_KEY_MAX, key_inbox(jobs->prefix, queue, name).s);
	str_copy(reply, JOBS_KEY_MAX, key_reply(jobs->prefix, queue, name).s);
}

void jobs_submitters(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	jobs_send(jobs_text_call(jobs, "stoker_submitters", queue, fn, arg));
}

void jobs_inbox(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg)
{
	jobs_send(jobs_call_new(jobs, "stoker_inbox", queue, jobs_decode_due, (jobs_any_fn *)fn, arg));
}

static void jobs_decode_names(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct error bad;
	const char *name;
	if (!err && reply->type != REDIS_REPLY_ARRAY) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	json_t *list = json_array();
	for (size_t i = 0; i < reply->elements; i++)
		if (jobs_reply_text(reply->element[i], &name, NULL) && key_submitter_is_valid(name))
			json_array_append_new(list, json_string(name));
	jobs_tell_json(call, list);
}

void jobs_submitter_names(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "SMEMBERS", queue, jobs_decode_names, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_submitters(jobs->prefix, call->queue).s);
	jobs_send(call);
}

/* ---- waiting for entries ---- */

/* One stream of the answer, [key, entries]: the last of its entries is where to go on. */
static void jobs_note_ring(const struct jobs *jobs, struct inbox_wait *wait, const struct redisReply *stream)
{
	const struct redisReply *entries = jobs_reply_item(stream, 1);
	const char *key, *id;
	if (!jobs_reply_text(jobs_reply_item(stream, 0), &key, NULL) || !entries || entries->elements == 0 ||
	    !jobs_reply_text(jobs_reply_item(jobs_reply_item(entries, entries->elements - 1), 0), &id, NULL))
		return;
	for (size_t i = 0; i < wait->count; i++) {
		struct inbox_ref *item = &wait->items[i];
		if (strcmp(key_inbox(jobs->prefix, item->queue, item->name).s, key) != 0)
			continue;
		item->rang = true;
		str_copy(item->after, sizeof item->after, id);
	}
}

static void jobs_decode_rings(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct inbox_wait *wait = call->arg;
	for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
		jobs_note_ring(call->jobs, wait, reply->element[i]);
	wait->fn(wait->arg, err);
}

void jobs_inbox_wait(struct jobs *jobs, struct inbox_wait *wait)
{
	struct jobs_call *call = jobs_command_new(jobs, "XREAD", NULL, jobs_decode_rings, NULL, wait);
	jobs_arg(call, "COUNT");
	jobs_arg(call, "1");
	jobs_arg(call, "BLOCK");
	jobs_arg_number(call, wait->timeout_ms);
	jobs_arg(call, "STREAMS");
	for (size_t i = 0; i < wait->count; i++) {
		struct inbox_ref *item = &wait->items[i];
		item->rang = false;
		if (!call->error.kind && !(key_queue_is_valid(item->queue) && key_submitter_is_valid(item->name)))
			error_set(&call->error, ERR_INPUT, NULL, "submitter: not a name of one");
		jobs_arg(call, key_inbox(jobs->prefix, item->queue, item->name).s);
	}
	for (size_t i = 0; i < wait->count; i++)
		jobs_arg(call, *wait->items[i].after ? wait->items[i].after : "$");
	jobs_send_within(call, wait->timeout_ms + jobs->deadline_ms);
}
