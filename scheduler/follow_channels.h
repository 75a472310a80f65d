/*
 * The channels that followers listen to, on one subscriber connection: a channel is
 * subscribed while somebody holds it, however many do.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_CHANNELS_H
#define STOKER_SCHEDULER_FOLLOW_CHANNELS_H

#include "queue/redis.h"

struct follow_channel;
struct follow_channels;

/* A message on a channel that is held; "" when it was subscribed: others may have come before. */
typedef void follow_message_fn(void *arg, const struct follow_channel *channel, const char *text);
/* The connection was made (again): messages may have been missed. */
typedef void follow_missed_fn(void *arg);

/* Owns the subscriber. */
struct follow_channels *follow_channels_new(struct redis *subscriber, follow_message_fn *message,
					    follow_missed_fn *missed, void *arg);
void follow_channels_free(struct follow_channels *channels);

struct follow_channel *follow_channels_take(struct follow_channels *channels, const char *name);
void follow_channels_drop(struct follow_channels *channels, struct follow_channel *channel); /* NULL is fine */

#endif
