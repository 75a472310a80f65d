#include "queue/jobs_internal.h"

#include <string.h>
#include "lib/utf8.h"

/* Of all arguments of one call: a batch of log lines stays far below it. */
#define JOBS_ARGS_MAX (64u * 1024 * 1024)

/* ---- the client ---- */

static void jobs_on_redis_state(void *arg, bool connected, const struct error *err)
{
	struct jobs *jobs = arg;
	if (jobs->on_state)
		jobs->on_state(jobs->on_state_arg, connected, err);
}

struct jobs *jobs_new(struct event_base *base, const struct jobs_options *options, struct error *err)
{
	const char *prefix = options->prefix ? options->prefix : "stoker";
	if (!key_prefix_is_valid(prefix)) {
		error_set(err, ERR_INPUT, "letters, digits, '.', '_' and '-', at most 64", "prefix: not a key prefix");
		return NULL;
	}
	struct jobs *jobs = mem_alloc(sizeof *jobs);
	str_copy(jobs->prefix, sizeof jobs->prefix, prefix);
	jobs->deadline_ms = options->redis.deadline_ms ? options->redis.deadline_ms : 10000;
	jobs->redis = redis_new(base, &options->redis, err);
	if (jobs->redis)
		jobs->functions = functions_new(jobs->redis, prefix, options->load_library, err);
	if (!jobs->functions) {
		jobs_free(jobs);
		return NULL;
	}
	redis_on_state(jobs->redis, jobs_on_redis_state, jobs);
	return jobs;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	jobs->is_closing = true;
	redis_free(jobs->redis);
	functions_free(jobs->functions);
	free(jobs);
}

void jobs_measure(struct jobs *jobs, struct histogram *into)
{
	redis_measure(jobs->redis, into);
}

void jobs_on_state(struct jobs *jobs, redis_state_fn *fn, void *arg)
{
	jobs->on_state = fn;
	jobs->on_state_arg = arg;
}

bool jobs_is_ready(const struct jobs *jobs)
{
	return redis_is_connected(jobs->redis);
}

const char *jobs_where(const struct jobs *jobs)
{
	return redis_where(jobs->redis);
}

void jobs_interrupt(struct jobs *jobs)
{
	redis_interrupt(jobs->redis);
}

struct redis *jobs_subscriber(struct event_base *base, const struct jobs_options *options, struct error *err)
{
	return redis_new(base, &options->redis, err);
}

/* ---- calls ---- */

void jobs_call_free(struct jobs_call *call)
{
	buf_done(&call->text);
	free(call->args);
	json_decref(call->kept);
	free(call);
}

struct jobs_call *jobs_command_new(struct jobs *jobs, const char *command, const char *queue, jobs_decode_fn *decode,
				   jobs_any_fn *fn, void *arg)
{
	struct jobs_call *call = mem_alloc(sizeof *call);
	call->jobs = jobs;
	call->name = command;
	call->decode = decode;
	call->fn = fn;
	call->arg = arg;
	buf_init(&call->text, JOBS_ARGS_MAX);
	if (queue && key_queue_is_valid(queue))
		str_copy(call->queue, sizeof call->queue, queue);
	else if (queue)
		error_set(&call->error, ERR_INPUT,
			  "lower-case letters, digits and '-', at most 63, not starting with '-'",
			  "queue: not a queue name");
	jobs_arg(call, command);
	return call;
}

struct jobs_call *jobs_call_new(struct jobs *jobs, const char *name, const char *queue, jobs_decode_fn *decode,
				jobs_any_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "FCALL", queue, decode, fn, arg);
	call->name = name;
	jobs_arg(call, name);
	jobs_arg(call, "1");
	jobs_arg(call, key_meta(jobs->prefix, call->queue).s);
	return call;
}

void jobs_arg_bytes(struct jobs_call *call, const char *text, size_t len)
{
	if (call->count == call->capacity) {
		call->capacity = call->capacity ? call->capacity * 2 : 16;
		call->args = mem_realloc(call->args, call->capacity * sizeof *call->args);
	}
	call->args[call->count++] = (struct jobs_arg){ call->text.len, len };
	if (!buf_add(&call->text, text, len) && !call->error.kind)
		error_set(&call->error, ERR_INPUT, "send less at a time", "%s: arguments of over %u bytes", call->name,
			  JOBS_ARGS_MAX);
}

