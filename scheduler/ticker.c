#include "scheduler/ticker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/store.h"
#include "lib/fields.h"
#include "queue/jobs_webhooks.h"
#include "scheduler/post.h"
#include "scheduler/schedules.h"

enum {
	TICKER_MAX_MS = 1000,
	TICKER_MIN_MS = 2, /* against spinning when something is due but does not move */
	TICKER_BATCH = 100 /* what one call handles at most: then there may be more */
};

struct ticker {
	struct ticker_options options;
	struct event *timer;
	size_t pending;  /* calls of the tick under way */
	int64_t next_ms; /* the earliest due time that they told of */
	bool is_first_done;
	bool has_failed;     /* something in this tick that every queue needs */
	bool has_complained; /* anything in this tick */
	json_t *newest;      /* by queue that we have seen: the number of the newest job there */
	char complaint[512]; /* the failure that was logged: said once, not every second; "" after a good tick */
	char failure[512];   /* why the last tick failed; "": it did not */
	int64_t good_at;     /* when one last did not, by CLOCK_BOOTTIME; 0: none yet */
};

/* One call of a tick, about one queue. */
struct ticker_call {
	struct ticker *ticker;
	const char *what;
	char queue[64];
};

static struct ticker_call *ticker_call_new(struct ticker *t, const char *what, const char *queue)
{
	struct ticker_call *call = mem_alloc(sizeof *call);
	call->ticker = t;
	call->what = what;
	str_copy(call->queue, sizeof call->queue, queue);
	t->pending++;
	return call;
}

static void ticker_sleep(struct ticker *t, int64_t ms)
{
	struct timeval wait = clock_timeval(ms);
	event_add(t->timer, &wait);
}

static void ticker_call_done(struct ticker_call *call)
{
	struct ticker *t = call->ticker;
	free(call);
	if (--t->pending > 0)
		return;
	if (!t->has_complained)
		t->complaint[0] = '\0';
	if (!t->has_failed) {
		t->failure[0] = '\0';
		t->good_at = clock_boot_ms();
	}
	if (!t->has_failed && !t->is_first_done) {
		t->is_first_done = true;
		t->options.on_first(t->options.arg);
	}
	ticker_sleep(t, t->next_ms < TICKER_MIN_MS ? TICKER_MIN_MS : t->next_ms);
}

/* That Redis is away is said by the connection itself. */
static void ticker_complain(struct ticker_call *call, const struct error *err)
{
	struct ticker *t = call->ticker;
	t->has_failed = true;
	t->has_complained = true;
	str_copy(t->failure, sizeof t->failure, err->message);
	if (err->kind == ERR_UNAVAILABLE || err->kind == ERR_UNKNOWN || strcmp(t->complaint, err->message) == 0)
		return;
	str_copy(t->complaint, sizeof t->complaint, err->message);
	log_error("the tick failed", "queue=%s call=%s error=\"%s\"", call->queue, call->what, err->message);
}

static void ticker_due(struct ticker *t, int64_t ms)
{
	if (ms >= 0 && ms < t->next_ms)
		t->next_ms = ms;
}

static void ticker_on_created(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	struct ticker_call *call = arg;
	if (err) {
		ticker_complain(call, err);
	} else {
		log_info("a queue was made", "queue=%s", call->queue);
		ticker_due(call->ticker, 0); /* its numbers go on behind the newest job that was seen */
	}
	ticker_call_done(call);
}

static void ticker_on_installation(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	if (err)
		ticker_complain(arg, err);
	ticker_call_done(arg);
}

/* It is missing in a new Redis, or in one that lost what it had: then the store is still this installation's. */
static void ticker_create(struct ticker *t, const char *queue)
{
	jobs_installation(t->options.jobs, t->options.installation, ticker_on_installation,
			  ticker_call_new(t, "installation", queue));
	jobs_create_queue(t->options.jobs, queue, t->options.installation, ticker_on_created,
			  ticker_call_new(t, "create", queue));
}

