/* queue/jobs: what workers and runners call, against the real function library. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "tests/unit/jobs_fixture.h"

static void test_claim(void **state)
{
	struct fixture *f = *state;
	submit(f);
	claim(f, 1);
	assert_int_equal(f->count, 1);
	struct attempt_ref ref = f->claim.ref;
	assert_string_equal(f->claim.id, "gpu-1");
	assert_string_equal(ref.queue, "gpu");
	assert_int_equal(ref.n, 1);
	assert_int_equal(strlen(ref.uid), 16);
	assert_true(strtoll(ref.token, NULL, 10) > 1000000);
	assert_int_equal(f->claim.attempt, 1);
	assert_int_equal(f->claim.lease_ms, 10000);
	assert_int_equal(f->claim.cpus, 1);
	assert_string_equal(f->installation, INSTALLATION);
	assert_string_equal(f->spec, SPEC);
	assert_string_equal(f->class_name, "cpu1");
	assert_string_equal(f->resume, "cold");
	claim(f, 1); /* the same request again */
	assert_int_equal(f->count, 1);
	assert_string_equal(f->claim.ref.token, ref.token);
	claim(f, 2);
	assert_int_equal(f->count, 0);
}

/* What a runner reports while it runs, and at the end; with another token nothing is taken. */
static void test_reports(void **state)
{
	struct fixture *f = *state;
	submit(f);
	claim(f, 1);
	struct attempt_ref ref = f->claim.ref;
	struct renewal renewal = { .phase = "running", .step = 5, .resumed = "cold" };
	jobs_renew(f->jobs, &ref, &renewal, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_OK);
	jobs_renew(f->jobs, &ref, &(struct renewal){ .step = -1 }, on_verdict, f);
	GOOD(f);
	static const double paces[] = { 12.5, NAN, -1, 1e13 };
	for (size_t i = 0; i < ARRAY_LEN(paces); i++) { /* what is no pace is not said */
		jobs_renew(f->jobs, &ref, &(struct renewal){ .step = 6, .total = 10, .pace_ms = paces[i] }, on_verdict,
			   f);
		GOOD(f);
	}
	const struct adoption mine = {
		.worker = "w1", .attempt = 1, .installation = INSTALLATION, .resume = "1-1", .spec_json = SPEC
	};
	jobs_adopt(f->jobs, &ref, &mine, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_OK);

	struct log_entry lines[] = {
		{ .first = 1, .time_ms = 1795329305800, .stream = "stdout", .lines = 2, .text = "a\nb", .len = 3 },
		{ .first = 3,
		  .time_ms = 1795329305801,
		  .stream = "stderr",
		  .lines = 1,
		  .text = "c\0\xc3\xa9",
		  .len = 4 },
	};
	jobs_log(f->jobs, &ref, lines, 2, on_next, f);
	GOOD(f);
	assert_true(f->flag);
	assert_int_equal(f->done, 4);
	lines[0].first = 9;
	jobs_log(f->jobs, &ref, lines, 1, on_next, f);
	GOOD(f);
	assert_false(f->flag);
	assert_int_equal(f->done, 4);
	jobs_metric(f->jobs, &ref, 1, (const char *const[]){ "{\"step\":1,\"loss\":2.5}", "{\"step\":2,\"loss\":2}" },
		    2, on_next, f);
	GOOD(f);
	assert_true(f->flag);
	assert_int_equal(f->done, 3);

	jobs_finish(f->jobs, &ref, "succeeded", "{\"exit\":0}", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "succeeded");
	jobs_finish(f->jobs, &ref, "succeeded", "{\"exit\":0}", on_text, f);
	GOOD(f);
	str_copy(ref.token, sizeof ref.token, "1");
	jobs_finish(f->jobs, &ref, "error", NULL, on_text, f);
	BAD(f, ERR_STALE);
	jobs_renew(f->jobs, &ref, &renewal, on_verdict, f);
	BAD(f, ERR_STALE);
	jobs_log(f->jobs, &ref, lines, 1, on_next, f);
	BAD(f, ERR_STALE);
}

