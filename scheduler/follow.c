#include "scheduler/follow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/digest.h"
#include "lib/log.h"
#include "scheduler/follow_client.h"

enum {
	FOLLOW_LOOK_MS = 1000,  /* what is not published (phase, step) is looked at this often */
	FOLLOW_PING_LOOKS = 15, /* a ping each so many looks */
	FOLLOW_SLOW_LOOKS = 15, /* who has not taken what waits for it at so many in a row is cut off */
	FOLLOW_KEY_DIGITS = 8
};

struct follow_hub {
	struct event_base *base;
	struct follow_shared shared;
	struct event *timer;
	unsigned looks;
	TAILQ_HEAD(, follow_client) clients;
};

/* ---- the life of a client ---- */

/* Takes it out of the hub; its memory stays while calls are pending. Once at most. */
static struct http_reply *follow_client_leave(struct follow_client *client)
{
	TAILQ_REMOVE(&client->hub->clients, client, next);
	for (size_t i = 0; i < client->count; i++)
		follower_leave(&client->followers[i]);
	return STEAL(client->out.reply);
}

static void follow_client_release(struct follow_client *client)
{
	if (client->out.reply || client->pending > 0)
		return;
	for (size_t i = 0; i < client->count; i++)
		follower_done(&client->followers[i]);
	free(client->followers);
	free(client);
}

/* The end of a stream that was begun. */
static void follow_client_end(struct follow_client *client)
{
	http_stream_end(follow_client_leave(client));
	follow_client_release(client);
}

/* There will be no stream. */
static void follow_client_refuse(struct follow_client *client, const struct error *err)
{
	http_reply_error(follow_client_leave(client), 0, err);
	follow_client_release(client);
}

static void follow_client_closed(void *arg)
{
	follow_client_end(arg);
}

static void follow_client_drained(void *arg)
{
	struct follow_client *client = arg;
	client->full_looks = 0;
	follow_client_pump(client);
	follow_client_settle(client);
}

void follow_client_pump(struct follow_client *client)
{
	client->turn++;
	for (size_t i = 0; i < client->count; i++)
		follower_pump(&client->followers[(client->turn + i) % client->count]);
}

static bool follow_client_has_all(const struct follow_client *client, bool over)
{
	for (size_t i = 0; i < client->count; i++)
		if (over ? !client->followers[i].is_over : !client->followers[i].is_seen)
			return false;
	return true;
}

static void follow_client_begin(struct follow_client *client)
{
	const struct http_stream_events events = { .drained = follow_client_drained,
						   .closed = follow_client_closed,
						   .arg = client };
	client->is_started = true;
	follow_out_start(&client->out, &events);
	if (http_stream_is_void(client->out.reply)) { /* HEAD, or the client left while Redis was asked */
		follow_client_end(client);
		return;
	}
	for (size_t i = 0; i < client->count; i++)
		follower_begin(&client->followers[i]);
	if (follow_client_has_all(client, true))
		follow_client_end(client);
}

void follow_client_settle(struct follow_client *client)
{
	if (!client->out.reply)
		follow_client_release(client);
	else if (!client->is_started && client->failed.kind)
		follow_client_refuse(client, &client->failed);
	else if (!client->is_started && follow_client_has_all(client, false))
		follow_client_begin(client);
	else if (client->is_started && follow_client_has_all(client, true))
		follow_client_end(client);
}

/* ---- how far it is ---- */

/* "<key>.<position>;<position>" */
static void follow_client_id(void *arg, struct buf *id)
{
	const struct follow_client *client = arg;
	buf_printf(id, "%s.", client->key);
	for (size_t i = 0; i < client->count; i++) {
		if (i)
			buf_byte(id, ';');
		follower_position(&client->followers[i], id);
	}
}

static void follow_client_name(struct follow_client *client)
{
	CLEANUP(buf) struct buf asked;
	buf_init(&asked, FOLLOW_TOPICS_MAX * 128);
	for (size_t i = 0; i < client->count; i++) {
		const struct follower *f = &client->followers[i];
		buf_printf(&asked, "%s %d%d%d\n", f->id, f->sources[0].is_wanted, f->sources[1].is_wanted,
			   f->wants_history);
	}
	struct digest_hex hash = digest_of(buf_text(&asked), asked.len);
	str_format(client->key, sizeof client->key, "%.*s", FOLLOW_KEY_DIGITS, hash.text);
}

static bool follow_client_resume(struct follow_client *client, const char *last_id)
{
	CLEANUP(free_p) char *copy = mem_strdup(last_id);
	char *rest = copy;
	const char *key = strsep(&rest, ".");
	if (strcmp(key, client->key) != 0)
		return false;
	for (size_t i = 0; i < client->count; i++) {
		const char *position = strsep(&rest, ";");
		if (!position || !follower_resume(&client->followers[i], position))
			return false;
	}
	return !rest;
}

/* ---- the hub ---- */

/* May free it. */
static void follow_client_look(struct follow_client *client, bool is_touched)
{
	for (size_t i = 0; i < client->count; i++) {
		if (is_touched)
			follower_touch(&client->followers[i]);
		follower_look(&client->followers[i]);
	}
	follow_client_pump(client);
	follow_client_settle(client);
}

