#include "queue/redis_internal.h"

#include <stdarg.h>
#include <string.h>
#include <event2/util.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis_error.h"
#include "queue/redis_tls.h"

#define REDIS_CONNECT_MS     5000
#define REDIS_DEADLINE_MS    10000
#define REDIS_MAX_PENDING    100000
#define REDIS_BACKOFF_MS     50
#define REDIS_BACKOFF_MAX_MS 500
#define REDIS_DO_MAX         32

static void redis_destroy(struct redis *redis)
{
	redis_pubsub_done(redis);
	redis_calls_done(&redis->calls);
	redis_url_done(&redis->url);
	if (redis->tls)
		SSL_CTX_free(redis->tls);
	if (redis->timer)
		event_free(redis->timer);
	free(redis->name);
	free(redis);
}

void redis_enter(struct redis *redis)
{
	redis->depth++;
}

void redis_leave(struct redis *redis)
{
	if (--redis->depth == 0 && redis->is_dead)
		redis_destroy(redis);
}

void redis_wake(struct redis *redis, int64_t due_ms)
{
	if (due_ms >= redis->timer_due_ms || redis->is_dead)
		return;
	struct timeval delay = clock_timeval(due_ms - clock_boot_ms());
	redis->timer_due_ms = due_ms;
	event_add(redis->timer, &delay);
}

static void redis_wake_now(struct redis *redis)
{
	redis_wake(redis, 0);
}

/* ---- how connections and calls end ---- */

/* What was sent may have happened; what was not, and may, waits for the next connection. */
static void redis_settle_sent(struct redis *redis)
{
	struct redis_calls *calls = &redis->calls;
	struct redis_call *call;
	while ((call = TAILQ_FIRST(&calls->sent))) {
		if (redis_link_has_sent(redis, call))
			redis_calls_end(calls, call, END_LOST);
		else if (!call->fn || call->is_bound || redis->fail_when_down)
			redis_calls_end(calls, call, END_UNSENT);
		else
			redis_calls_move(call, &calls->again);
	}
}

static void redis_end_all(struct redis *redis, struct redis_call_list *list, enum redis_end end)
{
	struct redis_call *call;
	while ((call = TAILQ_FIRST(list)))
		redis_calls_end(&redis->calls, call, end);
}

/* 50 ms doubling to 0.5 s, ± 25 %: a crowd must not come back at the same moment, and a worker is to claim within 2 s
 * of Redis' return, however long it was away; before that it waits a moment (worker/claims.h). */
static int64_t redis_next_backoff(struct redis *redis)
{
	uint32_t random;
	int64_t backoff_ms = redis->backoff_ms;
	evutil_secure_rng_get_bytes(&random, sizeof random);
	redis->backoff_ms = backoff_ms * 2 < REDIS_BACKOFF_MAX_MS ? backoff_ms * 2 : REDIS_BACKOFF_MAX_MS;
	return backoff_ms * 3 / 4 + (int64_t)random % (backoff_ms / 2 + 1);
}

void redis_lose(struct redis *redis, const struct error *why)
{
	redis->why = *why;
	redis->state = REDIS_IDLE;
	redis_dial_free(STEAL(redis->dial));
	redis_link_close(redis);
	redis_settle_sent(redis);
	if (redis->fail_when_down) {
		redis_end_all(redis, &redis->calls.again, END_DOWN);
		redis_end_all(redis, &redis->calls.waiting, END_DOWN);
	}
	redis->retry_ms = clock_boot_ms() + redis_next_backoff(redis);
	redis->is_loss_untold = true;
	redis_wake_now(redis);
}

void redis_interrupt(struct redis *redis)
{
	error_set(&redis->why, ERR_UNAVAILABLE, NULL, "interrupted");
	redis->state = REDIS_IDLE;
	redis_dial_free(STEAL(redis->dial));
	redis_link_close(redis);
	redis_settle_sent(redis);
	redis_end_all(redis, &redis->calls.again, END_UNSENT);
	redis_end_all(redis, &redis->calls.waiting, END_UNSENT);
	redis->retry_ms = 0;
	redis_wake_now(redis);
}

/* While the library is missing, each connection stands until its first call: that is no reason to hurry with the next.
 */
