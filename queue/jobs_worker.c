#include "queue/jobs_internal.h"

#include <string.h>

/* ---- the scheduler's tick: [done, next, …] ---- */

/* inbox: [done, ms until it is due again or -1]. */
void jobs_decode_due(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tick_fn *fn = (jobs_tick_fn *)call->fn;
	int64_t done = 0, next_ms = -1;
	struct error bad;
	if (!err && (!jobs_reply_number(jobs_reply_item(reply, 0), &done) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &next_ms))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, done, err ? -1 : next_ms, err);
}

/* promote: the same, and a list of letters. */
static void jobs_decode_promote(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_promoted_fn *fn = (jobs_promoted_fn *)call->fn;
	const struct redisReply *list = err ? NULL : jobs_reply_item(reply, 2);
	size_t count = list && list->type == REDIS_REPLY_ARRAY ? list->elements : 0, read = 0;
	CLEANUP(free_p) const char **letters = mem_alloc((count + 1) * sizeof *letters);
	int64_t done = 0, next_ms = -1;
	struct error bad;
	while (read < count && jobs_reply_text(list->element[read], &letters[read], NULL))
		read++;
	if (!err && (!jobs_reply_number(jobs_reply_item(reply, 0), &done) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &next_ms) || read < count)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, done, err ? -1 : next_ms, letters, err ? 0 : count, err);
}

