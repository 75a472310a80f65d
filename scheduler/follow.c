#include "scheduler/follow.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "scheduler/follow_channels.h"
#include "scheduler/follow_lines.h"

enum {
	FOLLOW_PAGE = 100,              /* entries a read, at most */
	FOLLOW_PAGE_BYTES = 512 * 1024, /* … and about so much text */
	FOLLOW_LOOK_MS = 1000,          /* what is not published (phase, step) is looked at this often */
	FOLLOW_PING_LOOKS = 15,         /* a ping each so many looks */
	FOLLOW_SOURCES = 3
};

/* One stream that a follower is sent. */
struct follow_source {
	enum jobs_stream stream;
	const char *kind; /* of its lines */
	struct follow_channel *channel;
	char after[64]; /* id of the entry sent last */
	int page;       /* entries to read next */
	bool is_wanted;
	bool is_dirty; /* there may be more */
	bool is_reading;
	bool is_last_read; /* the read under way began after the job was known to be final */
	bool is_drained;   /* … and found nothing more */
};

struct follower {
	TAILQ_ENTRY(follower) next;
	struct follow_hub *hub;
	struct http_reply *reply; /* NULL: ended; the memory goes with the last pending call */
	char queue[64];
	char id[96]; /* of the job; "" for a queue */
	int64_t n;
	bool wants_history;
	bool is_started; /* the stream's header was sent */
	bool is_final;
	bool is_looking; /* jobs_show is under way */
	bool must_look;  /* … and has to be repeated */
	size_t pending;
	json_t *show;    /* of the last look */
	char *tail_seen; /* how far its streams were then */
	struct follow_lines lines;
	struct follow_source sources[FOLLOW_SOURCES];
};

struct follow_hub {
	struct event_base *base;
	struct jobs *jobs;
	struct follow_channels *channels;
	struct event *timer;
	unsigned looks;
	TAILQ_HEAD(, follower) followers;
};

static void follower_pump(struct follower *f);
static void follower_look(struct follower *f);

/* ---- the life of a follower ---- */

static void follower_release(struct follower *f)
{
	if (f->reply || f->pending > 0)
		return;
	follow_lines_done(&f->lines);
	free(f->tail_seen);
	json_decref(f->show);
	free(f);
}

/* Takes f out of the hub; its memory stays while calls are pending. Once at most. */
static struct http_reply *follower_leave(struct follower *f)
{
	TAILQ_REMOVE(&f->hub->followers, f, next);
	for (size_t i = 0; i < FOLLOW_SOURCES; i++)
		follow_channels_drop(f->hub->channels, f->sources[i].channel);
	return STEAL(f->reply);
}

/* The end of a stream that was begun. */
static void follower_end(struct follower *f)
{
	http_stream_end(follower_leave(f));
	follower_release(f);
}

/* There will be no stream. */
static void follower_refuse(struct follower *f, const struct error *err)
{
	http_reply_error(follower_leave(f), 0, err);
	follower_release(f);
}

static void follower_closed(void *arg)
{
	follower_end(arg);
}

static void follower_drained(void *arg)
{
	follower_pump(arg);
}

/* ---- reading the streams ---- */

struct follow_read {
	struct follower *follower;
	struct follow_source *source;
};

/* Small entries by the hundred, large ones one by one: a page waits here and in Redis for the reader. */
static void follow_source_turn_page(struct follow_source *source, size_t count, size_t bytes)
{
	size_t fits = FOLLOW_PAGE_BYTES * count / (bytes + 1);
	if (!count)
		return;
	source->page = fits < 1 ? 1 : fits > FOLLOW_PAGE ? FOLLOW_PAGE : (int)fits;
}

static void follower_take(struct follower *f, struct follow_source *source, const struct stream_entry *entries,
			  size_t count)
{
	size_t bytes = 0;
	bool is_all = count < (size_t)source->page;
	for (size_t i = 0; i < count; i++) {
		bytes += entries[i].len;
		if (source->stream == STREAM_LOG)
			follow_lines_log(&f->lines, &entries[i]);
		else
			follow_lines_entry(&f->lines, source->kind, &entries[i]);
	}
	if (count > 0)
		str_copy(source->after, sizeof source->after, entries[count - 1].id);
	source->is_drained = is_all && source->is_last_read;
	source->is_dirty = source->is_dirty || !is_all;
	follow_source_turn_page(source, count, bytes);
}