static void redis_note_library(struct redis *redis, bool is_missing)
{
	if (redis->lacks_library && !is_missing)
		redis->backoff_ms = REDIS_BACKOFF_MS;
	redis->lacks_library = is_missing;
}

void redis_answer(struct redis *redis, struct redis_call *call, const struct redisReply *reply)
{
	struct redis_calls *calls = &redis->calls;
	struct error err;
	bool is_error = reply->type == REDIS_REPLY_ERROR;
	bool is_missing = is_error && redis_error_is_missing_function(reply->str, reply->len);
	if (!call->is_bound)
		redis_note_library(redis, is_missing);
	if (is_missing && call->fn && !call->is_bound && !call->was_repeated && redis->on_setup) {
		call->was_repeated = true;
		redis_calls_move(call, &calls->again);
		if (redis->state == REDIS_READY)
			redis_setup(redis, true);
		return;
	}
	redis_calls_remove(calls, call);
	if (is_error)
		redis_error_read(redis->url.where, reply->str, reply->len, &err);
	if (call->fn)
		call->fn(call->arg, is_error ? NULL : reply, is_error ? &err : NULL);
	redis_call_free(call);
}

/* Calls made from inside come behind: a callback that calls again at once cannot keep us here. */
static void redis_run_ended(struct redis *redis)
{
	struct redis_calls *calls = &redis->calls;
	struct redis_call *last = TAILQ_LAST(&calls->ended, redis_call_list);
	struct redis_call *call;
	bool was_last = !last;
	while (!was_last && (call = TAILQ_FIRST(&calls->ended))) {
		struct error err;
		was_last = call == last;
		redis_calls_remove(calls, call);
		redis_call_error(call, redis->url.where, &redis->why, &err);
		call->fn(call->arg, NULL, &err);
		redis_call_free(call);
		if (redis->is_dead)
			return;
	}
}

/* A sent call that is late has ended, but its answer may still come and must be matched: a
 * tombstone stays in its place. When nothing at all was heard for a whole deadline since,
 * the connection is given up: the peer is gone or hangs. */
static void redis_expire_sent(struct redis *redis, struct redis_call *call, int64_t now_ms)
{
	struct redis_calls *calls = &redis->calls;
	if (call->fn)
		call = redis_calls_bury(calls, call);
	int64_t since_ms = redis->link.heard_ms > call->sent_ms ? redis->link.heard_ms : call->sent_ms;
	if (now_ms < since_ms + redis->deadline_ms) {
		redis_calls_due(calls, call, since_ms + redis->deadline_ms);
		return;
	}
	struct error why;
	error_set(&why, ERR_UNAVAILABLE, "is Redis stopped, or the network cut?", "nothing heard for %lld ms",
		  (long long)(now_ms - since_ms));
	redis_lose(redis, &why);
}

static void redis_expire(struct redis *redis, int64_t now_ms)
{
	struct redis_calls *calls = &redis->calls;
	while (calls->heap_count && calls->heap[0]->due_ms <= now_ms) {
		struct redis_call *call = calls->heap[0];
		if (call->list == &calls->sent)
			redis_expire_sent(redis, call, now_ms);
		else
			redis_calls_end(calls, call, END_NEVER);
	}
}

/* ---- connecting ---- */

static void redis_on_dialed(void *arg, struct bufferevent *bev, const struct error *err)
{
	struct redis *redis = arg;
	redis_enter(redis);
	if (err) {
		struct error why = *err; /* it belongs to the dial that is freed now */
		redis_lose(redis, &why);
	} else {
		redis_dial_free(STEAL(redis->dial));
		redis_link_open(redis, bev);
		redis->state = REDIS_SETUP;
		redis_log_in(redis);
	}
	redis_leave(redis);
}

static void redis_connect(struct redis *redis, int64_t now_ms)
{
	redis->state = REDIS_DIALING;
	redis->phase_due_ms = now_ms + redis->connect_ms;
	redis->dial = redis_dial_new(redis->base, &redis->url, redis->tls, redis_on_dialed, redis);
}

static void redis_connect_late(struct redis *redis)
{
	struct error why;
	error_set(&why, ERR_UNAVAILABLE, redis->tls ? "does this port speak TLS?" : NULL,
		  "not connected within %lld ms (%s)", (long long)redis->connect_ms,
		  redis->dial ? redis_dial_doing(redis->dial) : "logging in");
	redis_lose(redis, &why);
}

