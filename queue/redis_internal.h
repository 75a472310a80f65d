/*
 * struct redis as its parts share it. Nobody else includes this.
 *
 *	redis.c         the life of a redis: states, the one timer, calls, ending them
 *	redis_link.c    the bytes of one connection: sending, parsing, matching answers
 *	redis_log_in.c  AUTH, SELECT, CLIENT SETNAME, PING, then the owner's setup
 *	redis_pubsub.c  subscriptions and their messages
 *
 * Two rules keep callbacks harmless. A user's callback runs either from the read
 * callback (answers, messages) or from the timer (everything else), never from
 * inside a function the user called, except redis_free. And an entry point from
 * libevent stands between redis_enter and redis_leave: what redis_free was called
 * for inside goes when the outermost one leaves; after each user callback the code
 * asks whether the connection it works on is still there.
 */
#ifndef STOKER_QUEUE_REDIS_INTERNAL_H
#define STOKER_QUEUE_REDIS_INTERNAL_H

#include <event2/bufferevent.h>
#include <hiredis/hiredis.h>
#include <openssl/ssl.h>
#include "queue/redis.h"
#include "queue/redis_calls.h"
#include "queue/redis_dial.h"
#include "queue/redis_url.h"

enum redis_state {
	REDIS_IDLE,    /* no connection; the next attempt at retry_ms */
	REDIS_DIALING, /* until phase_due_ms */
	REDIS_SETUP,   /* log-in, then the owner's setup; until phase_due_ms */
	REDIS_READY,
};

struct redis_link {
	struct bufferevent *bev; /* NULL: no connection */
	redisReader *reader;
	uint64_t number;  /* rises with each connection and each loss of one */
	uint64_t queued;  /* bytes ever put into the output */
	uint64_t written; /* of those, taken by the kernel (or by TLS) */
	int64_t heard_ms; /* when bytes last came */
	bool is_up;       /* the setup was done once */
};

struct redis_channels { /* sorted */
	char **names;
	size_t count, capacity;
};

struct redis {
	struct event_base *base;
	struct redis_url url;
	SSL_CTX *tls;
	char *name;
	int64_t connect_ms, deadline_ms;
	size_t max_pending, max_reply;
	bool fail_when_down;

	enum redis_state state;
	struct redis_dial *dial;
	struct redis_link link;
	struct redis_calls calls;
	struct event *timer;
	int64_t timer_due_ms; /* INT64_MAX: not armed */
	int64_t retry_ms, phase_due_ms, backoff_ms;
	unsigned log_in_left; /* answers of the log-in still to come */

	struct error why;    /* of the last loss or failed attempt; kind ERR_NONE: none yet */
	bool is_loss_untold; /* on_state is still to be told */
	bool is_up_told;
	bool is_dead;       /* redis_free was called */
	bool lacks_library; /* the last function that was called was not there */
	int depth;          /* of redis_enter */

	bool is_subscriber;
	struct redis_channels channels;
	int64_t ping_ms; /* subscriber: when it last asked whether the peer still lives */

	struct histogram *round_trips; /* NULL: nobody wants them */
	redis_state_fn *on_state;
	void *on_state_arg;
	redis_setup_fn *on_setup;
	void *on_setup_arg;
	redis_message_fn *on_message;
	void *on_message_arg;
	redis_subscribed_fn *on_subscribed;
	void *on_subscribed_arg;
};

/* redis.c */
void redis_enter(struct redis *redis);
void redis_leave(struct redis *redis); /* redis may be gone after it */
void redis_wake(struct redis *redis, int64_t due_ms);
/* Gives the connection, or the attempt at one, up. No callback is called from inside. */
void redis_lose(struct redis *redis, const struct error *why);
void redis_answer(struct redis *redis, struct redis_call *call, const struct redisReply *reply);
void redis_ready(struct redis *redis);

/* redis_link.c */
void redis_link_open(struct redis *redis, struct bufferevent *bev);
void redis_link_close(struct redis *redis);
void redis_link_send(struct redis *redis, struct redis_call *call);
void redis_link_send_raw(struct redis *redis, int argc, const char *const *argv);
bool redis_link_has_sent(const struct redis *redis, const struct redis_call *call);
void redis_link_flush(struct redis *redis); /* as much of what waits as the window allows */

/* redis_log_in.c */
void redis_log_in(struct redis *redis);
void redis_setup(struct redis *redis, bool is_missing);

/* redis_pubsub.c */
void redis_pubsub_start(struct redis *redis);
void redis_pubsub_receive(struct redis *redis, const struct redisReply *reply);
int64_t redis_pubsub_tick(struct redis *redis, int64_t now_ms); /* the next deadline */
void redis_pubsub_done(struct redis *redis);

#endif
