#include "queue/jobs_internal.h"

#include <string.h>
#include <event2/util.h>
#include "lib/clock.h"

/* ---- several answers, one document ---- */

struct jobs_gather {
	struct jobs_call *end; /* never sent: holds the user's callback, and the document as kept */
	size_t left;           /* answers still to come */
	struct error error;    /* the first one */
};

static struct jobs_gather *jobs_gather_new(struct jobs_call *end, json_t *document)
{
	struct jobs_gather *gather = mem_alloc(sizeof *gather);
	gather->end = end;
	end->kept = document;
	return gather;
}

static void jobs_gather_add(struct jobs_gather *gather, struct jobs_call *call)
{
	gather->left++;
	jobs_send(call);
}

static void jobs_gather_one(struct jobs_gather *gather, const struct error *err)
{
	if (err && !gather->error.kind)
		gather->error = *err;
	if (--gather->left)
		return;
	if (gather->error.kind)
		jobs_tell_text(gather->end, NULL, 0, &gather->error);
	else
		jobs_tell_json(gather->end, STEAL(gather->end->kept));
	jobs_call_free(gather->end);
	free(gather);
}

/* ---- hashes ---- */

/* Objects and lists stay what they are; everything else is text, as in Redis. */
static json_t *jobs_json_value(const char *text, size_t len)
{
	json_t *value = NULL;
	if (*text == '{' || *text == '[')
		value = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	return value ? value : jobs_json_text(text, len);
}

static bool jobs_read_hash(const struct redisReply *reply, json_t *into)
{
	const char *name, *value;
	size_t len;
	if (reply->type != REDIS_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i + 1 < reply->elements; i += 2) {
		if (!jobs_reply_text(reply->element[i], &name, NULL) ||
		    !jobs_reply_text(reply->element[i + 1], &value, &len))
			return false;
		json_object_set_new(into, name, jobs_json_value(value, len));
	}
	return true;
}

static void jobs_decode_hash(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	json_t *object = json_object();
	struct error bad;
	if (!err && !jobs_read_hash(reply, object)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (!err) {
		jobs_tell_json(call, object);
		return;
	}
	json_decref(object);
	jobs_tell_text(call, NULL, 0, err);
}

void jobs_classes(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "HGETALL", queue, jobs_decode_hash, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_classes(jobs->prefix, call->queue).s);
	jobs_send(call);
}

/* ---- workers: ZRANGE, then a HGETALL each ---- */

static void jobs_decode_worker_hash(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct error bad;
	if (!err && !jobs_read_hash(reply, call->kept)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	jobs_gather_one(call->arg, err);
}

static void jobs_ask_worker(struct jobs_gather *gather, const char *id, int64_t seen_ms)
{
	struct jobs_call *end = gather->end;
	json_t *worker = json_object();
	json_object_set_new(worker, "id", json_string(id));
	json_object_set_new(worker, "seen_ms", json_integer(seen_ms));
	json_array_append_new(end->kept, worker);
	struct jobs_call *call =
		jobs_command_new(end->jobs, "HGETALL", end->queue, jobs_decode_worker_hash, NULL, gather);
	call->kept = json_incref(worker);
	jobs_arg(call, key_worker(end->jobs->prefix, end->queue, id).s);
	jobs_gather_add(gather, call);
}

static void jobs_decode_worker_ids(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const char *id;
	int64_t seen_ms;
	struct error bad;
	if (!err && reply->type != REDIS_REPLY_ARRAY) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	struct jobs_call *end = jobs_command_new(call->jobs, "HGETALL", call->queue, NULL, call->fn, call->arg);
	struct jobs_gather *gather = jobs_gather_new(end, json_array());
	gather->left = 1; /* this answer */
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		if (jobs_reply_text(reply->element[i], &id, NULL) && key_worker_is_valid(id) &&
		    jobs_reply_number(reply->element[i + 1], &seen_ms))
			jobs_ask_worker(gather, id, seen_ms);
	jobs_gather_one(gather, NULL);
}

void jobs_workers(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_command_new(jobs, "ZRANGE", queue, jobs_decode_worker_ids, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_workers(jobs->prefix, call->queue).s);
	jobs_arg(call, "0");
	jobs_arg(call, "-1");
	jobs_arg(call, "WITHSCORES");
	jobs_send(call);
}

/* ---- queues ---- */

static int jobs_compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void jobs_decode_queues(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
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
	size_t count = 0;
	const char **names = mem_alloc((reply->elements + 1) * sizeof *names);
	for (size_t i = 0; i < reply->elements; i++) /* a foreign client may have added what is no name */
		if (jobs_reply_text(reply->element[i], &names[count], NULL) && key_queue_is_valid(names[count]))
			count++;
	qsort(names, count, sizeof *names, jobs_compare_names);
	json_t *list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(names[i]));
	free(names);
	jobs_tell_json(call, list);
}