static void test_streams(void **state)
{
	struct fixture *f = *state;
	submit(f);
	claim(f, 1);
	struct attempt_ref ref = f->claim.ref;
	for (int i = 0; i < 5; i++) {
		struct log_entry entry = {
			.first = i + 1, .time_ms = 1, .stream = "stdout", .lines = 1, .text = "x", .len = 1
		};
		jobs_log(f->jobs, &ref, &entry, 1, on_next, f);
		GOOD(f);
	}
	jobs_read_stream(f->jobs, "gpu", STREAM_LOG, 1, "", 3, on_text, f);
	GOOD(f);
	json_auto_t *first = answered_json(f);
	assert_int_equal(json_array_size(first), 3);
	assert_member(json_array_get(first, 0), "id", "1-1");
	assert_member(json_array_get(first, 0), "stdout", "x");
	jobs_read_stream(f->jobs, "gpu", STREAM_LOG, 1, "1-3", 3, on_text, f);
	GOOD(f);
	json_auto_t *rest = answered_json(f);
	assert_int_equal(json_array_size(rest), 2);
	assert_member(json_array_get(rest, 1), "id", "1-5");
	jobs_read_tail(f->jobs, "gpu", STREAM_LOG, 1, 2, on_text, f);
	GOOD(f);
	json_auto_t *tail = answered_json(f);
	assert_int_equal(json_array_size(tail), 2);
	assert_member(json_array_get(tail, 0), "id", "1-4");
	jobs_read_stream(f->jobs, "gpu", STREAM_METRICS, 1, NULL, 10, on_text, f);
	GOOD(f);
	jobs_read_stream(f->jobs, "gpu", STREAM_EVENTS, 0, "", 100, on_text, f);
	GOOD(f);
	json_auto_t *events = answered_json(f);
	assert_true(json_array_size(events) >= 2);
	jobs_read_stream(f->jobs, "gpu", STREAM_LOG, 1, "1-3 + COUNT 1", 3, on_text, f);
	BAD(f, ERR_INPUT);
	/* What a foreign client wrote need not be UTF-8. */
	free(redis_server_ask(&f->server, "XADD", "test.1:{gpu}:log:77", "1-1", "stdout",
			      "\xff"
			      "a\xc3",
			      "\xfe", "x", NULL));
	jobs_read_stream(f->jobs, "gpu", STREAM_LOG, 77, "", 3, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[{\"id\":\"1-1\",\"stdout\":\"\xef\xbf\xbd"
				     "a\xef\xbf\xbd\"}]");
}

static void checkpoint(struct fixture *f, const struct attempt_ref *ref, int seq)
{
	char *id = mem_printf("%d-%d", (int)f->claim.attempt, seq);
	char *summary = mem_printf(
		"{\"step\":%d,\"attempt\":%d,\"seq\":%d,\"token\":\"%s\",\"time_ms\":1,\"size\":10,"
		"\"files\":1,\"optimizer\":true,\"sha256\":\"%064d\",\"uri\":\"file:///x\",\"verified\":\"yes\"}",
		seq * 100, (int)f->claim.attempt, seq, ref->token, 0);
	jobs_checkpoint(f->jobs, ref, id, summary, on_ids, f);
	GOOD(f);
	free(id);
	free(summary);
}

static void test_checkpoints(void **state)
{
	struct fixture *f = *state;
	submit(f);
	claim(f, 1);
	struct attempt_ref ref = f->claim.ref;
	for (int seq = 1; seq <= 3; seq++) {
		checkpoint(f, &ref, seq);
		assert_int_equal(f->count, 0);
	}
	checkpoint(f, &ref, 4); /* keep_last is 3 */
	assert_int_equal(f->count, 1);
	assert_string_equal(f->ids[0], "1-1");
	jobs_drop(f->jobs, &ref, (const char *const[]){ "1-1" }, 1, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "1");
	jobs_reject(f->jobs, &ref, "1-4", "a\xff: sha256 differs, cut in J\xc3", on_ids, f);
	GOOD(f);
	assert_int_equal(f->count, 2);
	assert_string_equal(f->ids[0], "1-3");
	assert_int_equal(f->ids[1][0], '{');
	jobs_reject(f->jobs, &ref, "1-99", "what", on_ids, f);
	BAD(f, ERR_NOT_FOUND);

	/* Preempted: the next attempt gets the last good one. */
	jobs_finish(f->jobs, &ref, "preempted", "{}", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "queued");
	claim(f, 2);
	assert_int_equal(f->count, 1);
	assert_int_equal(f->claim.attempt, 2);
	assert_string_equal(f->resume, "1-3");
	assert_non_null(strstr(f->checkpoint, "\"step\":300"));
	ref = f->claim.ref;
	jobs_reject(f->jobs, &ref, "1-3", "torn", on_ids, f);
	GOOD(f);
	jobs_reject(f->jobs, &ref, "1-2", "torn", on_ids, f);
	GOOD(f);
	assert_int_equal(f->count, 0);
}

static void test_stops(void **state)
{
	struct fixture *f = *state;
	const struct renewal renewal = { .step = -1 };
	submit(f);
	claim(f, 1);
	struct attempt_ref ref = f->claim.ref;
	const struct adoption adoption = { .worker = "node-7" };
	jobs_adopt(f->jobs, &ref, &adoption, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_OK);
	jobs_cancel(f->jobs, "gpu", 1, "cli:ada", "enough", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "running");
	jobs_renew(f->jobs, &ref, &renewal, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_CANCEL);
	assert_string_equal(f->text, "enough");
	jobs_adopt(f->jobs, &ref, &adoption, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_CANCEL);
	jobs_finish(f->jobs, &ref, "cancelled", "{\"signal\":15}", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "cancelled");

	submit(f);
	claim(f, 2);
	ref = f->claim.ref;
	const struct jobs_flag flag = {
		.n = 2, .attempt = 1, .reason = "loss is NaN", .onset = "120", .actor = "cli:ada"
	};
	jobs_corrupt(f->jobs, "gpu", &flag, on_text, f);
	GOOD(f);
	jobs_renew(f->jobs, &ref, &renewal, on_verdict, f);
	GOOD(f);
	assert_int_equal(f->verdict, VERDICT_CORRUPTED);
}

static void test_doorbell(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	struct jobs_options options = { .redis = { .url = f->server.url }, .prefix = "test.1" };
	struct jobs *bell = jobs_new(f->loop.base, &options, &err);
	const char *const classes[] = { "cpu1", "cpu4-gpu2-mem16384m-l0123abcd" };
	jobs_doorbell(bell, "gpu", classes, 2, 50, on_bell, f);
	GOOD(f);
	assert_string_equal(f->class_name, "none");
	jobs_doorbell(bell, "gpu", classes, 2, 30000, on_bell, f);
	jobs_submit(f->jobs, "gpu", SPEC, NULL, NULL, on_text, f);
	f->calls += 2;
	UNTIL(&f->loop, f->ended == f->calls);
	assert_string_equal(f->class_name, "cpu1");
	jobs_classes(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *requirements = answered_json(f);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(requirements, "cpu1"), "cpus")), 1);

	jobs_doorbell(bell, "gpu", &classes[1], 1, 30000, on_bell, f);
	char *clients = NULL;
	UNTIL(&f->loop, (free(clients), clients = redis_server_ask(&f->server, "INFO", "clients", NULL),
			 strstr(clients, "blocked_clients:1")));
	free(clients);
	jobs_interrupt(bell);
	BAD(f, ERR_UNKNOWN);
	jobs_doorbell(bell, "gpu", classes, 0, 100, on_bell, f);
	BAD(f, ERR_INTERNAL);
	jobs_doorbell(bell, "gpu", (const char *const[]){ "a}b" }, 1, 100, on_bell, f);
	BAD(f, ERR_INPUT);
	jobs_free(bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_claim),       TEST(test_reports), TEST(test_streams),
		TEST(test_checkpoints), TEST(test_stops),   TEST(test_doorbell),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