static void follow_on_message(void *arg, const struct follow_channel *channel, const char *text)
{
	struct follow_hub *hub = arg;
	struct follow_client *client, *after;
	for (client = TAILQ_FIRST(&hub->clients); client; client = after) {
		after = TAILQ_NEXT(client, next);
		for (size_t i = 0; i < client->count; i++)
			if (follower_hears(&client->followers[i], channel, text))
				follower_pump(&client->followers[i]);
		follow_client_settle(client);
	}
}

void follow_hub_wake(struct follow_hub *hub)
{
	struct follow_client *client, *after;
	for (client = TAILQ_FIRST(&hub->clients); client; client = after) {
		after = TAILQ_NEXT(client, next);
		follow_client_look(client, true);
	}
}

static void follow_on_missed(void *arg)
{
	follow_hub_wake(arg);
}

static void follow_hub_sleep(struct follow_hub *hub)
{
	struct timeval wait = clock_timeval(FOLLOW_LOOK_MS);
	event_add(hub->timer, &wait);
}

/* Server-sent events tell a client how to come back: whoever takes nothing for long is cut off, and loses nothing. */
static bool follow_client_is_slow(struct follow_client *client)
{
	bool is_full = client->is_started && http_stream_is_full(client->out.reply);
	client->full_looks = is_full ? client->full_looks + 1 : 0;
	return client->out.is_sse && client->full_looks >= FOLLOW_SLOW_LOOKS;
}

static void follow_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct follow_hub *hub = arg;
	struct follow_client *client, *after;
	bool is_ping = ++hub->looks % FOLLOW_PING_LOOKS == 0;
	for (client = TAILQ_FIRST(&hub->clients); client; client = after) {
		after = TAILQ_NEXT(client, next);
		if (follow_client_is_slow(client)) {
			log_info("a reader that takes nothing was cut off", "request_id=%s waited_s=%d",
				 http_reply_id(client->out.reply), FOLLOW_SLOW_LOOKS * FOLLOW_LOOK_MS / 1000);
			http_stream_cut(client->out.reply); /* ends it */
			continue;
		}
		if (is_ping && client->is_started && !client->full_looks)
			follow_out_ping(&client->out);
		follow_client_look(client, false);
	}
	if (!TAILQ_EMPTY(&hub->clients))
		follow_hub_sleep(hub);
}

struct follow_hub *follow_hub_new(struct event_base *base, struct jobs *jobs, struct redis *subscriber)
{
	struct follow_hub *hub = mem_alloc(sizeof *hub);
	hub->base = base;
	hub->shared.jobs = jobs;
	TAILQ_INIT(&hub->clients);
	hub->shared.channels = follow_channels_new(subscriber, follow_on_message, follow_on_missed, hub);
	hub->timer = event_new(base, -1, 0, follow_on_timer, hub);
	if (!hub->timer)
		abort();
	return hub;
}

void follow_hub_archive(struct follow_hub *hub, struct archive *archive)
{
	hub->shared.archive = archive;
}

void follow_hub_stop(struct follow_hub *hub)
{
	struct follow_client *client, *after;
	struct error err;
	error_set(&err, ERR_UNAVAILABLE, "try again: another one may be there", "the scheduler is stopping");
	for (client = TAILQ_FIRST(&hub->clients); client; client = after) {
		after = TAILQ_NEXT(client, next);
		if (client->is_started) {
			follow_out_bye(&client->out);
			follow_client_end(client);
		} else {
			follow_client_refuse(client, &err);
		}
	}
}

void follow_hub_free(struct follow_hub *hub)
{
	if (!hub)
		return;
	follow_hub_stop(hub);
	follow_channels_free(hub->shared.channels);
	event_free(hub->timer);
	free(hub);
}

void follow_start(struct follow_hub *hub, const struct follow_options *options, struct http_reply *reply)
{
	struct follow_client *client = mem_alloc(sizeof *client);
	struct error err;
	client->hub = hub;
	client->out =
		(struct follow_out){ .reply = reply, .is_sse = options->is_sse, .id = follow_client_id, .arg = client };
	client->followers = mem_alloc(options->count * sizeof *client->followers);
	for (; client->count < options->count; client->count++)
		follower_init(&client->followers[client->count], client, &hub->shared, &options->topics[client->count]);
	follow_client_name(client);
	if (TAILQ_EMPTY(&hub->clients))
		follow_hub_sleep(hub);
	TAILQ_INSERT_TAIL(&hub->clients, client, next);
	if (options->last_id && !follow_client_resume(client, options->last_id)) {
		error_set(&err, ERR_INPUT, "leave Last-Event-ID out to be sent everything",
			  "Last-Event-ID: this is no id of this stream");
		follow_client_refuse(client, &err);
	} else if (follow_client_has_all(client, true)) { /* a browser would come again and again */
		http_reply_empty(follow_client_leave(client));
		follow_client_release(client);
	} else {
		follow_client_look(client, false);
	}
}
