#include "queue/redis_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <event2/buffer.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/prometheus.h"

/* How much is handed to the connection ahead of the kernel: enough to keep it busy,
 * little enough that nearly everything a dying connection leaves behind was either
 * really sent or is still ours to send again. */
#define REDIS_WINDOW (256 * 1024)

/* The reader searches its buffer from the start after each feed: large pieces are quadratic. */
#define REDIS_FEED    16384
#define REDIS_READ_ON 16 /* pieces a turn */

bool redis_link_has_sent(const struct redis *redis, const struct redis_call *call)
{
	return call->out_end <= redis->link.written;
}

static void redis_link_lost(struct redis *redis, enum error_kind kind, const char *why, const char *detail)
{
	struct error err;
	error_set(&err, kind, NULL, "%s%s%s", why, *detail ? ": " : "", detail);
	redis_lose(redis, &err);
}

/* The connection may be another one, or none, when this returns. */
static void redis_link_dispatch(struct redis *redis, const struct redisReply *reply)
{
	if (redis->is_subscriber && redis->state == REDIS_READY) {
		redis_pubsub_receive(redis, reply);
		return;
	}
	struct redis_call *call = TAILQ_FIRST(&redis->calls.sent);
	if (!call) {
		redis_link_lost(redis, ERR_INTERNAL, "Redis sent an answer that nobody asked for", "");
		return;
	}
	if (redis->round_trips)
		histogram_add(redis->round_trips, (double)(clock_boot_ms() - call->sent_ms) / 1000);
	redis_answer(redis, call, reply);
}

/* False: the connection that this reader belonged to is gone. */
static bool redis_link_parse(struct redis *redis)
{
	uint64_t number = redis->link.number;
	redisReader *reader = redis->link.reader;
	void *reply = NULL;
	while (redisReaderGetReply(reader, &reply) == REDIS_OK) {
		if (!reply)
			return true;
		redis_link_dispatch(redis, reply);
		freeReplyObject(reply);
		reply = NULL;
		if (redis->link.number != number)
			return false;
	}
	redis_link_lost(redis, ERR_UNAVAILABLE, "what came is not the Redis protocol", reader->errstr);
	return false;
}

/* False: it is not, and the connection is given up. */
static bool redis_link_is_bounded(struct redis *redis)
{
	if (!redis->max_reply || redis->link.reader->len <= redis->max_reply + REDIS_FEED)
		return true;
	redis_link_lost(redis, ERR_UNAVAILABLE, "an answer was larger than its bound", "");
	return false;
}

static void redis_link_consume(struct redis *redis, struct evbuffer *input)
{
	for (;;) {
		size_t len = evbuffer_get_contiguous_space(input);
		if (len > REDIS_FEED)
			len = REDIS_FEED;
		if (len == 0)
			return;
		redisReaderFeed(redis->link.reader, (const char *)evbuffer_pullup(input, (ev_ssize_t)len), len);
		evbuffer_drain(input, len);
		if (!redis_link_parse(redis))
			return;
		if (!redis_link_is_bounded(redis))
			return;
	}
}

/* The library reads 4 KiB a turn of the loop. A large answer is read straight on; an end or an error is met again
 * there. */
static void redis_link_read_on(struct redis *redis, struct bufferevent *bev, uint64_t number)
{
	char piece[REDIS_FEED];
	for (int pieces = 0; pieces < REDIS_READ_ON && !redis->tls && redis->link.number == number; pieces++) {
		ssize_t got = recv(bufferevent_getfd(bev), piece, sizeof piece, MSG_DONTWAIT);
		if (got <= 0)
			return;
		redisReaderFeed(redis->link.reader, piece, (size_t)got);
		if (!redis_link_parse(redis) || !redis_link_is_bounded(redis) || (size_t)got < sizeof piece)
			return;
	}
}

static void redis_link_on_read(struct bufferevent *bev, void *arg)
{
	struct redis *redis = arg;
	uint64_t number = redis->link.number;
	redis_enter(redis);
	redis->link.heard_ms = clock_boot_ms();
	redis_link_consume(redis, bufferevent_get_input(bev));
	redis_link_read_on(redis, bev, number);
	redis_leave(redis);
}