void jobs_arg(struct jobs_call *call, const char *text)
{
	jobs_arg_bytes(call, text ? text : "", text ? strlen(text) : 0);
}

void jobs_arg_number(struct jobs_call *call, int64_t n)
{
	char text[24];
	str_format(text, sizeof text, "%lld", (long long)n);
	jobs_arg(call, text);
}

void jobs_arg_ref(struct jobs_call *call, const struct attempt_ref *ref)
{
	jobs_arg_number(call, ref->n);
	jobs_arg(call, ref->uid);
	jobs_arg(call, ref->token);
}

static void jobs_on_reply(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct jobs_call *call = arg;
	call->decode(call, reply, err);
	jobs_call_free(call);
}

void jobs_send_within(struct jobs_call *call, int64_t deadline_ms)
{
	struct redis *redis = call->jobs->redis;
	if (call->jobs->is_closing) { /* made by a callback of jobs_free: nobody is left to tell */
		jobs_call_free(call);
		return;
	}
	if (call->error.kind) {
		redis_refuse(redis, jobs_on_reply, call, &call->error);
		return;
	}
	const char **argv = mem_alloc(call->count * sizeof *argv);
	size_t *lens = mem_alloc(call->count * sizeof *lens);
	for (size_t i = 0; i < call->count; i++) {
		argv[i] = buf_text(&call->text) + call->args[i].offset;
		lens[i] = call->args[i].len;
	}
	redis_call(redis, deadline_ms, jobs_on_reply, call, (int)call->count, argv, lens);
	free(argv);
	free(lens);
	buf_done(&call->text); /* the connection has its own copy */
	free(STEAL(call->args));
}

void jobs_send(struct jobs_call *call)
{
	jobs_send_within(call, 0);
}

/* ---- answers ---- */

bool jobs_reply_text(const struct redisReply *reply, const char **text, size_t *len)
{
	if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS))
		return false;
	*text = reply->str;
	if (len)
		*len = reply->len;
	return true;
}

bool jobs_reply_number(const struct redisReply *reply, int64_t *n)
{
	const char *text;
	char *end;
	if (reply && reply->type == REDIS_REPLY_INTEGER) {
		*n = reply->integer;
		return true;
	}
	if (!jobs_reply_text(reply, &text, NULL) || !*text)
		return false;
	*n = strtoll(text, &end, 10);
	return *end == '\0';
}

const struct redisReply *jobs_reply_item(const struct redisReply *reply, size_t i)
{
	return reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements ? reply->element[i] : NULL;
}

void jobs_bad_shape(const struct jobs_call *call, struct error *err)
{
	error_set(err, ERR_INTERNAL, "is another program's library loaded there?",
		  "redis at %s: %s answered in a form that is not known", redis_where(call->jobs->redis), call->name);
}

json_t *jobs_json_text(const char *text, size_t len)
{
	CLEANUP(buf) struct buf clean;
	buf_init(&clean, 3 * len); /* the replacement character takes three bytes */
	for (size_t at = 0; at < len; at++) {
		size_t valid = utf8_valid_prefix(text + at, len - at);
		if (at == 0 && valid == len)
			return json_stringn(text, len);
		buf_add(&clean, text + at, valid);
		at += valid;
		if (at < len)
			buf_str(&clean, "\xef\xbf\xbd");
	}
	return json_stringn(buf_text(&clean), clean.len);
}

void jobs_tell_text(struct jobs_call *call, const char *text, size_t len, const struct error *err)
{
	((jobs_text_fn *)call->fn)(call->arg, text, len, err);
}

void jobs_tell_json(struct jobs_call *call, json_t *document)
{
	char *text = mem_must(json_dumps(document, JSON_COMPACT)); /* all texts are UTF-8 */
	json_decref(document);
	jobs_tell_text(call, text, strlen(text), NULL);
	free(text);
}
