/*
 * Submit to claimed at low load: one process submits a job, waits, submits the next; another is `workers` workers that
 * wait, each on two connections of its own: one for the doorbell, one for what is handed over. They claim, finish what
 * they got, and ask for more. The span of a job ends when its worker has the claim in its hands. The queue is new, so
 * the number of a job tells when it was submitted.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "scripts/bench/load.h"

/* Of one job, by CLOCK_MONOTONIC; shared by the two processes. */
struct span {
	_Atomic int64_t sent_ns, claimed_ns;
};

enum { WAIT_S = 20, CHANNEL_SIZE = 256 };

/* One attempt, as the answer to a claim or a message says. */
struct attempt {
	const char *n, *uid, *token;
};

struct workers {
	const struct load_options *options;
	struct span *spans;
	long total;
	redisContext *calls;
	redisContext **bells, **messages;
};

static void listen_again(redisContext *redis, const struct load_options *options)
{
	const char *command[] = { "BZPOPMIN", options->wake, "60" };
	if (redisAppendCommandArgv(redis, 3, command, NULL) != REDIS_OK)
		load_fail("cannot send: %s", redis->errstr);
	load_flush(redis);
}

/* A worker has it: the clock is read first, then it is finished. */
static void take(const struct workers *w, const struct attempt *attempt)
{
	struct load_call call;
	int64_t now = load_now_ns();
	long index = strtol(attempt->n, NULL, 10) - 1;
	if (index < 0 || index >= w->total || w->spans[index].claimed_ns)
		load_fail("job %ld was claimed twice, or was never submitted", index + 1);
	load_begin(&call, "stoker_finish", w->options);
	load_add(&call, attempt->n);
	load_add(&call, attempt->uid);
	load_add(&call, attempt->token);
	load_add(&call, "succeeded");
	load_add(&call, "{\"exit\":0}");
	load_send(w->calls, &call);
	redisReply *reply = load_answer(w->calls, REDIS_REPLY_ARRAY, "stoker_finish");
	if (reply->elements != 1 || reply->element[0]->elements != 2 ||
	    strcmp(reply->element[0]->element[0]->str, "ok"))
		load_fail("stoker_finish did not finish");
	freeReplyObject(reply);
	w->spans[index].claimed_ns = now;
}

/* Claims until there is nothing; known is the attempt that was handed over since, or "". */
static void ask(const struct workers *w, long worker, const char *known)
{
	static long request; /* rises over all workers, so also for each */
	char name[32], number[24], offer[128];
	size_t got;
	snprintf(name, sizeof name, "bench-%ld", worker);
	snprintf(offer, sizeof offer, "{\"cpus\":1,\"given\":[%s]}", known);
	do {
		struct load_call call;
		snprintf(number, sizeof number, "%ld", ++request);
		load_begin(&call, "stoker_claim", w->options);
		load_add(&call, name);
		load_add(&call, offer);
		load_add(&call, "1");
		load_add(&call, number);
		load_add(&call, name); /* the channel */
		load_send(w->calls, &call);
		redisReply *reply = load_answer(w->calls, REDIS_REPLY_ARRAY, "stoker_claim");
		got = reply->elements;
		for (size_t i = 0; i < got; i++) {
			struct attempt attempt = { .n = load_claim_value(reply->element[i], "n")->str,
						   .uid = load_claim_value(reply->element[i], "uid")->str,
						   .token = load_claim_value(reply->element[i], "token")->str };
			take(w, &attempt);
		}
		freeReplyObject(reply);
	} while (got);
}

static const char *message_value(const json_t *message, const char *name)
{
	for (size_t i = 0; i + 1 < json_array_size(message); i += 2)
		if (!strcmp(json_string_value(json_array_get(message, i)), name))
			return json_string_value(json_array_get(message, i + 1));
	load_fail("a job was handed over without %s", name);
}

/* A job was handed over to this worker. */
static void hear(const struct workers *w, long worker)
{
	char known[64];
	redisReply *reply = load_answer(w->messages[worker], REDIS_REPLY_ARRAY, "a message");
	json_t *message = json_loadb(reply->element[2]->str, reply->element[2]->len, 0, NULL);
	struct attempt attempt = { .n = message_value(message, "n"),
				   .uid = message_value(message, "uid"),
				   .token = message_value(message, "token") };
	take(w, &attempt);
	snprintf(known, sizeof known, "\"%s:%s\"", attempt.n, attempt.token);
	json_decref(message);
	freeReplyObject(reply);
	ask(w, worker, known);
}