/* prune: [dropped, kept, over]. */
static void jobs_decode_prune(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_pruned_fn *fn = (jobs_pruned_fn *)call->fn;
	int64_t dropped = 0, over = 0;
	struct error bad;
	if (!err && !jobs_reply_number(jobs_reply_item(reply, 0), &dropped)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	jobs_reply_number(jobs_reply_item(reply, 2), &over); /* an older library does not say */
	fn(call->arg, dropped, over, err);
}

void jobs_promote(struct jobs *jobs, const char *queue, jobs_promoted_fn *fn, void *arg)
{
	jobs_send(jobs_call_new(jobs, "stoker_promote", queue, jobs_decode_promote, (jobs_any_fn *)fn, arg));
}

/* reap: [reaped, next, grace, newest]. */
static void jobs_decode_reap(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_reaped_fn *fn = (jobs_reaped_fn *)call->fn;
	int64_t done = 0, next_ms = -1, newest = 0;
	struct error bad;
	if (!err && (!jobs_reply_number(jobs_reply_item(reply, 0), &done) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &next_ms))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	jobs_reply_number(jobs_reply_item(reply, 3), &newest); /* an older library does not say */
	fn(call->arg, done, err ? -1 : next_ms, newest, err);
}

void jobs_reap(struct jobs *jobs, const char *queue, int64_t newest, jobs_reaped_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_reap", queue, jobs_decode_reap, (jobs_any_fn *)fn, arg);
	if (newest > 0) {
		jobs_arg(call, "100");
		jobs_arg_number(call, newest);
	}
	jobs_send(call);
}

void jobs_prune(struct jobs *jobs, const char *queue, bool has_store, const char *marked, jobs_pruned_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_prune", queue, jobs_decode_prune, (jobs_any_fn *)fn, arg);
	if (has_store) {
		jobs_arg(call, "100");
		jobs_arg(call, "store");
		jobs_arg(call, marked ? marked : "");
	}
	jobs_send(call);
}

/* ---- heartbeat: [last request, drain] ---- */

static void jobs_decode_worker(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_worker_fn *fn = (jobs_worker_fn *)call->fn;
	struct worker_answer answer = { 0 };
	int64_t drain = 0;
	struct error bad;
	if (!err && (!jobs_reply_number(jobs_reply_item(reply, 0), &answer.last_request) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &drain))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	answer.drain = drain != 0;
	jobs_reply_number(jobs_reply_item(reply, 2), &answer.resumed_ms); /* an older library does not say */
	if (jobs_reply_text(jobs_reply_item(reply, 3), &answer.marked, NULL) && !*answer.marked)
		answer.marked = NULL;
	fn(call->arg, &answer, err);
}

void jobs_worker(struct jobs *jobs, const char *queue, const char *worker, const char *info_json, jobs_worker_fn *fn,
		 void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_worker", queue, jobs_decode_worker, (jobs_any_fn *)fn, arg);
	jobs_arg(call, worker);
	jobs_arg(call, info_json);
	jobs_send(call);
}

/* ---- claims: a list of lists of name, value, … ---- */

enum { JOBS_CLAIM_VALUES_MAX = 64 }; /* of one that is handed over: it has some thirty */

static bool jobs_claim_text(const struct redisReply *value, char *into, size_t size)
{
	const char *text;
	return jobs_reply_text(value, &text, NULL) && *text && str_copy(into, size, text);
}

/* One name and its value; what is not known is for newer programs. */
static bool jobs_claim_field(struct claim *claim, const char *name, const struct redisReply *value)
{
	if (strcmp(name, "n") == 0)
		return jobs_reply_number(value, &claim->ref.n);
	if (strcmp(name, "id") == 0)
		return jobs_claim_text(value, claim->id, sizeof claim->id);
	if (strcmp(name, "uid") == 0)
		return jobs_claim_text(value, claim->ref.uid, sizeof claim->ref.uid);
	if (strcmp(name, "token") == 0) { /* a text for us, whatever it is for Redis */
		int64_t token;
		return jobs_reply_number(value, &token) &&
		       str_format(claim->ref.token, sizeof claim->ref.token, "%lld", (long long)token);
	}
	if (strcmp(name, "attempt") == 0)
		return jobs_reply_number(value, &claim->attempt);
	if (strcmp(name, "lease_ms") == 0)
		return jobs_reply_number(value, &claim->lease_ms);
	if (strcmp(name, "scheduled_ms") == 0)
		return jobs_reply_number(value, &claim->scheduled_ms);
	if (strcmp(name, "corrupted") == 0)
		return jobs_reply_number(value, &claim->corrupted);
	if (strcmp(name, "age_ms") == 0)
		return jobs_reply_number(value, &claim->age_ms);
	if (strcmp(name, "request") == 0)
		return jobs_reply_number(value, &claim->request);
	if (strcmp(name, "cpus") == 0)
		return jobs_reply_number(value, &claim->cpus);
	if (strcmp(name, "gpus") == 0)
		return jobs_reply_number(value, &claim->gpus);
	if (strcmp(name, "memory") == 0)
		return jobs_reply_number(value, &claim->memory_bytes);
	if (strcmp(name, "installation") == 0)
		return jobs_reply_text(value, &claim->installation, NULL);
	if (strcmp(name, "class") == 0)
		return jobs_reply_text(value, &claim->class_name, NULL);
	if (strcmp(name, "spec") == 0)
		return jobs_reply_text(value, &claim->spec_json, &claim->spec_len);
	if (strcmp(name, "resume") == 0)
		return jobs_reply_text(value, &claim->resume, NULL);
	if (strcmp(name, "checkpoint") == 0)
		return jobs_reply_text(value, &claim->checkpoint, NULL);
	if (strcmp(name, "parents") == 0)
		return jobs_reply_text(value, &claim->parents, NULL);
	return true;
}

static bool jobs_read_claim(const struct redisReply *pairs, struct claim *claim)
{
	if (!pairs || pairs->type != REDIS_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
		const char *name;
		if (!jobs_reply_text(pairs->element[i], &name, NULL) ||
		    !jobs_claim_field(claim, name, pairs->element[i + 1]))
			return false;
	}
	return claim->ref.n > 0 && claim->id[0] && claim->ref.uid[0] && claim->ref.token[0] && claim->attempt > 0 &&
	       claim->lease_ms > 0 && claim->installation && claim->class_name && claim->spec_json &&
	       !claim->resume == !claim->checkpoint;
}

static void jobs_decode_claim(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_claim_fn *fn = (jobs_claim_fn *)call->fn;
	struct error bad;
	size_t count = !err && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
	struct claim *claims = mem_alloc((count + 1) * sizeof *claims);
	if (!err && reply->type != REDIS_REPLY_ARRAY) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	for (size_t i = 0; i < count && !err; i++) {
		str_copy(claims[i].ref.queue, sizeof claims[i].ref.queue, call->queue);
		if (!jobs_read_claim(reply->element[i], &claims[i])) {
			jobs_bad_shape(call, &bad);
			err = &bad;
		}
	}
	fn(call->arg, err ? NULL : claims, err ? 0 : count, err);
	free(claims);
}

void jobs_claim(struct jobs *jobs, const struct claim_request *request, jobs_claim_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_claim", request->queue, jobs_decode_claim, (jobs_any_fn *)fn, arg);
	jobs_arg(call, request->worker);
	jobs_arg(call, request->free_json);
	jobs_arg_number(call, request->max);
	jobs_arg_number(call, request->request);
	if (request->channel)
		jobs_arg(call, request->channel);
	jobs_send(call);
}

void jobs_given_channel(const struct jobs *jobs, const char *queue, const char *name, char *into, size_t size)
{
	str_copy(into, size, key_queue_is_valid(queue) ? key_given(jobs->prefix, queue, name).s : "");
}

/* The list of names and values comes as JSON: read as if it had come as an answer. */
void jobs_given(const char *queue, const char *text, size_t len, jobs_claim_fn *fn, void *arg)
{
	struct redisReply values[JOBS_CLAIM_VALUES_MAX], *list[JOBS_CLAIM_VALUES_MAX];
	struct redisReply pairs = { .type = REDIS_REPLY_ARRAY, .element = list };
	struct claim claim = { 0 };
	struct error err;
	json_auto_t *message = json_loadb(text, len, 0, NULL);
	for (; pairs.elements < json_array_size(message) && pairs.elements < JOBS_CLAIM_VALUES_MAX; pairs.elements++) {
		const json_t *value = json_array_get(message, pairs.elements);
		if (!json_is_string(value))
			break;
		list[pairs.elements] = &values[pairs.elements];
		values[pairs.elements] = (struct redisReply){ .type = REDIS_REPLY_STRING,
							      .str = (char *)json_string_value(value),
							      .len = json_string_length(value) };
	}
	str_copy(claim.ref.queue, sizeof claim.ref.queue, queue);
	if (pairs.elements == json_array_size(message) && jobs_read_claim(&pairs, &claim) && claim.request > 0) {
		fn(arg, &claim, 1, NULL);
		return;
	}
	error_set(&err, ERR_INTERNAL, "is another program's library loaded there?",
		  "queue %s: a job was handed over in a form that is not known", queue);
	fn(arg, NULL, 0, &err);
}

/* ---- doorbells ---- */

/* BZPOPMIN: nil, or [key, member, score]. */
static void jobs_decode_doorbell(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_doorbell_fn *fn = (jobs_doorbell_fn *)call->fn;
	const struct key bell = key_wake(call->jobs->prefix, call->queue, "");
	size_t prefix = strlen(bell.s);
	const char *key = NULL;
	struct error bad;
	if (err || reply->type == REDIS_REPLY_NIL) {
		fn(call->arg, NULL, err);
	} else if (jobs_reply_text(jobs_reply_item(reply, 0), &key, NULL) && strncmp(key, bell.s, prefix) == 0) {
		fn(call->arg, key + prefix, NULL);
	} else {
		jobs_bad_shape(call, &bad);
		fn(call->arg, NULL, &bad);
	}
}

void jobs_doorbell(struct jobs *jobs, const char *queue, const char *const *classes, size_t count, int64_t timeout_ms,
		   jobs_doorbell_fn *fn, void *arg)
{
	char seconds[32];
	struct jobs_call *call =
		jobs_command_new(jobs, "BZPOPMIN", queue, jobs_decode_doorbell, (jobs_any_fn *)fn, arg);
	if ((count == 0 || timeout_ms <= 0) && !call->error.kind)
		error_set(&call->error, ERR_INTERNAL, NULL, "a doorbell needs classes and a timeout above 0");
	for (size_t i = 0; i < count; i++) {
		if (!key_class_is_valid(classes[i]) && !call->error.kind)
			error_set(&call->error, ERR_INPUT, NULL, "class: not the name of a class");
		if (!call->error.kind)
			jobs_arg(call, key_wake(jobs->prefix, call->queue, classes[i]).s);
	}
	str_format(seconds, sizeof seconds, "%lld.%03d", (long long)(timeout_ms / 1000), (int)(timeout_ms % 1000));
	jobs_arg(call, seconds);
	jobs_send_within(call, timeout_ms + jobs->deadline_ms);
}