void redis_ready(struct redis *redis)
{
	redis->state = REDIS_READY;
	redis->link.is_up = true;
	if (!redis->lacks_library)
		redis->backoff_ms = REDIS_BACKOFF_MS;
	redis_link_flush(redis);
	redis_pubsub_start(redis);
	redis_wake_now(redis); /* tells on_state, arms the subscriber's ping */
}

static void redis_tell(struct redis *redis)
{
	if (redis->is_loss_untold) {
		struct error why = redis->why;
		redis->is_loss_untold = false;
		redis->is_up_told = false;
		error_wrap(&why, "redis at %s", redis->url.where);
		if (redis->on_state)
			redis->on_state(redis->on_state_arg, false, &why);
	}
	if (redis->state == REDIS_READY && !redis->is_up_told && !redis->is_dead) {
		redis->is_up_told = true;
		if (redis->on_state)
			redis->on_state(redis->on_state_arg, true, NULL);
	}
}

static void redis_rearm(struct redis *redis, int64_t ping_due_ms)
{
	redis_wake(redis, redis_calls_next_due(&redis->calls));
	redis_wake(redis, ping_due_ms);
	if (redis->state == REDIS_IDLE)
		redis_wake(redis, redis->retry_ms);
	else if (redis->state != REDIS_READY)
		redis_wake(redis, redis->phase_due_ms);
	if (!TAILQ_EMPTY(&redis->calls.ended) || redis->is_loss_untold)
		redis_wake_now(redis);
}

static void redis_tick(evutil_socket_t fd, short what, void *arg)
{
	struct redis *redis = arg;
	int64_t now_ms = clock_boot_ms();
	(void)fd;
	(void)what;
	redis->timer_due_ms = INT64_MAX;
	redis_enter(redis);
	if (redis->state != REDIS_IDLE && redis->state != REDIS_READY && now_ms >= redis->phase_due_ms)
		redis_connect_late(redis);
	redis_expire(redis, now_ms);
	int64_t ping_due_ms = redis_pubsub_tick(redis, now_ms);
	redis_tell(redis);
	if (!redis->is_dead)
		redis_run_ended(redis);
	if (!redis->is_dead && redis->state == REDIS_IDLE && now_ms >= redis->retry_ms)
		redis_connect(redis, now_ms);
	if (!redis->is_dead)
		redis_rearm(redis, ping_due_ms);
	redis_leave(redis);
}

/* ---- for the owner ---- */

struct redis *redis_new(struct event_base *base, const struct redis_options *options, struct error *err)
{
	struct redis *redis = mem_alloc(sizeof *redis);
	redis_calls_init(&redis->calls);
	if (!redis_url_parse(options->url, &redis->url, err) ||
	    (redis->url.is_tls && !(redis->tls = redis_tls_context(options->ca_file, err)))) {
		redis_destroy(redis);
		return NULL;
	}
	redis->base = base;
	redis->name = mem_strdup(options->name);
	redis->connect_ms = options->connect_ms ? options->connect_ms : REDIS_CONNECT_MS;
	redis->deadline_ms = options->deadline_ms ? options->deadline_ms : REDIS_DEADLINE_MS;
	redis->max_pending = options->max_pending ? options->max_pending : REDIS_MAX_PENDING;
	redis->max_reply = options->max_reply;
	redis->fail_when_down = options->fail_when_down;
	redis->backoff_ms = REDIS_BACKOFF_MS;
	redis->timer_due_ms = INT64_MAX;
	redis->ping_ms = INT64_MAX;
	redis->timer = evtimer_new(base, redis_tick, redis);
	redis_wake_now(redis);
	return redis;
}

void redis_free(struct redis *redis)
{
	if (!redis || redis->is_dead)
		return;
	redis_interrupt(redis);
	redis->is_dead = true;
	event_del(redis->timer);
	error_set(&redis->why, ERR_UNAVAILABLE, NULL, "it was closed here");
	redis_enter(redis);
	struct redis_call *call;
	while ((call = TAILQ_FIRST(&redis->calls.ended))) {
		struct error err;
		redis_calls_remove(&redis->calls, call);
		redis_call_error(call, redis->url.where, &redis->why, &err);
		call->fn(call->arg, NULL, &err);
		redis_call_free(call);
	}
	redis_leave(redis);
}

