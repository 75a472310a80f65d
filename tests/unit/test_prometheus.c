/* The text that Prometheus reads, and what events add up to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/prometheus.h"
#include "scheduler/tally.h"

static void test_samples(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	const struct prometheus_label none = { NULL, NULL }, a = { "a", "x\"y\\z\n" }, b = { "b", "1" };
	prometheus_family(&out, "n_total", PROMETHEUS_COUNTER, "Help.");
	prometheus_sample(&out, "n_total", none, none, 3);
	prometheus_sample(&out, "n_total", a, b, 0.5);
	prometheus_sample(&out, "n_total", none, b, 12345678901);
	assert_string_equal(buf_text(&out),
			    "# HELP n_total Help.\n# TYPE n_total counter\nn_total 3\n"
			    "n_total{a=\"x\\\"y\\\\z\\n\",b=\"1\"} 0.5\nn_total{b=\"1\"} 12345678901\n");
}

static void test_histogram(void **state)
{
	(void)state;
	CLEANUP(buf) struct buf out;
	buf_init(&out, 4096);
	struct histogram h = { .first = 1, .step = 2 };
	static const double took[] = { 0, 1, 1.5, 2048, 2049 };
	for (size_t i = 0; i < ARRAY_LEN(took); i++)
		histogram_add(&h, took[i]);
	prometheus_histogram(&out, "t", (struct prometheus_label){ NULL, NULL }, &h);
	static const char *const lines[] = { "t_bucket{le=\"1\"} 2\n",
					     "t_bucket{le=\"2\"} 3\n",
					     "t_bucket{le=\"1024\"} 3\n",
					     "t_bucket{le=\"2048\"} 4\n",
					     "t_bucket{le=\"+Inf\"} 5\n",
					     "t_sum 4099.5\n",
					     "t_count 5\n" };
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (!strstr(buf_text(&out), lines[i]))
			fail_msg("no %s in %s", lines[i], buf_text(&out));
}

static void count(struct tally_queue *q, const char *id, const char *event, const char *which, const char *jobs,
		  const char *state)
{
	json_auto_t *entry = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "event", event, which, jobs, "state", state);
	tally_count(q, entry);
}

static void test_events(void **state)
{
	(void)state;
	struct tally_queue q = { .events = json_object(),
				 .waiting_ms = json_object(),
				 .began_ms = json_object(),
				 .wait = { .first = 0.01, .step = 4 },
				 .run = { .first = 0.01, .step = 4 } };
	count(&q, "1000-0", "job.submitted", "jobs", "d-1:0 d-2:0 d-3:0", "queued");
	count(&q, "3000-0", "job.claimed", "jobs", "d-1:1 d-2:1", "running");
	count(&q, "4000-0", "job.adopted", "job", "d-1", "running"); /* goes on */
	count(&q, "7000-0", "job.retrying", "job", "d-1", "waiting");
	count(&q, "8000-0", "job.claimed", "job", "d-1", "running");
	count(&q, "9000-0", "job.succeeded", "jobs", "d-1:2 d-2:1", "succeeded");
	count(&q, "9500-0", "job.cancelled", "job", "d-3", "cancelled");
	count(&q, "9600-0", "job.claimed", "job", "d-0", "running"); /* submitted before anybody counted */
	count(&q, "9700-0", "worker.up", "worker", "w", "");
	assert_int_equal(q.wait.count, 2);
	assert_true(q.wait.sum == 4);
	assert_int_equal(q.run.count, 3);
	assert_true(q.run.sum == 4 + 1 + 6);
	assert_int_equal(json_integer_value(json_object_get(q.events, "job.submitted")), 3);
	assert_int_equal(json_integer_value(json_object_get(q.events, "job.claimed")), 4);
	assert_int_equal(json_integer_value(json_object_get(q.events, "worker.up")), 1);
	assert_int_equal(json_object_size(q.waiting_ms), 0);
	assert_int_equal(json_object_size(q.began_ms), 1);
	json_decref(q.events);
	json_decref(q.waiting_ms);
	json_decref(q.began_ms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
