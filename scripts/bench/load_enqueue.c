/*
 * Enqueueing on one connection: one job a call (`single`), or many (`bulk`: stoker_bulk where the library has it, else
 * one stoker_submit a job, pipelined), with `depth` calls in flight.
 */
#include "scripts/bench/load.h"

/* The specs of one call. */
struct chunk {
	long jobs;
	char spec[LOAD_BATCH_MAX][LOAD_SPEC_MAX];
};

static void chunk_fill(struct chunk *chunk, const struct load_options *options, long first, long jobs)
{
	chunk->jobs = jobs;
	for (long i = 0; i < jobs; i++)
		load_spec(chunk->spec[i], options, first + i);
}

static void send_single(redisContext *redis, const struct load_options *options, struct chunk *chunk, long index)
{
	struct load_call call;
	chunk_fill(chunk, options, index, 1);
	load_begin(&call, "stoker_submit", options);
	load_add(&call, chunk->spec[0]);
	load_send(redis, &call);
}

static void send_bulk(redisContext *redis, const struct load_options *options, struct chunk *chunk, long index)
{
	long left = options->jobs - index;
	struct load_call call;
	chunk_fill(chunk, options, index, left < options->batch ? left : options->batch);
	load_begin(&call, "stoker_bulk", options);
	load_add(&call, "");
	for (long i = 0; i < chunk->jobs; i++) {
		load_add(&call, chunk->spec[i]);
		load_add(&call, "");
	}
	load_send(redis, &call);
}

/* Answers how many jobs an answer of stoker_bulk stands for. */
static long bulk_accepted(const redisReply *reply)
{
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *one = reply->element[i];
		if (one->type != REDIS_REPLY_ARRAY || one->elements != 2 || !one->element[0]->str ||
		    strcmp(one->element[0]->str, "ok"))
			load_fail("stoker_bulk refused a job: %s",
				  one->elements == 2 && one->element[1]->str ? one->element[1]->str : "?");
	}
	return (long)reply->elements;
}

static void print_rate(const struct load_options *options, int64_t span_ns, bool bulk)
{
	printf("{\"rate\": %.1f, \"seconds\": %.6f, \"bulk\": %s}\n", (double)options->jobs * 1e9 / (double)span_ns,
	       (double)span_ns / 1e9, bulk ? "true" : "false");
}

void load_single(const struct load_options *options)
{
	redisContext *redis = load_connect(options);
	struct chunk *chunk = calloc(1, sizeof *chunk);
	int64_t start = load_now_ns();
	long sent = 0;
	for (long done = 0; done < options->jobs; done++) {
		while (sent < options->jobs && sent - done < options->depth)
			send_single(redis, options, chunk, sent++);
		freeReplyObject(load_answer(redis, REDIS_REPLY_STRING, "stoker_submit"));
	}
	print_rate(options, load_now_ns() - start, false);
	free(chunk);
	redisFree(redis);
}

/* An empty call is refused by the function, and by Redis in other words where there is no such function. */
static bool has_bulk(redisContext *redis, const struct load_options *options)
{
	struct load_call call;
	load_begin(&call, "stoker_bulk", options);
	load_send(redis, &call);
	redisReply *reply = load_answer(redis, REDIS_REPLY_ERROR, "stoker_bulk");
	bool missing = reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "Function not found");
	freeReplyObject(reply);
	return !missing;
}

void load_bulk(const struct load_options *options)
{
	redisContext *redis = load_connect(options);
	if (!has_bulk(redis, options)) {
		struct load_options pipelined = *options;
		pipelined.depth = options->depth * options->batch;
		redisFree(redis);
		load_single(&pipelined);
		return;
	}
	struct chunk *chunk = calloc(1, sizeof *chunk);
	int64_t start = load_now_ns();
	long sent = 0, done = 0;
	while (done < options->jobs) {
		/* Written at once, so that Redis works on the next call while this one's answer is read. */
		while (sent < options->jobs && sent - done < options->depth * options->batch) {
			send_bulk(redis, options, chunk, sent);
			sent += chunk->jobs;
			load_flush(redis);
		}
		redisReply *reply = load_answer(redis, REDIS_REPLY_ARRAY, "stoker_bulk");
		done += bulk_accepted(reply);
		freeReplyObject(reply);
	}
	print_rate(options, load_now_ns() - start, true);
	free(chunk);
	redisFree(redis);
}
