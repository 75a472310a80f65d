/*
 * Submit to claimed at low load: one process submits a job, waits, submits the next; another is `workers` workers that
 * wait for the doorbell, each on a connection of its own, claim, and finish what they got. The span of a job ends when
 * its worker has the claim in its hands. The queue is new, so the number of a job tells when it was submitted.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scripts/bench/load.h"

/* Of one job, by CLOCK_MONOTONIC; shared by the two processes. */
struct span {
	_Atomic int64_t sent_ns, claimed_ns;
};

enum { WAIT_S = 20 };

static void listen_again(redisContext *redis, const struct load_options *options)
{
	const char *command[] = { "BZPOPMIN", options->wake, "60" };
	if (redisAppendCommandArgv(redis, 3, command, NULL) != REDIS_OK)
		load_fail("cannot send: %s", redis->errstr);
	load_flush(redis);
}

static void finish(redisContext *redis, const struct load_options *options, const redisReply *claim)
{
	struct load_call call;
	load_begin(&call, "stoker_finish", options);
	load_add(&call, load_claim_value(claim, "n")->str);
	load_add(&call, load_claim_value(claim, "uid")->str);
	load_add(&call, load_claim_value(claim, "token")->str);
	load_add(&call, "succeeded");
	load_add(&call, "{\"exit\":0}");
	load_send(redis, &call);
	redisReply *reply = load_answer(redis, REDIS_REPLY_ARRAY, "stoker_finish");
	if (reply->elements != 1 || reply->element[0]->elements != 2 ||
	    strcmp(reply->element[0]->element[0]->str, "ok"))
		load_fail("stoker_finish did not finish");
	freeReplyObject(reply);
}

/* The doorbell rang for this worker. */
static void serve(redisContext *redis, const struct load_options *options, long worker, struct span *spans, long total)
{
	static long request; /* rises over all workers, so also for each */
	char name[24], number[24];
	struct load_call call;
	snprintf(name, sizeof name, "bench-%ld", worker);
	snprintf(number, sizeof number, "%ld", ++request);
	load_begin(&call, "stoker_claim", options);
	load_add(&call, name);
	load_add(&call, "{\"cpus\":1}");
	load_add(&call, "1");
	load_add(&call, number);
	load_send(redis, &call);
	redisReply *reply = load_answer(redis, REDIS_REPLY_ARRAY, "stoker_claim");
	int64_t now = load_now_ns();
	for (size_t i = 0; i < reply->elements; i++) {
		long index = strtol(load_claim_value(reply->element[i], "n")->str, NULL, 10) - 1;
		if (index < 0 || index >= total || spans[index].claimed_ns)
			load_fail("job %ld was claimed twice, or was never submitted", index + 1);
		finish(redis, options, reply->element[i]);
		spans[index].claimed_ns = now;
	}
	freeReplyObject(reply);
}

/* Never returns: ends with its parent. */
static void run_workers(const struct load_options *options, struct span *spans, long total, int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	redisContext **redis = calloc((size_t)options->workers, sizeof(*redis));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	for (long i = 0; i < options->workers; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)i };
		redis[i] = load_connect(options);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, redis[i]->fd, &event))
			load_fail("epoll: %s", strerror(errno));
		listen_again(redis[i], options);
	}
	if (write(ready, "r", 1) != 1)
		load_fail("the parent is gone");
	for (;;) {
		struct epoll_event event;
		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		long i = (long)event.data.u64;
		redisReply *reply = load_answer(redis[i], REDIS_REPLY_ERROR, "BZPOPMIN");
		if (reply->type == REDIS_REPLY_ERROR)
			load_fail("BZPOPMIN: %s", reply->str);
		if (reply->type == REDIS_REPLY_ARRAY)
			serve(redis[i], options, i, spans, total);
		freeReplyObject(reply);
		listen_again(redis[i], options);
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
