/* The two ways to send records of a spool: as entries of the log, as points of the metrics. */
#include <string.h>
#include "lib/clock.h"
#include "lib/utf8.h"
#include "worker/feed.h"

enum { FEED_TEXT_MAX = 1024 * 1024, FEED_POINTS_MAX = 100 }; /* what stoker_log and stoker_metric take in a call */

/* Programs print bytes; the stream holds text: what is not valid, and NUL, becomes U+FFFD. */
static void feed_add_text(struct buf *b, const char *text, size_t len)
{
	while (len) {
		size_t good = utf8_valid_prefix(text, len);
		const char *nul = memchr(text, '\0', good);
		if (nul)
			good = (size_t)(nul - text);
		buf_add(b, text, good);
		if (good == len)
			return;
		buf_str(b, "\xef\xbf\xbd");
		text += good + 1;
		len -= good + 1;
	}
}

static void feed_send_gap(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch,
			  jobs_next_fn *fn, void *arg)
{
	static const char why[] = "redis was slower than the program for too long; the spool on the worker has them";
	struct log_entry entry = { .first = batch->first,
				   .time_ms = clock_wall_ms(),
				   .stream = "gap",
				   .lines = batch->count,
				   .text = why,
				   .len = sizeof why - 1 };
	jobs_log(jobs, ref, &entry, 1, fn, arg);
}

/* Neighbours of one stream share an entry: fewer commands, and the shape that docs/protocol.md shows. */
void feed_send_log(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch, jobs_next_fn *fn,
		   void *arg)
{
	struct log_entry entries[FEED_ENTRIES_MAX];
	size_t starts[FEED_ENTRIES_MAX];
	char letters[FEED_ENTRIES_MAX];
	size_t count = 0;
	int64_t line = batch->first;
	struct spool_record record = { 0 };
	CLEANUP(buf) struct buf text;
	buf_init(&text, FEED_TEXT_MAX);
	if (batch->is_skipped) {
		feed_send_gap(jobs, ref, batch, fn, arg);
		return;
	}
	for (const char *p = batch->text, *end = p + batch->len;
	     p < end;) { /* at most FEED_ENTRIES_MAX, see feed_walk */
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		if (!spool_parse_next(p, (size_t)(newline - p), &record)) /* a stranger's hand: said as it stands */
			record = (struct spool_record){
				.stream = 's', .count = 1, .text = p, .len = (size_t)(newline - p)
			};
		bool joins = count && letters[count - 1] == record.stream && record.stream != 'g';
		if (joins) {
			buf_byte(&text, '\n');
			entries[count - 1].lines += record.count;
		} else {
			entries[count] = (struct log_entry){ .first = line,
							     .time_ms = record.time_ms,
							     .stream = spool_stream_name(record.stream),
							     .lines = record.count };
			starts[count] = text.len;
			letters[count++] = record.stream;
		}
		feed_add_text(&text, record.text, record.len);
		line += record.count;
		p = newline + 1;
	}
	for (size_t i = 0; i < count; i++) { /* only now: the buffer may have moved while it grew */
		entries[i].text = buf_text(&text) + starts[i];
		entries[i].len = (i + 1 < count ? starts[i + 1] : text.len) - starts[i];
	}
	jobs_log(jobs, ref, entries, count, fn, arg);
}

void feed_send_metrics(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch,
		       jobs_next_fn *fn, void *arg)
{
	const char *points[FEED_POINTS_MAX];
	size_t count = 0;
	CLEANUP(free_p) char *text = mem_strndup(batch->text, batch->len);
	for (char *p = text, *end = text + batch->len; p < end && count < FEED_POINTS_MAX;) {
		char *newline = memchr(p, '\n', (size_t)(end - p));
		*newline = '\0';
		points[count++] = p;
		p = newline + 1;
	}
	jobs_metric(jobs, ref, batch->first, points, count, fn, arg);
}
