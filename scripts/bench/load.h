/*
 * The load generator of scripts/bench/queue_bench.py: an app and workers as anybody may write them. It speaks the
 * functions of docs/protocol.md over hiredis and knows nothing of queue/. Whatever Redis answers is checked; the first
 * answer that is not the expected one ends the program, since a figure over calls that failed would be none.
 */
#ifndef STOKER_SCRIPTS_BENCH_LOAD_H
#define STOKER_SCRIPTS_BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

enum { LOAD_SPEC_MAX = 1024, LOAD_BATCH_MAX = 100, LOAD_ARGS_MAX = 5 * LOAD_BATCH_MAX + 8 };

struct load_options {
	const char *mode;
	const char *socket; /* of Redis */
	const char *meta;   /* key: names the queue in every call */
	const char *wake;   /* key of the doorbell of the jobs' class */
	long jobs;
	long depth;       /* calls in flight on the one connection that enqueues */
	long batch;       /* jobs a call */
	long connections; /* that drain, each a worker with a name of its own */
	long workers;     /* that wait for the doorbell */
	long warm;        /* jobs before those that are measured */
	long pause_us;    /* between two jobs, at low load */
	long spec_bytes;
};

/* One command under construction. The texts are not copied: they must live until load_send. */
struct load_call {
	int count;
	const char *text[LOAD_ARGS_MAX];
	size_t bytes[LOAD_ARGS_MAX];
};

_Noreturn void load_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
int64_t load_now_ns(void);

redisContext *load_connect(const struct load_options *options);
void load_begin(struct load_call *call, const char *function, const struct load_options *options);
void load_add(struct load_call *call, const char *text);
/* Puts it into the connection's buffer; load_flush writes the buffer out. */
void load_send(redisContext *redis, const struct load_call *call);
void load_flush(redisContext *redis);
/* The next answer, of the wanted type; freed by freeReplyObject. An error answer ends the program, unless `wanted`
 * is REDIS_REPLY_ERROR: then any type is fine. */
redisReply *load_answer(redisContext *redis, int wanted, const char *what);

/* A spec of about the wanted size, distinct by its index. */
void load_spec(char spec[LOAD_SPEC_MAX], const struct load_options *options, long index);

/* The value of a name in a claim, which is a list of names and values. */
const redisReply *load_claim_value(const redisReply *claim, const char *name);

/* The modes. Each prints one JSON object. */
void load_single(const struct load_options *options);
void load_bulk(const struct load_options *options);
void load_drain(const struct load_options *options);
void load_latency(const struct load_options *options);

#endif
