/*
 * Draining a queue of no-op jobs: a few workers, each on a connection of its own, claim up to `batch` jobs a call and
 * finish them in the next, which goes out together with the next claim.
 */
#include "scripts/bench/load.h"

struct held {
	char n[24], uid[40], token[24];
};

struct worker {
	redisContext *redis;
	char name[24];
	long request;
	bool claiming;  /* an answer to a claim is under way */
	long finishing; /* jobs whose finish is under way; its answer comes first */
	long count;
	struct held held[LOAD_BATCH_MAX];
};

static void send_claim(struct worker *worker, const struct load_options *options)
{
	char request[24], most[24];
	struct load_call call;
	snprintf(request, sizeof request, "%ld", ++worker->request);
	snprintf(most, sizeof most, "%ld", options->batch);
	load_begin(&call, "stoker_claim", options);
	load_add(&call, worker->name);
	load_add(&call, "{\"cpus\":1000}");
	load_add(&call, most);
	load_add(&call, request);
	load_send(worker->redis, &call);
	worker->claiming = true;
}

static void copy_value(char *out, size_t size, const redisReply *claim, const char *name)
{
	const redisReply *value = load_claim_value(claim, name);
	if (value->len >= size)
		load_fail("claim: %s of %zu bytes", name, value->len);
	memcpy(out, value->str, value->len + 1);
}

static void take_claims(struct worker *worker)
{
	redisReply *reply = load_answer(worker->redis, REDIS_REPLY_ARRAY, "stoker_claim");
	if (reply->elements > LOAD_BATCH_MAX)
		load_fail("stoker_claim: %zu claims", reply->elements);
	worker->claiming = false;
	worker->count = (long)reply->elements;
	for (size_t i = 0; i < reply->elements; i++) {
		struct held *held = &worker->held[i];
		copy_value(held->n, sizeof held->n, reply->element[i], "n");
		copy_value(held->uid, sizeof held->uid, reply->element[i], "uid");
		copy_value(held->token, sizeof held->token, reply->element[i], "token");
		if (load_claim_value(reply->element[i], "spec")->len < 2)
			load_fail("stoker_claim: no spec");
	}
	freeReplyObject(reply);
}

static void send_finish(struct worker *worker, const struct load_options *options)
{
	struct load_call call;
	load_begin(&call, "stoker_finish", options);
	for (long i = 0; i < worker->count; i++) {
		load_add(&call, worker->held[i].n);
		load_add(&call, worker->held[i].uid);
		load_add(&call, worker->held[i].token);
		load_add(&call, "succeeded");
		load_add(&call, "{\"exit\":0}");
	}
	load_send(worker->redis, &call);
	worker->finishing = worker->count;
}

static long take_finished(struct worker *worker)
{
	redisReply *reply = load_answer(worker->redis, REDIS_REPLY_ARRAY, "stoker_finish");
	long finished = (long)reply->elements;
	if (finished != worker->finishing)
		load_fail("stoker_finish: %ld answers for %ld jobs", finished, worker->finishing);
	for (size_t i = 0; i < reply->elements; i++) {
		const redisReply *one = reply->element[i];
		if (one->elements != 2 || strcmp(one->element[0]->str, "ok") ||
		    strcmp(one->element[1]->str, "succeeded"))
			load_fail("stoker_finish: %s %s", one->element[0]->str, one->element[1]->str);
	}
	freeReplyObject(reply);
	worker->finishing = 0;
	return finished;
}

/* One turn of a worker: the answers of its last turn, then the next calls. Answers how many jobs it finished. */
static long turn(struct worker *worker, const struct load_options *options)
{
	long finished = worker->finishing ? take_finished(worker) : 0;
	if (!worker->claiming)
		return finished;
	take_claims(worker);
	if (worker->count) { /* else all are claimed: this worker is done */
		send_finish(worker, options);
		send_claim(worker, options);
		load_flush(worker->redis);
	}
	return finished;
}

void load_drain(const struct load_options *options)
{
	struct worker *workers = calloc((size_t)options->connections, sizeof *workers);
	for (long i = 0; i < options->connections; i++) {
		workers[i].redis = load_connect(options);
		snprintf(workers[i].name, sizeof workers[i].name, "bench-%ld", i);
	}
	int64_t start = load_now_ns();
	for (long i = 0; i < options->connections; i++) {
		send_claim(&workers[i], options);
		load_flush(workers[i].redis);
	}
	long finished = 0, busy;
	do {
		busy = 0;
		for (long i = 0; i < options->connections; i++) {
			finished += turn(&workers[i], options);
			busy += workers[i].claiming || workers[i].finishing;
		}
	} while (busy);
	int64_t span = load_now_ns() - start;
	if (finished != options->jobs)
		load_fail("drained %ld jobs, but %ld were to be there", finished, options->jobs);
	printf("{\"rate\": %.1f, \"seconds\": %.6f}\n", (double)finished * 1e9 / (double)span, (double)span / 1e9);
	for (long i = 0; i < options->connections; i++)
		redisFree(workers[i].redis);
	free(workers);
}
