#include "queue/functions.h"

#include <hiredis/hiredis.h>
#include <openssl/sha.h>
#include <string.h>
#include "lib/buf.h"
#include "queue/keys.h"

/* How often a MULTI may be beaten by another loader before that looks wrong. */
#define FUNCTIONS_TRIES 10

extern const char library_lua[]; /* queue/library.S */

struct functions {
	struct redis *redis;
	struct key key;
	bool always;
	int version;
	char mark[64];            /* what the key shall hold; "" until it is asked for */
	char seen[64];            /* what it holds */
	int tries;                /* left in this setup */
	struct error queue_error; /* why Redis did not take a command into the MULTI */
};

static void functions_start(struct functions *functions);

int functions_version(const char *code)
{
	static const char line[] = "\n-- version ";
	const char *found = strstr(code, line);
	long version = found ? strtol(found + sizeof line - 1, NULL, 10) : 0;
	return version > 0 && version < 1000000 ? (int)version : 0;
}

static void functions_sha1(const char *text, char hex[41])
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	SHA1((const unsigned char *)text, strlen(text), digest);
	for (size_t i = 0; i < sizeof digest; i++)
		str_format(hex + 2 * i, 3, "%02x", digest[i]);
}

/* Made when it is first needed: a runner, which finds the library in place, never hashes it. */
static const char *functions_mark(struct functions *functions)
{
	char sha1[41];
	if (!functions->mark[0]) {
		functions_sha1(library_lua, sha1);
		str_format(functions->mark, sizeof functions->mark, "%d %s", functions->version, sha1);
	}
	return functions->mark;
}

/* A setup whose connection went away ends without effect: the next connection has its own. */
static void functions_fail(struct functions *functions, const struct error *err)
{
	struct error wrapped = *err;
	error_wrap(&wrapped, "cannot load the function library");
	redis_setup_done(functions->redis, &wrapped);
}

static void functions_call(struct functions *functions, redis_reply_fn *fn, int argc, const char *const *argv)
{
	redis_call_bound(functions->redis, fn, functions, argc, argv, NULL);
}

/* For what stands before EXEC: its failure makes EXEC fail, but only this says why. */
static void functions_on_queued(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct functions *functions = arg;
	(void)reply;
	if (err && functions->queue_error.kind == ERR_NONE)
		functions->queue_error = *err;
}

static void functions_done(struct functions *functions)
{
	functions_call(functions, functions_on_queued, 1, (const char *const[]){ "UNWATCH" });
	redis_setup_done(functions->redis, NULL);
}

static void functions_on_exec(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct functions *functions = arg;
	struct error failed;
	if (!err && reply->type == REDIS_REPLY_ARRAY && reply->elements &&
	    reply->element[0]->type == REDIS_REPLY_ERROR) {
		error_set(&failed, ERR_INTERNAL, NULL, "%.300s", reply->element[0]->str);
		functions_fail(functions, &failed);
	} else if (err) {
		functions_fail(functions, functions->queue_error.kind ? &functions->queue_error : err);
	} else if (reply->type != REDIS_REPLY_NIL) {
		redis_setup_done(functions->redis, NULL);
	} else if (functions->tries-- > 0) {
		functions_start(functions); /* somebody else was faster: look again */
	} else {
		error_set(&failed, ERR_CONFLICT, NULL, "%s keeps changing", functions->key.s);
		functions_fail(functions, &failed);
	}
}

/* has_code: the library in place is ours already, only the mark is not. */
static void functions_load(struct functions *functions, bool has_code)
{
	functions->queue_error.kind = ERR_NONE;
	functions_call(functions, functions_on_queued, 1, (const char *const[]){ "MULTI" });
	if (!has_code)
		functions_call(functions, functions_on_queued, 4,
			       (const char *const[]){ "FUNCTION", "LOAD", "REPLACE", library_lua });
	functions_call(functions, functions_on_queued, 3,
		       (const char *const[]){ "SET", functions->key.s, functions_mark(functions) });
	functions_call(functions, functions_on_exec, 1, (const char *const[]){ "EXEC" });
}

/* The code of the library in place, out of FUNCTION LIST's nested name-value lists; NULL: none. */
static const char *functions_code(const struct redisReply *list)
{
	if (list->type != REDIS_REPLY_ARRAY || list->elements == 0 || list->element[0]->type != REDIS_REPLY_ARRAY)
		return NULL;
	const struct redisReply *library = list->element[0];
	for (size_t i = 0; i + 1 < library->elements; i += 2) {
		const struct redisReply *name = library->element[i], *value = library->element[i + 1];
		if (name->str && strcmp(name->str, "library_code") == 0 && value->type == REDIS_REPLY_STRING)
			return value->str;
	}
	return NULL;
}

static void functions_on_list(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct functions *functions = arg;
	if (err) {
		functions_fail(functions, err);
		return;
	}
	const char *code = functions_code(reply);
	int version = code ? functions_version(code) : 0;
	bool is_same = code && strcmp(code, library_lua) == 0;
	if (version > functions->version || (is_same && strcmp(functions->seen, functions_mark(functions)) == 0))
		functions_done(functions);
	else
		functions_load(functions, is_same);
}

static void functions_on_key(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct functions *functions = arg;
	if (err) {
		functions_fail(functions, err);
		return;
	}
	str_copy(functions->seen, sizeof functions->seen, reply->type == REDIS_REPLY_STRING ? reply->str : "");
	functions_call(functions, functions_on_list, 5,
		       (const char *const[]){ "FUNCTION", "LIST", "LIBRARYNAME", "stoker", "WITHCODE" });
}

static void functions_start(struct functions *functions)
{
	functions_call(functions, functions_on_queued, 2, (const char *const[]){ "WATCH", functions->key.s });
	functions_call(functions, functions_on_key, 2, (const char *const[]){ "GET", functions->key.s });
}

static void functions_on_setup(void *arg, bool is_missing)
{
	struct functions *functions = arg;
	functions->tries = FUNCTIONS_TRIES;
	if (functions->always || is_missing)
		functions_start(functions);
	else
		redis_setup_done(functions->redis, NULL);
}

struct functions *functions_new(struct redis *redis, const char *prefix, bool always, struct error *err)
{
	int version = functions_version(library_lua);
	if (!version) {
		error_set(err, ERR_INTERNAL, NULL, "the embedded function library states no version");
		return NULL;
	}
	struct functions *functions = mem_alloc(sizeof *functions);
	functions->redis = redis;
	functions->always = always;
	functions->version = version;
	functions->key = key_library(prefix);
	redis_on_setup(redis, functions_on_setup, functions);
	return functions;
}

void functions_free(struct functions *functions)
{
	free(functions);
}