static void redis_link_on_write(struct bufferevent *bev, void *arg)
{
	struct redis *redis = arg;
	(void)bev;
	redis_enter(redis);
	redis_link_flush(redis);
	redis_leave(redis);
}

/* Writing can fail while answers that came earlier were not read yet: what they say is known. */
static void redis_link_drain(struct redis *redis, struct bufferevent *bev)
{
	uint64_t number = redis->link.number;
	int fd = bufferevent_getfd(bev);
	char piece[REDIS_FEED];
	ssize_t got;
	redis_link_consume(redis, bufferevent_get_input(bev));
	if (redis->tls)
		return; /* the kernel holds records that only the TLS engine, now broken, can read */
	while (redis->link.number == number && (got = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) > 0) {
		redisReaderFeed(redis->link.reader, piece, (size_t)got);
		redis_link_parse(redis);
	}
}

static void redis_link_on_event(struct bufferevent *bev, short what, void *arg)
{
	struct redis *redis = arg;
	int failed = (what & BEV_EVENT_ERROR) && !redis->tls ? errno : 0;
	uint64_t number = redis->link.number;
	redis_enter(redis);
	redis_link_drain(redis, bev);
	if (redis->link.number == number)
		redis_link_lost(redis, ERR_UNAVAILABLE, "Redis closed the connection", failed ? strerror(failed) : "");
	redis_leave(redis);
}

static void redis_link_on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	struct redis *redis = arg;
	(void)output;
	redis->link.written += info->n_deleted;
}

void redis_link_open(struct redis *redis, struct bufferevent *bev)
{
	struct redis_link *link = &redis->link;
	link->bev = bev;
	link->reader = mem_must(redisReaderCreate());
	link->number++;
	link->queued = 0;
	link->written = 0;
	link->heard_ms = clock_boot_ms();
	link->is_up = false;
	evbuffer_add_cb(bufferevent_get_output(bev), redis_link_on_output, redis);
	bufferevent_setcb(bev, redis_link_on_read, redis_link_on_write, redis_link_on_event, redis);
	bufferevent_setwatermark(bev, EV_WRITE, REDIS_WINDOW / 2, 0);
	bufferevent_set_max_single_write(bev, REDIS_WINDOW); /* not 16 KiB a turn of the loop */
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

void redis_link_close(struct redis *redis)
{
	struct redis_link *link = &redis->link;
	if (!link->bev)
		return;
	evbuffer_remove_cb(bufferevent_get_output(link->bev), redis_link_on_output, redis);
	bufferevent_free(STEAL(link->bev));
	redisReaderFree(STEAL(link->reader));
	link->is_up = false;
	link->number++;
}

void redis_link_send(struct redis *redis, struct redis_call *call)
{
	struct redis_link *link = &redis->link;
	evbuffer_add(bufferevent_get_output(link->bev), call->bytes, call->len);
	link->queued += call->len;
	call->out_end = link->queued;
	call->sent_ms = clock_boot_ms();
	redis_calls_move(call, &redis->calls.sent);
}

void redis_link_send_raw(struct redis *redis, int argc, const char *const *argv)
{
	char *bytes = NULL;
	int len = redisFormatCommandArgv(&bytes, argc, (const char **)argv, NULL);
	if (len < 0)
		mem_exhausted();
	evbuffer_add(bufferevent_get_output(redis->link.bev), bytes, (size_t)len);
	redis->link.queued += (uint64_t)len;
	redisFreeCommand(bytes);
}

void redis_link_flush(struct redis *redis)
{
	struct redis_calls *calls = &redis->calls;
	if (redis->state != REDIS_READY)
		return;
	struct evbuffer *output = bufferevent_get_output(redis->link.bev);
	while (evbuffer_get_length(output) < REDIS_WINDOW) {
		if (!TAILQ_EMPTY(&calls->again))
			redis_link_send(redis, TAILQ_FIRST(&calls->again));
		else if (!TAILQ_EMPTY(&calls->waiting))
			redis_link_send(redis, TAILQ_FIRST(&calls->waiting));
		else
			return;
	}
}
