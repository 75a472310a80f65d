#include "worker/feed.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include "lib/clock.h"
#include "lib/log.h"

enum {
	FEED_BATCH_BYTES = 256 * 1024, /* far more than one whole record */
	FEED_IN_FLIGHT = 4,
	FEED_WAIT_MS = 20,
	FEED_RETRY_MS = 500,
	FEED_UNREAD_MAX = 20, /* tries to read the spool in a row; then what is unsent is given up */
};

/* The place before record `line`, which starts at byte `offset`. */
struct feed_place {
	int64_t line;
	int64_t offset;
};

struct feed_flight {
	struct feed_flight *next;
	struct feed *feed; /* NULL: the feed is gone */
	struct feed_place end;
	int64_t turn; /* feed->turn when it was sent: an older one says nothing about what was sent again */
};

struct feed {
	struct feed_options o;
	struct feed_place acked, sent;
	struct feed_flight *flights;
	int in_flight; /* of this turn */
	int64_t turn;
	int64_t hole; /* Redis wants this record, which is too far back to look for; 0: none */
	int64_t refusals;
	int64_t unread; /* tries to read the spool in a row that failed */
	bool is_open, is_closing, is_stale, is_armed, has_skipped;
	struct event *timer;
	char *chunk; /* FEED_BATCH_BYTES */
};

static void feed_pump(struct feed *feed);
static void feed_give_up(struct feed *feed);

static void feed_arm(struct feed *feed, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);
	feed->is_armed = true;
	event_add(feed->timer, &tv);
}

static void feed_timer(evutil_socket_t fd, short what, void *arg)
{
	struct feed *feed = arg;
	(void)fd;
	(void)what;
	feed->is_armed = false;
	feed_pump(feed);
	if (feed->unread >= FEED_UNREAD_MAX)
		feed_give_up(feed);
}

struct feed *feed_new(const struct feed_options *options)
{
	struct feed *feed = mem_alloc(sizeof *feed);
	feed->o = *options;
	feed->acked = feed->sent = (struct feed_place){ 1, 0 };
	feed->timer = evtimer_new(options->base, feed_timer, feed);
	feed->chunk = mem_alloc(FEED_BATCH_BYTES);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	for (struct feed_flight *f = feed->flights; f; f = f->next)
		f->feed = NULL;
	event_free(feed->timer);
	free(feed->chunk);
	free(feed);
}

/* How many entries a stretch makes, counted record by record: as feed_send_log joins them. */
struct feed_entries {
	int64_t count;
	char last;
};

static void feed_count_entry(struct feed_entries *entries, char stream)
{
	if (!entries->count || stream != entries->last || stream == 'g')
		entries->count++;
	entries->last = stream;
}

/* Over the records in a piece of the spool: whole ones, until limit bytes or max records. */
static struct feed_place feed_walk(const struct feed *feed, struct feed_place from, size_t len, size_t limit,
				   int64_t max)
{
	struct feed_place at = from;
	struct feed_entries entries = { 0 };
	struct spool_record record = { 0 };
	const char *text = feed->chunk;
	size_t pos = 0;
	for (int64_t taken = 0; pos < len && taken < max; taken++) {
		const char *newline = memchr(text + pos, '\n', len - pos);
		size_t line = newline ? (size_t)(newline - text) - pos : 0;
		if (!newline || (pos > 0 && pos + line > limit))
			break;
		bool is_record = feed->o.spool->stamped && spool_parse_next(text + pos, line, &record);
		if (is_record)
			feed_count_entry(&entries, record.stream);
		if (entries.count > FEED_ENTRIES_MAX && max <= feed->o.max_records)
			break;
		at.line += is_record ? record.count : 1;
		pos += line + 1;
		at.offset = from.offset + (int64_t)pos;
	}
	return at;
}