/* The doorbell rang for this worker, or nobody rang for a minute. */
static void answer_bell(const struct workers *w, long worker)
{
	redisReply *reply = load_answer(w->bells[worker], REDIS_REPLY_ERROR, "BZPOPMIN");
	if (reply->type == REDIS_REPLY_ERROR)
		load_fail("BZPOPMIN: %s", reply->str);
	freeReplyObject(reply);
	ask(w, worker, "");
	listen_again(w->bells[worker], w->options);
}

static void watch(int epoll, redisContext *redis, uint64_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = what };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, redis->fd, &event))
		load_fail("epoll: %s", strerror(errno));
}

/* <prefix>{<queue>}:meta is the key that every call names. */
static redisContext *subscribe(const struct load_options *options, long worker)
{
	char channel[CHANNEL_SIZE];
	redisContext *redis = load_connect(options);
	snprintf(channel, sizeof channel, "%.*sgiven:bench-%ld", (int)(strlen(options->meta) - strlen("meta")),
		 options->meta, worker);
	const char *command[] = { "SUBSCRIBE", channel };
	if (redisAppendCommandArgv(redis, 2, command, NULL) != REDIS_OK)
		load_fail("cannot send: %s", redis->errstr);
	freeReplyObject(load_answer(redis, REDIS_REPLY_ARRAY, "SUBSCRIBE"));
	return redis;
}

/* Never returns: ends with its parent. */
static void run_workers(const struct load_options *options, struct span *spans, long total, int ready)
{
	struct workers w = { .options = options, .spans = spans, .total = total, .calls = load_connect(options) };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	w.bells = calloc((size_t)options->workers, sizeof(*w.bells));
	w.messages = calloc((size_t)options->workers, sizeof(*w.messages));
	for (long i = 0; i < options->workers; i++) {
		w.bells[i] = load_connect(options);
		w.messages[i] = subscribe(options, i);
		watch(epoll, w.bells[i], 2 * (uint64_t)i);
		watch(epoll, w.messages[i], 2 * (uint64_t)i + 1);
		ask(&w, i, "");
		listen_again(w.bells[i], options);
	}
	if (write(ready, "r", 1) != 1)
		load_fail("the parent is gone");
	for (;;) {
		struct epoll_event event;
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		if (event.data.u64 % 2)
			hear(&w, (long)(event.data.u64 / 2));
		else
			answer_bell(&w, (long)(event.data.u64 / 2));
	}
}

static void submit_one(redisContext *redis, const struct load_options *options, struct span *span, long index)
{
	char spec[LOAD_SPEC_MAX];
	struct load_call call;
	load_spec(spec, options, index);
	load_begin(&call, "stoker_submit", options);
	load_add(&call, spec);
	span->sent_ns = load_now_ns();
	load_send(redis, &call);
	freeReplyObject(load_answer(redis, REDIS_REPLY_STRING, "stoker_submit"));
	usleep((useconds_t)options->pause_us); /* low load: what this job left to do is done */
	for (int64_t end = load_now_ns() + WAIT_S * 1000000000LL; !span->claimed_ns; usleep(500)) {
		if (load_now_ns() > end)
			load_fail("job %ld was not claimed within %d s", index + 1, WAIT_S);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_spans(const struct span *spans, long warm, long count)
{
	double *us = calloc((size_t)count, sizeof *us);
	for (long i = 0; i < count; i++)
		us[i] = (double)(spans[warm + i].claimed_ns - spans[warm + i].sent_ns) / 1000;
	qsort(us, (size_t)count, sizeof *us, compare);
	printf("{\"median\": %.1f, \"p99\": %.1f, \"worst\": %.1f}\n", us[count / 2], us[count * 99 / 100],
	       us[count - 1]);
	free(us);
}

void load_latency(const struct load_options *options)
{
	long total = options->warm + options->jobs;
	size_t bytes = (size_t)total * sizeof(struct span);
	int ready[2];
	char byte;
	struct span *spans = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (spans == MAP_FAILED || pipe(ready) || !options->wake)
		load_fail("latency needs memory, a pipe, and wake=KEY");
	pid_t pid = fork();
	if (pid < 0)
		load_fail("fork: %s", strerror(errno));
	if (!pid)
		run_workers(options, spans, total, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		load_fail("the workers did not start");
	usleep(200000); /* their last BZPOPMIN has arrived */
	redisContext *redis = load_connect(options);
	for (long i = 0; i < total; i++)
		submit_one(redis, options, &spans[i], i);
	print_spans(spans, options->warm, options->jobs);
	redisFree(redis);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(spans, bytes);
}