/* What all three have in common: failures, and that a full batch means more. */
static bool ticker_settle(struct ticker_call *call, int64_t done, const struct error *err)
{
	if (err)
		ticker_complain(call, err);
	else if (done >= TICKER_BATCH)
		ticker_due(call->ticker, 0);
	return !err;
}

static void ticker_on_promoted(void *arg, int64_t done, int64_t next_ms, const char *const *letters, size_t count,
			       const struct error *err)
{
	struct ticker_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND)
		ticker_create(call->ticker, call->queue); /* asked for by SADD */
	else if (ticker_settle(call, done, err))
		ticker_due(call->ticker, next_ms);
	const struct loan_place place = { .jobs = call->ticker->options.jobs,
					  .archive = call->ticker->options.archive };
	post_carry(&place, call->queue, letters, count);
	ticker_call_done(call);
}

static int64_t ticker_newest(const struct ticker *t, const char *queue)
{
	return json_integer_value(json_object_get(t->newest, queue));
}

/* Less than was told before: the queue was made anew in an empty Redis. It has lost what was there, and the next tick
 * tells it so. */
void ticker_saw(struct ticker *t, const char *queue, int64_t n)
{
	if (n > ticker_newest(t, queue) || !json_object_get(t->newest, queue))
		json_object_set_new(t->newest, queue, json_integer(n));
}

static void ticker_on_reaped(void *arg, int64_t done, int64_t next_ms, int64_t newest, const struct error *err)
{
	struct ticker_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND) {
		ticker_call_done(call);
		return;
	}
	/* A lease that is over and stays (the grace after a pause of Redis) is no reason to hurry. */
	if (ticker_settle(call, done, err) && next_ms > 0)
		ticker_due(call->ticker, next_ms);
	if (!err)
		ticker_saw(call->ticker, call->queue, newest);
	if (!err && done > 0)
		log_info("runs whose lease ended were taken back", "queue=%s count=%" PRId64, call->queue, done);
	ticker_call_done(call);
}

/* What one schedule was refused for (the queue is full, say) is tried again, not at once, and keeps nobody waiting
 * for this scheduler to be ready. */
static void ticker_on_scheduled(void *arg, int64_t done, int64_t next_ms, const struct error *err)
{
	(void)done;
	struct ticker_call *call = arg;
	bool has_failed = call->ticker->has_failed;
	if (!err || err->kind != ERR_NOT_FOUND) {
		ticker_settle(call, 0, err);
		ticker_due(call->ticker, next_ms);
	}
	if (err && err->kind != ERR_UNAVAILABLE && err->kind != ERR_UNKNOWN && err->kind != ERR_TIMEOUT)
		call->ticker->has_failed = has_failed;
	ticker_call_done(call);
}

static void ticker_on_inbox(void *arg, int64_t done, int64_t next_ms, const struct error *err)
{
	struct ticker_call *call = arg;
	(void)done;
	if (err && err->kind != ERR_NOT_FOUND)
		ticker_complain(call, err);
	else if (!err)
		ticker_due(call->ticker, next_ms);
	ticker_call_done(call);
}

/* What is due is the webhooks' business from then on; the tick sleeps at most until the next. */
static void ticker_on_gathered(void *arg, int64_t more, int64_t next_ms, const struct error *err)
{
	struct ticker_call *call = arg;
	if (err && err->kind != ERR_NOT_FOUND)
		ticker_complain(call, err);
	else if (!err && more)
		ticker_due(call->ticker, 0);
	else if (!err && next_ms > 0)
		ticker_due(call->ticker, next_ms);
	if (!err && next_ms == 0)
		webhooks_look(call->ticker->options.webhooks, call->queue);
	ticker_call_done(call);
}