void jobs_queues(struct jobs *jobs, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "SMEMBERS", NULL, jobs_decode_queues, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_queues(jobs->prefix).s);
	jobs_send(call);
}

static void jobs_decode_created(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	(void)reply;
	jobs_tell_text(call, err ? NULL : call->queue, err ? 0 : strlen(call->queue), err);
}

static void jobs_decode_added(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	(void)reply;
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	struct jobs_call *create =
		jobs_call_new(call->jobs, "stoker_create", call->queue, jobs_decode_created, call->fn, call->arg);
	jobs_arg(create, json_string_value(call->kept));
	jobs_send(create);
}

void jobs_create_queue(struct jobs *jobs, const char *queue, const char *installation, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "SADD", queue, jobs_decode_added, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_queues(jobs->prefix).s);
	jobs_arg(call, queue);
	call->kept = json_string(installation);
	jobs_send(call);
}

/* ---- the installation id: GET, and SET NX if there is none: that which is known, or a new one ---- */

static void jobs_decode_made(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const char *id = json_string_value(call->kept); /* ours, unless somebody was faster */
	if (!err)
		jobs_reply_text(reply, &id, NULL);
	jobs_tell_text(call, err ? NULL : id, err ? 0 : strlen(id), err);
}

static void jobs_decode_installation(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const char *id;
	unsigned char random[6];
	char made[2 * sizeof random + 1];
	if (err || jobs_reply_text(reply, &id, NULL)) {
		jobs_tell_text(call, err ? NULL : id, err ? 0 : strlen(id), err);
		return;
	}
	const char *known = json_string_value(call->kept);
	evutil_secure_rng_get_bytes(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		str_format(made + 2 * i, 3, "%02x", random[i]);
	if (!*known)
		known = made;
	struct jobs_call *set = jobs_command_new(call->jobs, "SET", NULL, jobs_decode_made, call->fn, call->arg);
	jobs_arg(set, key_installation(call->jobs->prefix).s);
	jobs_arg(set, known);
	jobs_arg(set, "NX");
	jobs_arg(set, "GET");
	set->kept = json_string(known);
	jobs_send(set);
}

void jobs_installation(struct jobs *jobs, const char *known, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "GET", NULL, jobs_decode_installation, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_installation(jobs->prefix).s);
	call->kept = json_string(known);
	jobs_send(call);
}

/* ---- what kind of Redis this is ---- */

struct jobs_info_row {
	const char *theirs;
	const char *ours;
};

static const struct jobs_info_row jobs_info_rows[] = {
	{ "redis_version", "redis_version" },
	{ "valkey_version", "valkey_version" },
	{ "run_id", "run_id" },
	{ "role", "role" },
	{ "aof_last_write_status", "aof_last_write_status" },
	{ "aof_last_bgrewrite_status", "aof_last_bgrewrite_status" },
	{ "rdb_last_bgsave_status", "rdb_last_bgsave_status" },
	{ "total_system_memory", "total_system_memory" },
	{ "used_memory", "used_memory" },
	{ "connected_clients", "clients" },
	/* should CONFIG be refused */
	{ "aof_enabled", "appendonly" },
	{ "maxmemory", "maxmemory" },
	{ "maxmemory_policy", "maxmemory_policy" },
};

static const struct jobs_info_row jobs_config_rows[] = {
	{ "appendonly", "appendonly" },
	{ "appendfsync", "appendfsync" },
	{ "maxmemory", "maxmemory" },
	{ "maxmemory-policy", "maxmemory_policy" },
	{ "no-appendfsync-on-rewrite", "no_fsync_on_rewrite" },
};

/* The value of "name:value\r\n" in the text of INFO. */
static json_t *jobs_info_value(const char *info, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = info; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return jobs_json_text(line + len + 1, strcspn(line + len + 1, "\r\n"));
	return json_null();
}