static void follower_on_entries(void *arg, const struct stream_entry *entries, size_t count, const struct error *err)
{
	struct follow_read read = *(struct follow_read *)arg;
	struct follower *f = read.follower;
	free(arg);
	f->pending--;
	read.source->is_reading = false;
	if (!f->reply) {
		follower_release(f);
	} else if (err) { /* Redis is away: it is asked again at the next look */
		read.source->is_dirty = true;
	} else {
		follower_take(f, read.source, entries, count);
		follower_pump(f);
	}
}

static void follower_read(struct follower *f, struct follow_source *source)
{
	struct follow_read *read = mem_alloc(sizeof *read);
	*read = (struct follow_read){ f, source };
	source->is_dirty = false;
	source->is_reading = true;
	source->is_last_read = f->is_final;
	f->pending++;
	jobs_read_entries(f->hub->jobs, f->queue, source->stream, f->n, source->after, source->page,
			  follower_on_entries, read);
}

/* Reads what may be new while the reader keeps up; ends when there is nothing more to come. */
static void follower_pump(struct follower *f)
{
	bool is_done = f->is_final;
	if (!f->reply || !f->is_started || http_stream_is_full(f->reply))
		return;
	for (size_t i = 0; i < FOLLOW_SOURCES; i++) {
		struct follow_source *source = &f->sources[i];
		if (!source->is_wanted)
			continue;
		is_done = is_done && source->is_drained;
		if (source->is_dirty && !source->is_reading)
			follower_read(f, source);
	}
	if (!is_done)
		return;
	follow_lines_end(&f->lines, f->show);
	follower_end(f);
}

static void follower_touch(struct follower *f)
{
	for (size_t i = 0; i < FOLLOW_SOURCES; i++)
		f->sources[i].is_dirty = true;
}

/* ---- looking at the job ---- */

static bool follower_is_final(const json_t *job)
{
	return fields_is(job, "state", "succeeded") || fields_is(job, "state", "failed") ||
	       fields_is(job, "state", "cancelled");
}

static void follower_begin(struct follower *f)
{
	const struct http_stream_events events = { follower_drained, follower_closed, f };
	if (f->is_started)
		return;
	f->is_started = true;
	http_stream_start(f->reply, &events);
}

/* What was learned about the job, and what it means for the streams. */
static void follower_seen(struct follower *f)
{
	static const char *const tails[] = { "attempt", "log_next", "metric_next", "state" };
	const json_t *job = json_object_get(f->show, "job");
	if (follow_lines_is_news(&f->tail_seen, job, tails, ARRAY_LEN(tails)))
		follower_touch(f);
	f->is_final = follower_is_final(job);
	follow_lines_job(&f->lines, f->show);
	if (f->wants_history)
		follow_lines_history(&f->lines, f->show);
	follower_pump(f);
}

/* No answer about the job: before the stream began that is the answer; a stream goes on, and
 * asks again at the next look, unless there is no such job any more. */
static void follower_unseen(struct follower *f, const struct error *err)
{
	struct error bad;
	if (!err)
		error_set(&bad, ERR_INTERNAL, NULL, "the function library answered no JSON");
	if (!f->is_started)
		follower_refuse(f, err ? err : &bad);
	else if (err && err->kind == ERR_NOT_FOUND)
		follower_end(f);
}

static void follower_on_show(void *arg, const char *text, size_t len, const struct error *err)
{
	struct follower *f = arg;
	json_auto_t *show = err ? NULL : fields_parse(text, len);
	f->pending--;
	f->is_looking = false;
	if (!f->reply) {
		follower_release(f);
		return;
	}
	if (!show) {
		follower_unseen(f, err);
		return;
	}
	follower_begin(f);
	if (http_stream_is_void(f->reply)) { /* HEAD, or the client left while Redis was asked */
		follower_end(f);
		return;
	}
	json_decref(f->show);
	f->show = STEAL(show);
	json_object_set(json_object_get(f->show, "job"), "id", json_object_get(f->show, "id"));
	if (f->must_look) {
		f->must_look = false;
		follower_look(f);
	}
	follower_seen(f);
}

static void follower_look(struct follower *f)
{
	if (f->n == 0 || f->is_final)
		return;
	if (f->is_looking) {
		f->must_look = true;
		return;
	}
	f->is_looking = true;
	f->pending++;
	jobs_show(f->hub->jobs, f->queue, f->n, follower_on_show, f);
}

/* ---- the hub ---- */

/* Is it about what f is sent? Then f has to look there. */
static bool follower_hears(struct follower *f, const struct follow_channel *channel, const char *text)
{
	for (size_t i = 0; i < FOLLOW_SOURCES; i++) {
		struct follow_source *source = &f->sources[i];
		if (source->channel != channel)
			continue;
		source->is_dirty = source->is_dirty || source->is_wanted;
		if (source->stream == STREAM_EVENTS && f->n && strstr(text, f->id))
			follower_look(f);
		return true;
	}
	return false;
}

