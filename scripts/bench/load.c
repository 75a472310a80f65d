/* What the modes of the load generator share, its options, and its main. See load.h. */
#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

#include "scripts/bench/load.h"

_Noreturn void load_fail(const char *format, ...)
{
	va_list args;
	fputs("bench-load: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

int64_t load_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

redisContext *load_connect(const struct load_options *options)
{
	redisContext *redis = redisConnectUnix(options->socket);
	/* A thousand at once are more than Redis' backlog of connections not yet accepted. */
	while (redis && redis->err == REDIS_ERR_IO && errno == EAGAIN) {
		redisFree(redis);
		usleep(1000);
		redis = redisConnectUnix(options->socket);
	}
	if (!redis || redis->err)
		load_fail("cannot connect to %s: %s", options->socket, redis ? redis->errstr : "out of memory");
	return redis;
}

void load_begin(struct load_call *call, const char *function, const struct load_options *options)
{
	call->count = 0;
	load_add(call, "FCALL");
	load_add(call, function);
	load_add(call, "1");
	load_add(call, options->meta);
}

void load_add(struct load_call *call, const char *text)
{
	if (call->count == LOAD_ARGS_MAX)
		load_fail("a call of more than %d arguments", LOAD_ARGS_MAX);
	call->text[call->count] = text;
	call->bytes[call->count++] = strlen(text);
}

void load_send(redisContext *redis, const struct load_call *call)
{
	const char **text = (const char **)call->text;
	if (redisAppendCommandArgv(redis, call->count, text, call->bytes) != REDIS_OK)
		load_fail("cannot send: %s", redis->errstr);
}

void load_flush(redisContext *redis)
{
	int done = 0;
	while (!done) {
		if (redisBufferWrite(redis, &done) != REDIS_OK)
			load_fail("cannot send: %s", redis->errstr);
	}
}

redisReply *load_answer(redisContext *redis, int wanted, const char *what)
{
	void *answer = NULL;
	if (redisGetReply(redis, &answer) != REDIS_OK || !answer)
		load_fail("%s: no answer: %s", what, redis->errstr);
	redisReply *reply = answer;
	if (wanted == REDIS_REPLY_ERROR || reply->type == wanted)
		return reply;
	if (reply->type == REDIS_REPLY_ERROR)
		load_fail("%s: %s", what, reply->str);
	load_fail("%s: an answer of type %d instead of %d", what, reply->type, wanted);
}

void load_spec(char spec[LOAD_SPEC_MAX], const struct load_options *options, long index)
{
	static const char tail[] = "\"],\"resources\":{\"cpus\":1}}";
	int head = snprintf(
		spec, LOAD_SPEC_MAX,
		"{\"name\":\"train-%ld\",\"command\":[\"python3\",\"train.py\",\"--seed\",\"%ld\",\"--data\",\"", index,
		index);
	size_t used = (size_t)head;
	size_t wanted = (size_t)options->spec_bytes - (sizeof tail - 1);
	for (; used < wanted; used++)
		spec[used] = "abcdefghijklmnop"[used % 16];
	memcpy(spec + used, tail, sizeof tail);
}

const redisReply *load_claim_value(const redisReply *claim, const char *name)
{
	for (size_t i = 0; claim->type == REDIS_REPLY_ARRAY && i + 1 < claim->elements; i += 2) {
		if (!strcmp(claim->element[i]->str, name) && claim->element[i + 1]->type == REDIS_REPLY_STRING)
			return claim->element[i + 1];
	}
	load_fail("a claim without %s", name);
}

struct option_row {
	const char *name;
	size_t offset;
	bool is_number;
	long least, most;
};

#define TEXT(name)                                                                                                     \
	{                                                                                                              \
#name, offsetof(struct load_options, name), false, 0, 0                                                \
	}
#define NUMBER(name, least, most)                                                                                      \
	{                                                                                                              \
#name, offsetof(struct load_options, name), true, least, most                                          \
	}
static const struct option_row rows[] = {
	TEXT(socket),
	TEXT(meta),
	TEXT(wake),
	NUMBER(jobs, 1, 100000000),
	NUMBER(depth, 1, 10000),
	NUMBER(batch, 1, LOAD_BATCH_MAX),
	NUMBER(connections, 1, 64),
	NUMBER(workers, 1, 10000),
	NUMBER(warm, 0, 100000),
	NUMBER(pause_us, 0, 10000000),
	NUMBER(spec_bytes, 150, LOAD_SPEC_MAX - 1),
};

static void option_set(struct load_options *options, const char *text)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct option_row *row = &rows[i];
		size_t length = strlen(row->name);
		if (strncmp(text, row->name, length) || text[length] != '=')
			continue;
		void *field = (char *)options + row->offset;
		if (!row->is_number) {
			*(const char **)field = text + length + 1;
			return;
		}
		char *end;
		long value = strtol(text + length + 1, &end, 10);
		if (*end || end == text + length + 1 || value < row->least || value > row->most)
			load_fail("%s: expected an integer from %ld to %ld", text, row->least, row->most);
		*(long *)field = value;
		return;
	}
	load_fail("unknown option %s", text);
}

static const struct {
	const char *name;
	void (*run)(const struct load_options *options);
} modes[] = {
	{ "single", load_single },
	{ "bulk", load_bulk },
	{ "drain", load_drain },
	{ "latency", load_latency },
};

int main(int argc, char **argv)
{
	struct load_options options = {
		.mode = argc > 1 ? argv[1] : "none",
		.jobs = 1000,
		.depth = 1,
		.batch = 64,
		.connections = 4,
		.workers = 1,
		.pause_us = 5000,
		.spec_bytes = 150,
	};
	for (int i = 2; i < argc; i++)
		option_set(&options, argv[i]);
	if (!options.socket || !options.meta)
		load_fail("usage: bench-load MODE socket=PATH meta=KEY [jobs=N] …");
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (!strcmp(options.mode, modes[i].name)) {
			modes[i].run(&options);
			return 0;
		}
	}
	load_fail("unknown mode %s: single, bulk, drain or latency", options.mode);
}