static void jobs_decode_info(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct jobs_gather *gather = call->arg;
	const char *text = "";
	struct error bad;
	if (!err && !jobs_reply_text(reply, &text, NULL)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	for (size_t i = 0; i < ARRAY_LEN(jobs_info_rows); i++)
		json_object_set_new(gather->end->kept, jobs_info_rows[i].ours,
				    jobs_info_value(text, jobs_info_rows[i].theirs));
	jobs_gather_one(gather, err);
}

/* A hosted Redis often has no CONFIG, and neither has the user of docker/users.acl: null says that it would not tell.
 */
static void jobs_decode_config(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct jobs_gather *gather = call->arg;
	json_auto_t *values = json_object();
	bool is_refused = err && (err->kind == ERR_AUTH || err->kind == ERR_INTERNAL);
	if (!err)
		jobs_read_hash(reply, values);
	for (size_t i = 0; i < ARRAY_LEN(jobs_config_rows); i++) {
		json_t *value = json_object_get(values, jobs_config_rows[i].theirs);
		if (value || !json_object_get(gather->end->kept, jobs_config_rows[i].ours))
			json_object_set_new(gather->end->kept, jobs_config_rows[i].ours,
					    value ? json_incref(value) : json_null());
	}
	jobs_gather_one(gather, is_refused ? NULL : err);
}

/*
 * Redis replays its append-only file as the default user, and drops, with a line in its log, each transaction that this
 * user may not run: what a function wrote is one (github.com/redis/redis/issues/14541). "yes", or what the user may not
 * do; absent: we may not ask.
 */
static void jobs_decode_default_user(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct jobs_gather *gather = call->arg;
	bool is_refused = err && (err->kind == ERR_AUTH || err->kind == ERR_INTERNAL);
	const char *text;
	if (!err && jobs_reply_text(reply, &text, NULL))
		json_object_set_new(gather->end->kept, "default_user", json_string(strcmp(text, "OK") ? text : "yes"));
	jobs_gather_one(gather, is_refused ? NULL : err);
}

/* Our clock against that of Redis, as far as the way to it and back tells. */
static void jobs_decode_time(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct jobs_gather *gather = call->arg;
	int64_t seconds, micros;
	if (!err && jobs_reply_number(jobs_reply_item(reply, 0), &seconds) &&
	    jobs_reply_number(jobs_reply_item(reply, 1), &micros)) {
		int64_t now_ms = seconds * 1000 + micros / 1000;
		json_object_set_new(gather->end->kept, "now_ms", json_integer(now_ms));
		json_object_set_new(gather->end->kept, "clock_ahead_ms", json_integer(clock_wall_ms() - now_ms));
	}
	jobs_gather_one(gather, err);
}

static void jobs_decode_library(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	struct jobs_gather *gather = call->arg;
	const char *text;
	json_t *value = !err && jobs_reply_text(reply, &text, NULL) ? json_string(text) : json_null();
	json_object_set_new(gather->end->kept, "library", value);
	jobs_gather_one(gather, err);
}

void jobs_server_info(struct jobs *jobs, jobs_text_fn *fn, void *arg)
{
	struct jobs_gather *gather =
		jobs_gather_new(jobs_command_new(jobs, "INFO", NULL, NULL, (jobs_any_fn *)fn, arg), json_object());
	struct jobs_call *info = jobs_command_new(jobs, "INFO", NULL, jobs_decode_info, NULL, gather);
	struct jobs_call *config = jobs_command_new(jobs, "CONFIG", NULL, jobs_decode_config, NULL, gather);
	struct jobs_call *replay = jobs_command_new(jobs, "ACL", NULL, jobs_decode_default_user, NULL, gather);
	struct jobs_call *library = jobs_command_new(jobs, "GET", NULL, jobs_decode_library, NULL, gather);
	jobs_arg(config, "GET");
	for (size_t i = 0; i < ARRAY_LEN(jobs_config_rows); i++)
		jobs_arg(config, jobs_config_rows[i].theirs);
	const struct key meta = key_meta(jobs->prefix, "default");
	const char *const dry_run[] = { "DRYRUN", "default", "HSET", meta.s, "next", "1" };
	for (size_t i = 0; i < ARRAY_LEN(dry_run); i++)
		jobs_arg(replay, dry_run[i]);
	jobs_arg(library, key_library(jobs->prefix).s);
	jobs_gather_add(gather, info);
	jobs_gather_add(gather, config);
	jobs_gather_add(gather, replay);
	jobs_gather_add(gather, library);
	jobs_gather_add(gather, jobs_command_new(jobs, "TIME", NULL, jobs_decode_time, NULL, gather));
}
