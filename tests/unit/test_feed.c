/* worker/spool and worker/feed against a Redis that is played by the test: what it holds in the end must be dense
 * and equal to the spool, however answers are lost, late or wrong. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"
#include "worker/feed.h"

enum { CALLS_MAX = 16 };

struct call {
	jobs_next_fn *fn;
	void *arg;
	bool is_lost;   /* it happens, but its answer never comes */
	bool is_unsent; /* it does not happen */
	int64_t next;   /* what Redis answered */
	bool ok;
};

/* The stream as Redis keeps it. jobs is cast from it: only our own send function sees it. */
struct played {
	struct event_base *base;
	struct spool spool;
	struct feed *feed;
	char *folder;
	int64_t next;
	struct buf stream; /* records, and "GAP <n>\n" */
	struct call calls[CALLS_MAX];
	size_t waiting;
	unsigned int seed;
	int trouble; /* in 100 calls */
	int drained;
};

static unsigned int roll(struct played *p)
{
	p->seed = p->seed * 1103515245u + 12345u;
	return (p->seed >> 16) & 0x7fff;
}

/* What stoker_log does: skips what is there, refuses jumps. */
static void play_accept(struct played *p, const struct feed_batch *batch, struct call *call)
{
	int64_t line = batch->first;
	call->ok = line <= p->next;
	if (call->ok && batch->is_skipped && line + batch->count > p->next) {
		buf_printf(&p->stream, "GAP %" PRId64 "\n", line + batch->count - p->next);
		p->next = line + batch->count;
	}
	for (const char *at = batch->text; call->ok && at < batch->text + batch->len; line++) {
		const char *newline = memchr(at, '\n', batch->len);
		if (line == p->next) {
			buf_add(&p->stream, at, (size_t)(newline + 1 - at));
			p->next++;
		}
		at = newline + 1;
	}
	call->next = p->next;
}

static void play_send(struct jobs *jobs, const struct attempt_ref *ref, const struct feed_batch *batch,
		      jobs_next_fn *fn, void *arg)
{
	struct played *p = (struct played *)jobs;
	(void)ref;
	assert_true(p->waiting < CALLS_MAX);
	struct call *call = &p->calls[p->waiting++];
	*call = (struct call){ .fn = fn, .arg = arg };
	if ((int)(roll(p) % 100) < p->trouble)
		call->is_unsent = true;
	else if ((int)(roll(p) % 100) < p->trouble)
		call->is_lost = true;
	if (!call->is_unsent)
		play_accept(p, batch, call);
}

static void play_drained(void *arg)
{
	struct played *p = arg;
	p->drained++;
}

/* Answers the oldest call. A connection that breaks takes all later calls with it. */
static void play_answer(struct played *p)
{
	struct error err;
	struct call call = p->calls[0];
	memmove(p->calls, p->calls + 1, --p->waiting * sizeof call);
	if (call.is_unsent || call.is_lost) {
		error_set(&err, call.is_lost ? ERR_UNKNOWN : ERR_UNAVAILABLE, NULL, "the connection died");
		call.fn(call.arg, false, 0, &err);
	} else {
		call.fn(call.arg, call.ok, call.next, NULL);
	}
}

static void play_open(struct played *p, int64_t max_backlog, bool stamped)
{
	struct error err;
	p->folder = folder_make();
	CLEANUP(free_p) char *path = folder_path(p->folder, "spool");
	p->base = event_base_new();
	p->next = 1;
	buf_init(&p->stream, 256 * 1024 * 1024);
	assert_true(spool_open(&p->spool, path, stamped, &err));
	struct feed_options o = { .base = p->base,
				  .spool = &p->spool,
				  .max_backlog = max_backlog,
				  .max_records = 256,
				  .jobs = (struct jobs *)p,
				  .send = play_send,
				  .on_drained = play_drained,
				  .arg = p };
	p->feed = feed_new(&o);
}

static void play_close(struct played *p)
{
	feed_free(p->feed);
	while (p->waiting)
		play_answer(p); /* after the feed is gone: ignored */
	spool_done(&p->spool);
	buf_done(&p->stream);
	event_base_free(p->base);
	folder_remove(p->folder);
}

