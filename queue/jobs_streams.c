#include "queue/jobs_internal.h"

#include <string.h>
#include "lib/json.h"
#include "lib/utf8.h"

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

/* ---- entries as JSON: written by hand, since a log may be much text ---- */

/* [id, [name, value, …]] */
struct jobs_entry {
	const char *id;
	const struct redisReply *fields;
};

static bool jobs_stream_entry(const struct redisReply *reply, struct jobs_entry *entry)
{
	entry->fields = jobs_reply_item(reply, 1);
	return jobs_reply_text(jobs_reply_item(reply, 0), &entry->id, NULL) && entry->fields &&
	       entry->fields->type == REDIS_REPLY_ARRAY;
}

/* As one object of texts. A name that is not UTF-8 is nobody's: it is left out. */
static void jobs_add_entry(struct buf *out, const struct jobs_entry *entry)
{
	const char *name, *value;
	size_t name_len, len;
	buf_str(out, "{\"id\":");
	json_add_text(out, entry->id, strlen(entry->id));
	for (size_t i = 0; i + 1 < entry->fields->elements; i += 2) {
		if (!jobs_reply_text(entry->fields->element[i], &name, &name_len) ||
		    !jobs_reply_text(entry->fields->element[i + 1], &value, &len) || !utf8_is_valid(name, name_len))
			continue;
		buf_byte(out, ',');
		json_add_text(out, name, name_len);
		buf_byte(out, ':');
		json_add_text(out, value, len);
	}
	buf_byte(out, '}');
}

static int64_t jobs_entry_lines(const struct jobs_entry *entry)
{
	const char *name;
	int64_t lines;
	for (size_t i = 0; i + 1 < entry->fields->elements; i += 2)
		if (jobs_reply_text(entry->fields->element[i], &name, NULL) && strcmp(name, "lines") == 0 &&
		    jobs_reply_number(entry->fields->element[i + 1], &lines))
			return lines;
	return 1;
}

static bool jobs_check_entries(const struct jobs_call *call, const struct redisReply *reply, struct error *bad)
{
	if (reply->type == REDIS_REPLY_ARRAY)
		return true;
	jobs_bad_shape(call, bad);
	return false;
}

static void jobs_tell_entries(struct jobs_call *call, const struct redisReply *reply, bool is_newest_first,
			      const struct error *err)
{
	struct error bad;
	struct jobs_entry entry;
	if (!err && !jobs_check_entries(call, reply, &bad))
		err = &bad;
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	CLEANUP(buf) struct buf out;
	buf_init(&out, SIZE_MAX / 2); /* the answer itself is here already */
	buf_byte(&out, '[');
	for (size_t i = 0; i < reply->elements; i++) {
		size_t at = is_newest_first ? reply->elements - 1 - i : i;
		if (!jobs_stream_entry(reply->element[at], &entry))
			continue;
		if (out.len > 1)
			buf_byte(&out, ',');
		jobs_add_entry(&out, &entry);
	}
	buf_byte(&out, ']');
	jobs_tell_text(call, buf_text(&out), out.len, NULL);
}

static void jobs_decode_range(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_entries(call, reply, false, err);
}

static void jobs_decode_tail(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_entries(call, reply, true, err);
}

static void jobs_decode_entries(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_entries_fn *fn = (jobs_entries_fn *)call->fn;
	struct error bad;
	if (!err && !jobs_check_entries(call, reply, &bad))
		err = &bad;
	if (err) {
		fn(call->arg, NULL, 0, err);
		return;
	}
	CLEANUP(free_p) struct stream_entry *entries = mem_alloc((reply->elements + 1) * sizeof *entries);
	CLEANUP(buf) struct buf out;
	size_t count = 0, at = 0;
	buf_init(&out, SIZE_MAX / 2);
	for (size_t i = 0; i < reply->elements; i++) {
		struct jobs_entry entry;
		size_t before = out.len;
		if (!jobs_stream_entry(reply->element[i], &entry))
			continue;
		jobs_add_entry(&out, &entry);
		entries[count++] = (struct stream_entry){ .id = entry.id,
							  .lines = jobs_entry_lines(&entry),
							  .len = out.len - before };
	}
	for (size_t i = 0; i < count; i++) { /* only now: the buffer may have moved while it grew */
		entries[i].json = buf_text(&out) + at;
		at += entries[i].len;
	}
	fn(call->arg, entries, count, NULL);
}

/* ---- reading ---- */

static void jobs_send_range(struct jobs_call *call, enum jobs_stream stream, int64_t n, const char *after, int limit)
{
	char start[64];
	if (after && *after && (strspn(after, "0123456789-") != strlen(after) || strlen(after) > 41) &&
	    !call->error.kind)
		error_set(&call->error, ERR_INPUT, "take it from the entry that was read last",
			  "after: not the id of a stream entry");
	if (!after || !*after)
		str_copy(start, sizeof start, "-");
	else
		str_format(start, sizeof start, "(%.41s", after);
	jobs_arg(call, jobs_stream_key(call->jobs, call->queue, stream, n).s);
	jobs_arg(call, start);
	jobs_arg(call, "+");
	jobs_arg(call, "COUNT");
	jobs_arg_number(call, limit);
	jobs_send(call);
}

void jobs_read_stream(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, const char *after,
		      int limit, jobs_text_fn *fn, void *arg)
{
	jobs_send_range(jobs_command_new(jobs, "XRANGE", queue, jobs_decode_range, (jobs_any_fn *)fn, arg), stream, n,
			after, limit);
}

void jobs_read_entries(struct jobs *jobs, const char *queue, enum jobs_stream stream, int64_t n, const char *after,
		       int limit, jobs_entries_fn *fn, void *arg)
{
	jobs_send_range(jobs_command_new(jobs, "XRANGE", queue, jobs_decode_entries, (jobs_any_fn *)fn, arg), stream, n,
			after, limit);
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
