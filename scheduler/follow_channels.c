#include "scheduler/follow_channels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "lib/buf.h"

struct follow_channel {
	TAILQ_ENTRY(follow_channel) next;
	size_t holders;
	char *name;
};

struct follow_channels {
	struct redis *subscriber;
	TAILQ_HEAD(, follow_channel) list;
	follow_message_fn *message;
	follow_missed_fn *missed;
	void *arg;
};

static struct follow_channel *follow_channels_find(struct follow_channels *channels, const char *name)
{
	struct follow_channel *channel;
	TAILQ_FOREACH(channel, &channels->list, next)
	if (strcmp(channel->name, name) == 0)
		return channel;
	return NULL;
}

static void follow_channels_on_message(void *arg, const char *name, const char *text, size_t len)
{
	struct follow_channels *channels = arg;
	const struct follow_channel *channel = follow_channels_find(channels, name);
	if (!channel)
		return; /* dropped meanwhile */
	CLEANUP(free_p) char *message = mem_strndup(text, len);
	channels->message(channels->arg, channel, message);
}

/* From now on nothing is missed; what came since the stream was read is hinted at by a message of our own. */
static void follow_channels_on_subscribed(void *arg, const char *name)
{
	follow_channels_on_message(arg, name, "", 0);
}

static void follow_channels_on_state(void *arg, bool connected, const struct error *err)
{
	(void)err;
	struct follow_channels *channels = arg;
	if (connected)
		channels->missed(channels->arg);
}

struct follow_channels *follow_channels_new(struct redis *subscriber, follow_message_fn *message,
					    follow_missed_fn *missed, void *arg)
{
	struct follow_channels *channels = mem_alloc(sizeof *channels);
	*channels =
		(struct follow_channels){ .subscriber = subscriber, .message = message, .missed = missed, .arg = arg };
	TAILQ_INIT(&channels->list);
	redis_on_message(subscriber, follow_channels_on_message, channels);
	redis_on_subscribed(subscriber, follow_channels_on_subscribed, channels);
	redis_on_state(subscriber, follow_channels_on_state, channels);
	return channels;
}

struct follow_channel *follow_channels_take(struct follow_channels *channels, const char *name)
{
	struct follow_channel *channel = follow_channels_find(channels, name);
	if (!channel) {
		channel = mem_alloc(sizeof *channel);
		channel->name = mem_strdup(name);
		TAILQ_INSERT_TAIL(&channels->list, channel, next);
		redis_subscribe(channels->subscriber, name);
	}
	channel->holders++;
	return channel;
}

void follow_channels_drop(struct follow_channels *channels, struct follow_channel *channel)
{
	if (!channel || --channel->holders > 0)
		return;
	redis_unsubscribe(channels->subscriber, channel->name);
	TAILQ_REMOVE(&channels->list, channel, next);
	free(channel->name);
	free(channel);
}

void follow_channels_free(struct follow_channels *channels)
{
	redis_free(channels->subscriber);
	while (!TAILQ_EMPTY(&channels->list)) {
		struct follow_channel *channel = TAILQ_FIRST(&channels->list);
		TAILQ_REMOVE(&channels->list, channel, next);
		free(channel->name);
		free(channel);
	}
	free(channels);
}