/* How much of the next piece is in the chunk now; errno says why it is not all. */
static size_t feed_read(const struct feed *feed, int64_t offset)
{
	int64_t left = feed->o.spool->size - offset;
	size_t want = left < FEED_BATCH_BYTES ? (size_t)left : FEED_BATCH_BYTES, done = 0;
	while (done < want) {
		ssize_t got = pread(feed->o.spool->fd, feed->chunk + done, want - done, offset + (int64_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = ENODATA;
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

/* Walks from a place to the first record at or after a line or an offset, whichever is given (-1: not). */
static struct feed_place feed_seek(struct feed *feed, struct feed_place from, int64_t line, int64_t offset)
{
	while ((line < 0 || from.line < line) && (offset < 0 || from.offset < offset)) {
		size_t got = feed_read(feed, from.offset);
		int64_t max = line < 0 ? INT64_MAX : line - from.line;
		size_t limit = offset < 0 || offset - from.offset > (int64_t)got ? got : (size_t)(offset - from.offset);
		struct feed_place to = feed_walk(feed, from, got, limit, max);
		if (to.offset == from.offset)
			break;
		from = to;
	}
	return from;
}

/* Goes back to send again from record `line` on. */
static void feed_rewind(struct feed *feed, int64_t line)
{
	feed->turn++;
	feed->in_flight = 0;
	struct feed_place start = { 1, 0 };
	if (line >= feed->acked.line)
		feed->acked = feed_seek(feed, feed->acked, line, -1);
	else if (!feed->o.max_backlog || feed->acked.offset <= feed->o.max_backlog)
		feed->acked = feed_seek(feed, start, line, -1); /* Redis has lost what it had acknowledged */
	else
		feed->hole = line;
	feed->sent = feed->acked;
}

static void feed_settle(struct feed *feed)
{
	if (feed->is_closing && feed_is_drained(feed) && !feed->in_flight)
		feed->o.on_drained(feed->o.arg);
}

static void feed_refused(struct feed *feed, const struct error *err)
{
	if (err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND || err->kind == ERR_INPUT) {
		if (err->kind == ERR_INPUT) /* a defect of ours; it would be refused again and again */
			log_failure(LOG_ERROR, "a batch was refused: no more is sent", err);
		feed->is_stale = true;
		feed->in_flight = 0;
		feed_settle(feed);
		return;
	}
	feed->refusals++;
	feed_rewind(feed, feed->acked.line);
	feed_arm(feed, FEED_RETRY_MS);
}

static void feed_answered(void *arg, bool ok, int64_t next, const struct error *err)
{
	struct feed_flight *flight = arg;
	struct feed *feed = flight->feed;
	(void)ok; /* next alone is the truth */
	if (feed) {
		struct feed_flight **link = &feed->flights;
		while (*link != flight)
			link = &(*link)->next;
		*link = flight->next;
	}
	if (feed && flight->turn == feed->turn && !feed->is_stale) {
		feed->in_flight--;
		if (err) {
			feed_refused(feed, err);
		} else if (next < flight->end.line) {
			feed_rewind(feed, next);
			feed_pump(feed);
		} else {
			feed->acked = flight->end;
			feed->refusals = 0;
			feed_pump(feed);
			feed_settle(feed);
		}
	}
	free(flight);
}

static void feed_send(struct feed *feed, const struct feed_batch *batch, struct feed_place end)
{
	struct feed_flight *flight = mem_alloc(sizeof *flight);
	*flight = (struct feed_flight){ .next = feed->flights, .feed = feed, .end = end, .turn = feed->turn };
	feed->flights = flight;
	feed->in_flight++;
	feed->sent = end;
	feed->o.send(feed->o.jobs, feed->o.ref, batch, feed_answered, flight);
}

static bool feed_must_skip(const struct feed *feed)
{
	int64_t backlog = feed->o.spool->size - feed->sent.offset;
	return feed->hole || (feed->o.max_backlog && backlog > feed->o.max_backlog);
}

static void feed_send_gap(struct feed *feed, int64_t first, struct feed_place to)
{
	struct feed_batch batch = { .first = first, .count = to.line - first, .text = "", .is_skipped = true };
	feed_send(feed, &batch, to);
}

/* More waits than the bound: the older half goes, and one gap says so. */
static void feed_skip(struct feed *feed)
{
	int64_t first = feed->hole ? feed->hole : feed->sent.line;
	struct feed_place to = feed->sent;
	if (!feed->hole)
		to = feed_seek(feed, feed->sent, -1, feed->o.spool->size - feed->o.max_backlog / 2);
	feed->hole = 0;
	feed->has_skipped = true;
	feed_send_gap(feed, first, to);
}

/* Nothing whole could be read where the next record is. */
static void feed_cannot_read(struct feed *feed)
{
	struct error err;
	error_errno(&err, ERR_SYSTEM, "look at the disk of the state folder",
		    "cannot read the spool from byte %" PRId64, feed->sent.offset);
	if (!feed->unread++)
		log_failure(LOG_WARN, "output cannot be sent; it is tried again", &err);
	if (!feed->is_armed)
		feed_arm(feed, FEED_RETRY_MS);
}

/* A spool that cannot be read may not keep the run from its end: a gap stands for what is unsent, where there are gaps.
 */
static void feed_give_up(struct feed *feed)
{
	const struct feed_place end = { feed->o.spool->next, feed->o.spool->size };
	log_warn("what was not sent of the output is given up", "records=%" PRId64, end.line - feed->sent.line);
	feed->unread = 0;
	feed->has_skipped = true;
	if (feed->o.max_backlog) {
		feed_send_gap(feed, feed->sent.line, end);
		return;
	}
	feed->turn++;
	feed->in_flight = 0;
	feed->acked = feed->sent = end;
	feed_settle(feed);
}

static void feed_pump(struct feed *feed)
{
	const struct spool *spool = feed->o.spool;
	while (feed->is_open && !feed->is_stale && feed->in_flight < FEED_IN_FLIGHT &&
	       (feed->hole || feed->sent.offset < spool->size)) {
		if (feed_must_skip(feed)) {
			feed_skip(feed);
			continue;
		}
		size_t got = feed_read(feed, feed->sent.offset);
		struct feed_place end = feed_walk(feed, feed->sent, got, FEED_BATCH_BYTES, feed->o.max_records);
		struct feed_batch batch = {
			.first = feed->sent.line,
			.count = end.line - feed->sent.line,
			.text = feed->chunk,
			.len = (size_t)(end.offset - feed->sent.offset),
		};
		if (!batch.len) {
			feed_cannot_read(feed);
			break;
		}
		feed->unread = 0;
		feed_send(feed, &batch, end);
	}
}

void feed_begin_at(struct feed *feed, int64_t line)
{
	feed_rewind(feed, line);
}

void feed_open(struct feed *feed)
{
	if (feed->is_open)
		return;
	feed->is_open = true;
	feed_pump(feed);
}

void feed_retry(struct feed *feed)
{
	if (feed->is_armed)
		event_del(feed->timer);
	feed->is_armed = false;
	feed->refusals = 0;
	feed_pump(feed);
}

void feed_revive(struct feed *feed)
{
	if (!feed->is_stale)
		return;
	feed->is_stale = false;
	feed_rewind(feed, feed->acked.line);
	feed_pump(feed);
}

void feed_added(struct feed *feed)
{
	if (feed->o.spool->size - feed->sent.offset >= FEED_BATCH_BYTES)
		feed_pump(feed);
	else if (!feed->is_armed)
		feed_arm(feed, FEED_WAIT_MS);
}

void feed_drain(struct feed *feed)
{
	feed->is_closing = true;
	feed_pump(feed);
}

bool feed_is_drained(const struct feed *feed)
{
	return feed->is_stale || (!feed->hole && feed->acked.offset >= feed->o.spool->size);
}

bool feed_is_complete(const struct feed *feed)
{
	return !feed->is_stale && !feed->has_skipped && feed_is_drained(feed);
}

int64_t feed_refusals(const struct feed *feed)
{
	return feed->refusals;
}
