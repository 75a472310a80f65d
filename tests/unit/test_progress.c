/* worker/progress: the pace of a program out of its reports. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "worker/progress.h"

static void assert_near(double got, double wanted)
{
	if (!(fabs(got - wanted) <= wanted * 0.02))
		fail_msg("got %g, wanted %g", got, wanted);
}

/* count reports, ms a step, from at_ms and step on. */
static int64_t steady(struct progress *p, int64_t at_ms, int64_t step, int64_t count, int64_t ms)
{
	for (int64_t i = 0; i < count; i++, at_ms += ms)
		progress_note(p, at_ms, step + i, -1);
	return at_ms;
}

static void test_nothing_is_known_at_first(void **state)
{
	(void)state;
	struct progress p = { 0 };
	assert_true(isnan(progress_pace(&p)));
	progress_note(&p, 1000, 5, 100);
	assert_int_equal(p.total, 100);
	assert_true(isnan(progress_pace(&p)));
	progress_note(&p, 9000, 5, -1); /* the same step again is no step */
	assert_true(isnan(progress_pace(&p)));
	progress_note(&p, 3000, 7, -1);
	assert_near(progress_pace(&p), 1000);
	assert_int_equal(p.total, 100);
}

static void test_a_steady_pace(void **state)
{
	static const int64_t paces[] = { 1, 7, 100, 1000, 60000 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paces); i++) {
		struct progress p = { 0 };
		steady(&p, 500, 0, 20000, paces[i]);
		assert_near(progress_pace(&p), (double)paces[i]);
		assert_true(p.count <= PROGRESS_KEPT);
	}
}

static void test_the_start_does_not_count(void **state)
{
	(void)state;
	struct progress p = { 0 };
	progress_note(&p, 0, 1, -1);
	progress_note(&p, 120000, 2, -1); /* it compiled for two minutes */
	steady(&p, 120100, 3, 600, 100);
	assert_near(progress_pace(&p), 100);
}

static void test_a_pause_does_not_count(void **state)
{
	(void)state;
	struct progress p = { 0 };
	int64_t at = steady(&p, 0, 1, 600, 100);
	steady(&p, at + 3600000, 601, 200, 100); /* the machine slept for an hour */
	assert_near(progress_pace(&p), 100);
}

static void test_what_comes_back_regularly_counts(void **state)
{
	(void)state;
	struct progress p = { 0 };
	int64_t at = 0;
	for (int64_t step = 0; step < 2000; step += 100)
		at = steady(&p, at, step, 100, 100) + 10000; /* an evaluation after every 100 steps: 200 ms a step */
	double pace = progress_pace(&p);
	assert_true(pace > 150 && pace < 250);
}

static void test_only_the_last_quarter_of_an_hour_counts(void **state)
{
	(void)state;
	struct progress p = { 0 };
	int64_t at = steady(&p, 0, 1, 10000, 1000);
	steady(&p, at, 10001, 2000, 500); /* 1,000 s at twice the speed */
	assert_near(progress_pace(&p), 500);
}

static void test_a_step_back_begins_anew(void **state)
{
	(void)state;
	struct progress p = { 0 };
	int64_t at = steady(&p, 0, 1000, 100, 1000);
	progress_note(&p, at, 0, 50);
	assert_true(isnan(progress_pace(&p)));
	steady(&p, at + 10, 1, 100, 10);
	assert_near(progress_pace(&p), 10);
	assert_int_equal(p.total, 50);
}

static void test_jumps_and_odd_reports(void **state)
{
	(void)state;
	struct progress p = { 0 };
	progress_note(&p, 0, -1, 10);
	assert_int_equal(p.total, 10);
	progress_note(&p, 0, 0, 0);
	progress_note(&p, 10000, INT64_MAX / 2, -1);
	assert_true(progress_pace(&p) >= 0);
	progress_note(&p, 5000, INT64_MAX / 2 + 1, -1); /* the clock went back: it begins anew */
	assert_true(isnan(progress_pace(&p)));
	progress_note(&p, 5000, INT64_MAX / 2 + 2, -1); /* two reports in one millisecond */
	assert_true(progress_pace(&p) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known_at_first),
		cmocka_unit_test(test_a_steady_pace),
		cmocka_unit_test(test_the_start_does_not_count),
		cmocka_unit_test(test_a_pause_does_not_count),
		cmocka_unit_test(test_what_comes_back_regularly_counts),
		cmocka_unit_test(test_only_the_last_quarter_of_an_hour_counts),
		cmocka_unit_test(test_a_step_back_begins_anew),
		cmocka_unit_test(test_jumps_and_odd_reports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