static void play_until_drained(struct played *p)
{
	feed_drain(p->feed);
	int64_t end = clock_boot_ms() + 20000;
	while (!feed_is_drained(p->feed) && clock_boot_ms() < end) {
		if (p->waiting)
			play_answer(p);
		else
			event_base_loop(p->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		feed_retry(p->feed);
	}
	while (p->waiting)
		play_answer(p);
	assert_true(feed_is_drained(p->feed));
}

static char *spool_text(const struct played *p)
{
	char *text = mem_alloc((size_t)p->spool.size + 1);
	assert_int_equal(pread(p->spool.fd, text, (size_t)p->spool.size, 0), p->spool.size);
	return text;
}

static void add_lines(struct played *p, int from, int to)
{
	for (int i = from; i <= to; i++) {
		char text[64];
		str_format(text, sizeof text, "line %d", i);
		spool_add(&p->spool, i % 7 ? 'o' : 'e', 1000 + i, text, strlen(text));
	}
	assert_true(spool_flush(&p->spool, NULL));
	feed_added(p->feed);
}

static void test_everything_arrives_in_order(void **state)
{
	(void)state;
	struct played p = { .seed = 1 };
	play_open(&p, 0, true);
	add_lines(&p, 1, 10);
	assert_int_equal(p.waiting, 0); /* not open yet */
	feed_open(p.feed);
	add_lines(&p, 11, 2000);
	play_until_drained(&p);
	CLEANUP(free_p) char *expected = spool_text(&p);
	assert_string_equal(buf_text(&p.stream), expected);
	assert_int_equal(p.next, 2001);
	assert_true(p.drained >= 1);
	play_close(&p);
}

static void test_trouble_leaves_no_hole(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 30; seed++) {
		struct played p = { .seed = seed, .trouble = 25 };
		play_open(&p, 0, true);
		feed_open(p.feed);
		for (int i = 0; i < 40; i++) {
			add_lines(&p, i * 50 + 1, (i + 1) * 50);
			while (p.waiting && roll(&p) % 3)
				play_answer(&p);
			feed_retry(p.feed);
		}
		p.trouble = 10;
		play_until_drained(&p);
		CLEANUP(free_p) char *expected = spool_text(&p);
		assert_string_equal(buf_text(&p.stream), expected);
		play_close(&p);
	}
}

static void test_redis_forgets(void **state)
{
	(void)state;
	struct played p = { .seed = 1 };
	play_open(&p, 0, true);
	feed_open(p.feed);
	add_lines(&p, 1, 500);
	feed_retry(p.feed); /* sends at once */
	while (p.waiting)
		play_answer(&p);
	assert_int_equal(p.next, 501);
	p.next = 101; /* a failover lost the rest */
	buf_clear(&p.stream);
	add_lines(&p, 501, 600);
	play_until_drained(&p);
	assert_int_equal(p.next, 601);
	assert_memory_equal(buf_text(&p.stream), "1101 o line 101\n", 16);
	play_close(&p);
}

static void test_a_backlog_is_skipped_with_a_gap(void **state)
{
	(void)state;
	struct played p = { .seed = 1 };
	play_open(&p, 64 * 1024, true);
	add_lines(&p, 1, 20000); /* some 300 KiB before anybody listens */
	feed_open(p.feed);
	play_until_drained(&p);
	int64_t gap = 0;
	assert_int_equal(sscanf(buf_text(&p.stream), "GAP %" SCNd64, &gap), 1);
	assert_true(gap > 10000 && gap < 20000);
	assert_int_equal(p.next, 20001); /* dense: the gap stands for what is missing */
	CLEANUP(free_p) char *expected = spool_text(&p);
	const char *rest = strchr(buf_text(&p.stream), '\n') + 1;
	assert_string_equal(rest, expected + strlen(expected) - strlen(rest));
	play_close(&p);
}

static void test_points_have_no_stamps(void **state)
{
	(void)state;
	struct played p = { .seed = 5, .trouble = 20 };
	play_open(&p, 0, false);
	feed_open(p.feed);
	for (int i = 0; i < 300; i++)
		spool_add(&p.spool, 0, 0, "{\"step\":1}", 10);
	assert_true(spool_flush(&p.spool, NULL));
	play_until_drained(&p);
	assert_int_equal(p.next, 301);
	assert_int_equal(p.stream.len, 300 * 11);
	play_close(&p);
}