static void ticker_on_pruned(void *arg, int64_t done, int64_t over, const struct error *err)
{
	struct ticker_call *call = arg;
	if (err && err->kind == ERR_NOT_FOUND) {
		ticker_call_done(call);
		return;
	}
	if (ticker_settle(call, done, err) && done > 0)
		log_warn("THE BOUND ON FINISHED JOBS IS REACHED: the oldest were dropped from Redis",
			 "queue=%s count=%" PRId64 " hint=\"raise max_finished in the queue's meta to keep more\"",
			 call->queue, done);
	if (!err && over > 0 && call->ticker->options.archive)
		archive_look(call->ticker->options.archive, call->queue);
	ticker_call_done(call);
}

static bool ticker_has(const json_t *queues, const char *queue)
{
	for (size_t i = 0; i < json_array_size(queues); i++) {
		const char *name = json_string_value(json_array_get(queues, i));
		if (name && strcmp(name, queue) == 0)
			return true;
	}
	return false;
}

/* No queue is ever removed: what was there and is not has been lost, and its runs can only be offered back to a queue.
 */
static void ticker_make_again(struct ticker *t, const json_t *queues)
{
	const char *queue;
	json_t *newest;
	json_object_foreach(t->newest, queue, newest)
	{
		if (!ticker_has(queues, queue))
			ticker_create(t, queue);
	}
}

static void ticker_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct ticker_call *call = arg;
	struct ticker *t = call->ticker;
	struct jobs *jobs = t->options.jobs;
	json_auto_t *queues = err ? NULL : fields_parse(text, len);
	const char *marked = t->options.store && store_is_marked(t->options.store) ? t->options.store : NULL;
	size_t i;
	json_t *value;
	json_array_foreach(queues, i, value)
	{
		const char *queue = json_string_value(value);
		if (!queue)
			continue;
		jobs_promote(jobs, queue, ticker_on_promoted, ticker_call_new(t, "promote", queue));
		jobs_reap(jobs, queue, ticker_newest(t, queue), ticker_on_reaped, ticker_call_new(t, "reap", queue));
		schedules_fire(jobs, queue, ticker_on_scheduled, ticker_call_new(t, "schedules", queue));
		jobs_prune(jobs, queue, t->options.archive != NULL, marked, ticker_on_pruned,
			   ticker_call_new(t, "prune", queue));
		jobs_inbox(jobs, queue, ticker_on_inbox, ticker_call_new(t, "inbox", queue));
		jobs_webhook_gather(jobs, queue, ticker_on_gathered, ticker_call_new(t, "gather", queue));
	}
	if (err)
		ticker_complain(call, err);
	else
		ticker_make_again(t, queues);
	ticker_call_done(call);
}

static void ticker_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct ticker *t = arg;
	if (t->pending > 0 || !*t->options.installation)
		return;
	t->next_ms = TICKER_MAX_MS;
	t->has_failed = false;
	t->has_complained = false;
	jobs_queues(t->options.jobs, ticker_on_queues, ticker_call_new(t, "queues", ""));
}

struct ticker *ticker_new(const struct ticker_options *options)
{
	struct ticker *t = mem_alloc(sizeof *t);
	t->options = *options;
	t->newest = json_object();
	ticker_saw(t, "default", 0); /* there always is one */
	t->timer = event_new(options->base, -1, 0, ticker_tick, t);
	if (!t->timer)
		abort();
	return t;
}

void ticker_look(const struct ticker *t, struct ticker_state *state)
{
	state->failure = t->failure;
	state->good_ms_ago = t->good_at ? clock_boot_ms() - t->good_at : -1;
}

void ticker_wake(struct ticker *t)
{
	t->next_ms = 0; /* of a tick under way: another follows it */
	if (t->pending == 0)
		ticker_sleep(t, 0);
}

void ticker_free(struct ticker *t)
{
	if (!t)
		return;
	event_free(t->timer);
	json_decref(t->newest);
	free(t);
}
