#include "queue/redis_internal.h"

#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"

#define PUBSUB_BATCH 64 /* channels a SUBSCRIBE */

/* The place of channel in the sorted set, or where it would stand. */
static size_t redis_pubsub_find(const struct redis_channels *channels, const char *channel, bool *is_there)
{
	size_t low = 0, high = channels->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(channels->names[middle], channel) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*is_there = low < channels->count && strcmp(channels->names[low], channel) == 0;
	return low;
}

static bool redis_pubsub_is_up(const struct redis *redis)
{
	return redis->is_subscriber && redis->state == REDIS_READY;
}

void redis_pubsub_start(struct redis *redis)
{
	const struct redis_channels *channels = &redis->channels;
	const char *argv[1 + PUBSUB_BATCH] = { "SUBSCRIBE" };
	if (!redis_pubsub_is_up(redis))
		return;
	redis->ping_ms = 0;
	for (size_t i = 0; i < channels->count;) {
		int argc = 1;
		while (argc <= PUBSUB_BATCH && i < channels->count)
			argv[argc++] = channels->names[i++];
		redis_link_send_raw(redis, argc, argv);
	}
}

void redis_subscribe(struct redis *redis, const char *channel)
{
	struct redis_channels *channels = &redis->channels;
	bool is_there;
	if (!redis->is_subscriber && redis->calls.count)
		redis_interrupt(redis); /* its answers cannot be told from messages any more */
	redis->is_subscriber = true;
	size_t place = redis_pubsub_find(channels, channel, &is_there);
	if (is_there)
		return;
	if (channels->count == channels->capacity) {
		channels->capacity = channels->capacity ? channels->capacity * 2 : 8;
		channels->names = mem_realloc(channels->names, channels->capacity * sizeof *channels->names);
	}
	memmove(&channels->names[place + 1], &channels->names[place],
		(channels->count - place) * sizeof *channels->names);
	channels->names[place] = mem_strdup(channel);
	channels->count++;
	if (redis_pubsub_is_up(redis))
		redis_link_send_raw(redis, 2, (const char *const[]){ "SUBSCRIBE", channel });
	redis_wake(redis, 0); /* the ping has to be armed */
}

void redis_unsubscribe(struct redis *redis, const char *channel)
{
	struct redis_channels *channels = &redis->channels;
	bool is_there;
	size_t place = redis_pubsub_find(channels, channel, &is_there);
	if (!is_there)
		return;
	if (redis_pubsub_is_up(redis))
		redis_link_send_raw(redis, 2, (const char *const[]){ "UNSUBSCRIBE", channel });
	free(channels->names[place]);
	channels->count--;
	memmove(&channels->names[place], &channels->names[place + 1],
		(channels->count - place) * sizeof *channels->names);
}

/* Messages of a channel that was unsubscribed meanwhile are not passed on. */
void redis_pubsub_receive(struct redis *redis, const struct redisReply *reply)
{
	bool is_ours;
	if (reply->type == REDIS_REPLY_ERROR) {
		struct error why;
		error_set(&why, ERR_AUTH, "the ACL of this Redis user must allow these channels", "%.*s",
			  (int)(reply->len < 400 ? reply->len : 400), reply->str);
		redis_lose(redis, &why);
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING)
		return; /* the answer to a PING */
	const char *channel = reply->element[1]->str;
	redis_pubsub_find(&redis->channels, channel, &is_ours);
	if (!is_ours)
		return;
	if (strcmp(reply->element[0]->str, "subscribe") == 0 && redis->on_subscribed)
		redis->on_subscribed(redis->on_subscribed_arg, channel);
	else if (strcmp(reply->element[0]->str, "message") == 0 && reply->element[2]->type == REDIS_REPLY_STRING &&
		 redis->on_message)
		redis->on_message(redis->on_message_arg, channel, reply->element[2]->str, reply->element[2]->len);
}

/* A subscriber has nothing to wait for, and would never notice that its peer is gone. */
int64_t redis_pubsub_tick(struct redis *redis, int64_t now_ms)
{
	if (!redis_pubsub_is_up(redis))
		return INT64_MAX;
	int64_t ask_ms = redis->link.heard_ms + redis->deadline_ms;
	int64_t give_up_ms = ask_ms + redis->deadline_ms;
	if (now_ms >= give_up_ms && redis->ping_ms >= ask_ms) {
		struct error why;
		error_set(&why, ERR_UNAVAILABLE, "is Redis stopped, or the network cut?", "nothing heard for %lld ms",
			  (long long)(now_ms - redis->link.heard_ms));
		redis_lose(redis, &why);
		return INT64_MAX;
	}
	if (now_ms < ask_ms)
		return ask_ms;
	if (redis->ping_ms < ask_ms) {
		redis->ping_ms = now_ms;
		redis_link_send_raw(redis, 1, (const char *const[]){ "PING" });
	}
	return now_ms < give_up_ms ? give_up_ms : now_ms + redis->deadline_ms;
}

void redis_on_message(struct redis *redis, redis_message_fn *fn, void *arg)
{
	redis->on_message = fn;
	redis->on_message_arg = arg;
}

void redis_on_subscribed(struct redis *redis, redis_subscribed_fn *fn, void *arg)
{
	redis->on_subscribed = fn;
	redis->on_subscribed_arg = arg;
}

void redis_pubsub_done(struct redis *redis)
{
	for (size_t i = 0; i < redis->channels.count; i++)
		free(redis->channels.names[i]);
	free(redis->channels.names);
}
