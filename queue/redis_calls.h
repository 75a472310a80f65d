/*
 * The calls of a redis: where each one is, and which deadline comes next.
 *
 * A call lives in exactly one list:
 *   again    was not executed, goes first when sending is possible again
 *   waiting  not yet handed to a connection
 *   sent     in the output of the connection, or past it: answers come in this order
 *   ended    its outcome is known and its callback is still to be called
 * and in the heap of deadlines as long as it has one. The rule this file protects:
 * a call is in one place only, so that it can end only once.
 */
#ifndef STOKER_QUEUE_REDIS_CALLS_H
#define STOKER_QUEUE_REDIS_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include "lib/error.h"
#include "queue/redis.h"

/* How a call ends without an answer of Redis; redis_calls.c has the sentences. */
enum redis_end {
	END_NONE,      /* not yet */
	END_LOST,      /* the connection died before the answer */
	END_UNSENT,    /* the connection died before all of it was sent */
	END_LATE,      /* sent, and no answer in time */
	END_NEVER,     /* its deadline passed before it could be sent */
	END_DOWN,      /* made while not connected, and told not to wait */
	END_FULL,      /* too many calls */
	END_MISUSE,    /* on a connection that has subscribed */
	END_OUR_ERROR, /* call->error says it */
};

TAILQ_HEAD(redis_call_list, redis_call);

struct redis_call {
	TAILQ_ENTRY(redis_call) entry;
	struct redis_call_list *list; /* the one it is in */
	redis_reply_fn *fn;           /* NULL: a tombstone, ended but its answer may still come */
	void *arg;
	char *bytes; /* the formatted command; kept until the end, for sending it again */
	size_t len;
	uint64_t out_end; /* its last byte's position in the output of the connection */
	int64_t sent_ms;
	int64_t due_ms;
	int64_t deadline_ms;
	size_t heap_place;
	enum redis_end end;
	struct error *error; /* END_OUR_ERROR */
	bool is_bound;       /* to the connection it was made on */
	bool was_repeated;   /* after the function library was loaded */
};

#define HEAP_NOWHERE SIZE_MAX

struct redis_calls {
	struct redis_call_list again, waiting, sent, ended;
	struct redis_call **heap; /* earliest due first */
	size_t heap_count, heap_capacity;
	size_t count; /* in all lists, tombstones included */
};

void redis_calls_init(struct redis_calls *calls);
void redis_calls_done(struct redis_calls *calls); /* every list is empty */

/* A new call that is in no list yet. bytes may be NULL (it will never be sent). */
struct redis_call *redis_call_new(redis_reply_fn *fn, void *arg, char *bytes, size_t len);
void redis_call_free(struct redis_call *call);

void redis_calls_add(struct redis_calls *calls, struct redis_call_list *list, struct redis_call *call);
void redis_calls_move(struct redis_call *call, struct redis_call_list *to);
/* Out of its list and of the heap. */
void redis_calls_remove(struct redis_calls *calls, struct redis_call *call);
void redis_calls_due(struct redis_calls *calls, struct redis_call *call, int64_t due_ms);

/* Puts it where its callback will be called from. A tombstone is freed. */
void redis_calls_end(struct redis_calls *calls, struct redis_call *call, enum redis_end end);

/* The call was sent and is late: it ends, and a tombstone, which is returned, takes its place. */
struct redis_call *redis_calls_bury(struct redis_calls *calls, struct redis_call *call);

/* When the next deadline passes; INT64_MAX: none. */
int64_t redis_calls_next_due(const struct redis_calls *calls);

/* Says how the call ended. why: what befell the connection. */
void redis_call_error(const struct redis_call *call, const char *where, const struct error *why, struct error *err);

#endif
