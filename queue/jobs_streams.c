#include "queue/jobs_internal.h"

#include <string.h>

static struct key jobs_stream_key(const struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n)
{
	if (stream == STREAM_LOG)
		return key_log(jobs->prefix, queue, n);
	if (stream == STREAM_METRICS)
		return key_metrics(jobs->prefix, queue, n);
	return key_events(jobs->prefix, queue);
}

void jobs_channel(const struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, char *into,
		  size_t size)
{
	str_copy(into, size, key_queue_is_valid(queue) ? jobs_stream_key(jobs, queue, stream, n).s : "");
}

void jobs_control_channel(const struct jobs *jobs, const char *queue, char *into, size_t size)
{
	str_copy(into, size, key_queue_is_valid(queue) ? key_control(jobs->prefix, queue).s : "");
}

/* An entry, [id, [name, value, …]], as one object of texts; NULL: not an entry. */
static json_t *jobs_stream_entry(const struct redisReply *entry)
{
	const struct redisReply *fields = jobs_reply_item(entry, 1);
	const char *id, *name, *value;
	size_t len;
	if (!jobs_reply_text(jobs_reply_item(entry, 0), &id, NULL) || !fields || fields->type != REDIS_REPLY_ARRAY)
		return NULL;
	json_t *object = json_object();
	json_object_set_new(object, "id", json_string(id));
	for (size_t i = 0; i + 1 < fields->elements; i += 2) {
		if (jobs_reply_text(fields->element[i], &name, NULL) &&
		    jobs_reply_text(fields->element[i + 1], &value, &len))
			json_object_set_new(object, name, jobs_json_text(value, len));
	}
	return object;
}

static void jobs_tell_entries(struct jobs_call *call, const struct redisReply *reply, bool is_newest_first,
			      const struct error *err)
{
	struct error bad;
	if (!err && reply->type != REDIS_REPLY_ARRAY) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	json_t *entries = json_array();
	for (size_t i = 0; i < reply->elements; i++) {
		size_t at = is_newest_first ? reply->elements - 1 - i : i;
		json_t *entry = jobs_stream_entry(reply->element[at]);
		if (entry)
			json_array_append_new(entries, entry);
	}
	jobs_tell_json(call, entries);
}

static void jobs_decode_range(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_entries(call, reply, false, err);
}

static void jobs_decode_tail(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_entries(call, reply, true, err);
}

void jobs_read_stream(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, const char *after,
		      int limit, jobs_text_fn *fn, void *arg)
{
	char start[64];
	struct jobs_call *call = jobs_command_new(jobs, "XRANGE", queue, jobs_decode_range, (jobs_any_fn *)fn, arg);
	if (after && *after && (strspn(after, "0123456789-") != strlen(after) || strlen(after) > 41) &&
	    !call->error.kind)
		error_set(&call->error, ERR_INPUT, "take it from the entry that was read last",
			  "after: not the id of a stream entry");
	if (!after || !*after)
		str_copy(start, sizeof start, "-");
	else
		str_format(start, sizeof start, "(%.41s", after);
	jobs_arg(call, jobs_stream_key(jobs, call->queue, stream, n).s);
	jobs_arg(call, start);
	jobs_arg(call, "+");
	jobs_arg(call, "COUNT");
	jobs_arg_number(call, limit);
	jobs_send(call);
}

void jobs_read_tail(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, int limit,
		    jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "XREVRANGE", queue, jobs_decode_tail, (jobs_any_fn *)fn, arg);
	jobs_arg(call, jobs_stream_key(jobs, call->queue, stream, n).s);
	jobs_arg(call, "+");
	jobs_arg(call, "-");
	jobs_arg(call, "COUNT");
	jobs_arg_number(call, limit);
	jobs_send(call);
}