static void follow_on_message(void *arg, const struct follow_channel *channel, const char *text)
{
	struct follow_hub *hub = arg;
	struct follower *f, *after;
	for (f = TAILQ_FIRST(&hub->followers); f; f = after) {
		after = TAILQ_NEXT(f, next);
		if (follower_hears(f, channel, text))
			follower_pump(f); /* may end and free it */
	}
}

void follow_hub_wake(struct follow_hub *hub)
{
	struct follower *f, *after;
	for (f = TAILQ_FIRST(&hub->followers); f; f = after) {
		after = TAILQ_NEXT(f, next);
		follower_touch(f);
		follower_look(f);
		follower_pump(f);
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

static void follow_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct follow_hub *hub = arg;
	struct follower *f, *after;
	bool is_ping = ++hub->looks % FOLLOW_PING_LOOKS == 0;
	for (f = TAILQ_FIRST(&hub->followers); f; f = after) {
		after = TAILQ_NEXT(f, next);
		if (is_ping && f->is_started && !http_stream_is_full(f->reply))
			follow_lines_ping(&f->lines);
		follower_look(f);
		follower_pump(f);
	}
	if (!TAILQ_EMPTY(&hub->followers))
		follow_hub_sleep(hub);
}

struct follow_hub *follow_hub_new(struct event_base *base, struct jobs *jobs, struct redis *subscriber)
{
	struct follow_hub *hub = mem_alloc(sizeof *hub);
	hub->base = base;
	hub->jobs = jobs;
	TAILQ_INIT(&hub->followers);
	hub->channels = follow_channels_new(subscriber, follow_on_message, follow_on_missed, hub);
	hub->timer = event_new(base, -1, 0, follow_on_timer, hub);
	if (!hub->timer)
		abort();
	return hub;
}

void follow_hub_stop(struct follow_hub *hub)
{
	struct follower *f, *after;
	struct error err;
	error_set(&err, ERR_UNAVAILABLE, "try again: another one may be there", "the scheduler is stopping");
	for (f = TAILQ_FIRST(&hub->followers); f; f = after) {
		after = TAILQ_NEXT(f, next);
		if (f->is_started)
			follower_end(f);
		else
			follower_refuse(f, &err);
	}
}

void follow_hub_free(struct follow_hub *hub)
{
	if (!hub)
		return;
	follow_hub_stop(hub);
	follow_channels_free(hub->channels);
	event_free(hub->timer);
	free(hub);
}

static void follower_add_source(struct follower *f, size_t index, enum jobs_stream stream, const char *kind,
				bool is_wanted, bool is_heard)
{
	char channel[256];
	struct follow_source *source = &f->sources[index];
	*source = (struct follow_source){
		.stream = stream, .kind = kind, .page = 2, .is_wanted = is_wanted, .is_dirty = is_wanted
	};
	jobs_channel(f->hub->jobs, f->queue, stream, f->n, channel, sizeof channel);
	if (is_heard)
		source->channel = follow_channels_take(f->hub->channels, channel);
}

void follow_start(struct follow_hub *hub, const struct follow_options *options, struct http_reply *reply)
{
	struct follower *f = mem_alloc(sizeof *f);
	bool is_job = options->n > 0;
	f->hub = hub;
	f->reply = reply;
	f->lines.reply = reply;
	f->n = options->n;
	f->wants_history = options->wants_history;
	str_copy(f->queue, sizeof f->queue, options->queue);
	if (is_job)
		str_format(f->id, sizeof f->id, "\"%s-%" PRId64 "\"", options->queue, options->n);
	if (TAILQ_EMPTY(&hub->followers))
		follow_hub_sleep(hub);
	TAILQ_INSERT_TAIL(&hub->followers, f, next);
	/* Heard before anything is read: what comes in between is hinted at. */
	follower_add_source(f, 0, STREAM_LOG, "log", options->wants_logs, options->wants_logs);
	follower_add_source(f, 1, STREAM_METRICS, "metric", options->wants_metrics, options->wants_metrics);
	follower_add_source(f, 2, STREAM_EVENTS, "event", !is_job, true);
	if (is_job) {
		follower_look(f);
		return;
	}
	str_copy(f->sources[2].after, sizeof f->sources[2].after, options->after);
	follower_begin(f);
	if (http_stream_is_void(reply))
		follower_end(f); /* HEAD */
	else
		follower_pump(f);
}