void redis_measure(struct redis *redis, struct histogram *into)
{
	redis->round_trips = into;
}

void redis_on_state(struct redis *redis, redis_state_fn *fn, void *arg)
{
	redis->on_state = fn;
	redis->on_state_arg = arg;
}

bool redis_is_connected(const struct redis *redis)
{
	return redis->link.is_up;
}

const char *redis_where(const struct redis *redis)
{
	return redis->url.where;
}

/* ---- calls ---- */

static void redis_end_unmade(struct redis *redis, redis_reply_fn *fn, void *arg, enum redis_end end,
			     const struct error *err)
{
	struct redis_call *call = redis_call_new(fn, arg, NULL, 0);
	call->end = end;
	if (err) {
		call->error = mem_alloc(sizeof *call->error);
		*call->error = *err;
	}
	redis_calls_add(&redis->calls, &redis->calls.ended, call);
	redis_wake_now(redis);
}

void redis_refuse(struct redis *redis, redis_reply_fn *fn, void *arg, const struct error *err)
{
	if (!redis->is_dead)
		redis_end_unmade(redis, fn, arg, END_OUR_ERROR, err);
}

/* END_NONE: it can be made. */
static enum redis_end redis_obstacle(const struct redis *redis)
{
	if (redis->is_subscriber)
		return END_MISUSE;
	if (redis->calls.count >= redis->max_pending)
		return END_FULL;
	return redis->fail_when_down && !redis->link.is_up ? END_DOWN : END_NONE;
}

static struct redis_call *redis_make(struct redis *redis, int64_t deadline_ms, redis_reply_fn *fn, void *arg, int argc,
				     const char *const *argv, const size_t *lens)
{
	char *bytes = NULL;
	int len = redisFormatCommandArgv(&bytes, argc, (const char **)argv, lens);
	if (len < 0)
		mem_exhausted();
	struct redis_call *call = redis_call_new(fn, arg, bytes, (size_t)len);
	call->deadline_ms = deadline_ms ? deadline_ms : redis->deadline_ms;
	redis_calls_add(&redis->calls, &redis->calls.waiting, call);
	redis_calls_due(&redis->calls, call, clock_boot_ms() + call->deadline_ms);
	redis_wake(redis, call->due_ms);
	return call;
}

void redis_call(struct redis *redis, int64_t deadline_ms, redis_reply_fn *fn, void *arg, int argc,
		const char *const *argv, const size_t *lens)
{
	enum redis_end obstacle = redis_obstacle(redis);
	if (redis->is_dead)
		return;
	if (obstacle != END_NONE) {
		redis_end_unmade(redis, fn, arg, obstacle, NULL);
		return;
	}
	redis_make(redis, deadline_ms, fn, arg, argc, argv, lens);
	redis_link_flush(redis);
}

void redis_call_bound(struct redis *redis, redis_reply_fn *fn, void *arg, int argc, const char *const *argv,
		      const size_t *lens)
{
	bool is_pubsub = redis->is_subscriber && redis->state == REDIS_READY;
	if (redis->is_dead)
		return;
	if (!redis->link.bev || is_pubsub) {
		redis_end_unmade(redis, fn, arg, is_pubsub ? END_MISUSE : END_UNSENT, NULL);
		return;
	}
	struct redis_call *call = redis_make(redis, 0, fn, arg, argc, argv, lens);
	call->is_bound = true;
	redis_link_send(redis, call);
}

void redis_do(struct redis *redis, int64_t deadline_ms, redis_reply_fn *fn, void *arg, ...)
{
	const char *argv[REDIS_DO_MAX];
	int argc = 0;
	va_list words;
	va_start(words, arg);
	for (const char *word = va_arg(words, const char *); word; word = va_arg(words, const char *)) {
		if (argc == REDIS_DO_MAX)
			abort(); /* a defect of the caller: "few arguments" */
		argv[argc++] = word;
	}
	va_end(words);
	redis_call(redis, deadline_ms, fn, arg, argc, argv, NULL);
}
