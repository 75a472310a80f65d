/*
 * A connection to Redis on a libevent base: asynchronous, pipelined, with
 * deadlines, TLS and reconnection. hiredis is used as the protocol only
 * (redisFormatCommandArgv, redisReader): Debian's 0.14 has neither TLS nor
 * timeouts and resolves names while blocking.
 *
 * The rule this file protects: every call ends exactly once, by its callback,
 * from the event loop and never from inside redis_call itself, as
 *   an answer     err == NULL, reply is valid during the callback only;
 *   an error      reply == NULL, err says what Redis or a deadline refused, and
 *                 err->kind tells what is known:
 *     ERR_UNAVAILABLE  it was never sent: nothing happened
 *     ERR_UNKNOWN      it was sent and the connection died or the deadline
 *                      passed before the answer: it may have happened
 *     any other        Redis answered with an error (the mapping is in redis.c:
 *                      INVALID → ERR_INPUT, NOQUEUE and NOTFOUND → ERR_NOT_FOUND,
 *                      CONFLICT, STALE, FULL, NOAUTH/NOPERM/WRONGPASS → ERR_AUTH,
 *                      OOM, MISCONF, LOADING, READONLY … → ERR_UNAVAILABLE).
 *                      A text after " | " becomes err->hint.
 * A call that waits outlives reconnects until its deadline; one whose bytes had not
 * all left when the connection died waits again. A call made from inside the
 * callbacks of redis_free is not made and not ended: its owner is being torn down.
 *
 * Only queue/ sees hiredis: other layers use queue/jobs.h.
 */
#ifndef STOKER_QUEUE_REDIS_H
#define STOKER_QUEUE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include <event2/dns.h>
#include "lib/error.h"

struct redis;
struct redisReply;

struct redis_options {
	const char *url;     /* redis://[user:password@]host[:port][/db], rediss://…,
				unix:///path[?db=n] (user and password as ?user=&password=) */
	const char *ca_file; /* rediss: PEM bundle; NULL: the system's */
	const char *name;    /* CLIENT SETNAME, for redis-cli CLIENT LIST; NULL: none */
	int64_t connect_ms;  /* deadline of connect + TLS + AUTH + SELECT; 0: 5000 */
	int64_t deadline_ms; /* of a call, from redis_call to its answer; 0: 10000 */
	size_t max_pending;  /* calls not yet ended; more end as ERR_FULL; 0: 100000 */
	size_t max_reply;    /* bytes of one answer; a larger one costs the connection; 0: no bound */
	bool fail_when_down; /* true: calls made while not connected end at once as
				ERR_UNAVAILABLE; false: they wait until their deadline */
};

typedef void redis_reply_fn(void *arg, const struct redisReply *reply, const struct error *err);
/* connected, or not any more (then err says why; also for each failed attempt). */
typedef void redis_state_fn(void *arg, bool connected, const struct error *err);
typedef void redis_message_fn(void *arg, const char *channel, const char *text, size_t len);

/* Checks the options and starts to connect; it reconnects for ever, with backoff
 * 50 ms doubling to 0.5 s, ± 25 % jitter. NULL and err only for a wrong URL or CA
 * file. Passwords never appear in an error or a log line. Not freed in one of its
 * own callbacks? It may be: the memory goes after the loop's turn. */
struct redis *redis_new(struct event_base *base, const struct redis_options *options, struct error *err);
/* Ends every pending call first (ERR_UNAVAILABLE or ERR_UNKNOWN). */
void redis_free(struct redis *redis);

/* From the sending of a call to its answer, added there; NULL: nowhere. */
struct histogram;
void redis_measure(struct redis *redis, struct histogram *into);
void redis_on_state(struct redis *redis, redis_state_fn *fn, void *arg);
bool redis_is_connected(const struct redis *redis);

/* "unix:///run/redis.sock" or "redis://host:6379/0": the URL without secrets. */
const char *redis_where(const struct redis *redis);

/* Sends one command. The arguments are copied. deadline_ms 0: the default. */
void redis_call(struct redis *redis, int64_t deadline_ms, redis_reply_fn *fn, void *arg, int argc,
		const char *const *argv, const size_t *lens);

/* For few fixed text arguments: redis_do(r, 0, fn, arg, "PING", NULL). */
void redis_do(struct redis *redis, int64_t deadline_ms, redis_reply_fn *fn, void *arg, ...) __attribute__((sentinel));

/* What needs one and the same connection (WATCH … EXEC): as redis_call, but sent at
 * once, ahead of what waits, on the connection that is there now or not at all
 * (ERR_UNAVAILABLE). It is never sent again. */
void redis_call_bound(struct redis *redis, redis_reply_fn *fn, void *arg, int argc, const char *const *argv,
		      const size_t *lens);

/* Runs on each new connection after its log-in and before any other call is sent,
 * and again (missing) when a function that was called is not there: that call
 * then waits and is sent once more. It ends, from the loop or from inside, with
 * redis_setup_done; an error there gives the connection up. */
typedef void redis_setup_fn(void *arg, bool is_missing);
void redis_on_setup(struct redis *redis, redis_setup_fn *fn, void *arg);
void redis_setup_done(struct redis *redis, const struct error *err);

/* Ends a call that cannot even be made: fn is called with err, from the loop. */
void redis_refuse(struct redis *redis, redis_reply_fn *fn, void *arg, const struct error *err);

/* Pub/sub lives on a connection of its own: a redis that has subscribed refuses
 * redis_call. Subscriptions form a set: subscribing twice is the same as once. They
 * are made again after a reconnect; on_state tells the subscriber that it may have
 * missed messages, on_subscribed that from now on none is missed: whoever reads
 * the stream then has everything. */
typedef void redis_subscribed_fn(void *arg, const char *channel);
void redis_on_message(struct redis *redis, redis_message_fn *fn, void *arg);
void redis_on_subscribed(struct redis *redis, redis_subscribed_fn *fn, void *arg);
void redis_subscribe(struct redis *redis, const char *channel);
void redis_unsubscribe(struct redis *redis, const char *channel);

/* A blocking command (BZPOPMIN) wants a connection of its own, too. This drops the
 * connection with whatever it waits for and connects again at once. Every call made
 * before it ends: as ERR_UNKNOWN, or ERR_UNAVAILABLE if it had not been sent. What
 * Redis gave to a call that ends so is lost: look for work afterwards. */
void redis_interrupt(struct redis *redis);

#endif