static void test_a_gap_record_counts_for_many(void **state)
{
	(void)state;
	struct spool_record record;
	static const char gap[] = "1000 g 25 lines are missing";
	static const char line[] = "1000 e a b";
	assert_true(spool_parse(gap, sizeof gap - 1, &record));
	assert_int_equal(record.count, 25);
	assert_true(spool_parse(line, sizeof line - 1, &record));
	assert_int_equal(record.count, 1);
	assert_int_equal(record.stream, 'e');
	assert_int_equal(record.len, 3);
	assert_false(spool_parse("x", 1, &record));
	assert_false(spool_parse("1000 o", 6, &record));
}

/* /dev/full refuses every write, as a full disk does; then there is room again. */
static void test_a_full_disk_becomes_a_gap(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct played p = { .seed = 1 };
	play_open(&p, 0, true);
	add_lines(&p, 1, 5);
	int good = p.spool.fd;
	p.spool.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	spool_add(&p.spool, 'o', 1, "lost 1", 6);
	spool_add(&p.spool, 'o', 1, "lost 2", 6);
	assert_false(spool_flush(&p.spool, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	spool_add(&p.spool, 'o', 1, "lost 3", 6);
	assert_true(spool_flush(&p.spool, &err)); /* said once */
	close(p.spool.fd);
	p.spool.fd = good;
	add_lines(&p, 9, 9);
	CLEANUP(free_p) char *text = spool_text(&p);
	assert_non_null(strstr(
		text, "1005 o line 5\n1009 g 3 lines are missing: the disk of the spool was full\n1009 o line 9\n"));
	assert_int_equal(p.spool.next, 10);
	play_close(&p);
}

/* Until it is drained, by its own timers alone. */
static void play_alone_until_drained(struct played *p)
{
	int64_t end = clock_boot_ms() + 20000;
	while (!feed_is_drained(p->feed) && clock_boot_ms() < end) {
		if (p->waiting)
			play_answer(p);
		event_base_loop(p->base, EVLOOP_NONBLOCK);
	}
	assert_true(feed_is_drained(p->feed));
	assert_true(p->drained >= 1);
}

/* A descriptor that cannot be read stands for a disk that answers with an error. */
static int play_break_spool(struct played *p)
{
	int good = p->spool.fd;
	p->spool.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	return good;
}

static void test_a_spool_that_cannot_be_read_for_a_while(void **state)
{
	(void)state;
	for (int stamped = 0; stamped < 2; stamped++) {
		struct played p = { .seed = 1 };
		play_open(&p, stamped ? 64 * 1024 : 0, stamped);
		feed_open(p.feed);
		add_lines(&p, 1, 500);
		int good = play_break_spool(&p);
		feed_drain(p.feed);
		assert_int_equal(p.waiting, 0);
		close(p.spool.fd);
		p.spool.fd = good;
		play_alone_until_drained(&p);
		CLEANUP(free_p) char *expected = spool_text(&p);
		assert_string_equal(buf_text(&p.stream), expected);
		assert_true(feed_is_complete(p.feed));
		play_close(&p);
	}
}

static void test_a_spool_that_cannot_be_read_is_given_up(void **state)
{
	(void)state;
	for (int stamped = 0; stamped < 2; stamped++) {
		struct played p = { .seed = 1 };
		play_open(&p, stamped ? 64 * 1024 : 0, stamped);
		feed_open(p.feed);
		add_lines(&p, 1, 100);
		play_until_drained(&p);
		size_t before = p.stream.len;
		add_lines(&p, 101, 150);
		int good = play_break_spool(&p);
		for (int i = 0; i < 50; i++)
			feed_retry(p.feed); /* as if time passed */
		feed_drain(p.feed);
		play_alone_until_drained(&p);
		assert_string_equal(buf_text(&p.stream) + before, stamped ? "GAP 50\n" : "");
		assert_false(feed_is_complete(p.feed));
		close(p.spool.fd);
		p.spool.fd = good;
		play_close(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_arrives_in_order),
		cmocka_unit_test(test_trouble_leaves_no_hole),
		cmocka_unit_test(test_redis_forgets),
		cmocka_unit_test(test_a_backlog_is_skipped_with_a_gap),
		cmocka_unit_test(test_points_have_no_stamps),
		cmocka_unit_test(test_a_gap_record_counts_for_many),
		cmocka_unit_test(test_a_full_disk_becomes_a_gap),
		cmocka_unit_test(test_a_spool_that_cannot_be_read_for_a_while),
		cmocka_unit_test(test_a_spool_that_cannot_be_read_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
