/* worker/stall: how long a program may be silent, by what it has shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "worker/stall.h"

static const struct stall_bounds bounds = { .least_ms = 90000, .most_ms = 7200000 };

/* count steps, ms each; answers when the next one would be. */
static int64_t steps(struct stall *stall, int64_t at_ms, int count, int64_t ms)
{
	for (int i = 0; i < count; i++, at_ms += ms)
		stall_step(stall, at_ms);
	return at_ms;
}

static void test_what_has_no_steps_has_the_whole_time(void **state)
{
	(void)state;
	struct stall s = { 0 };
	stall_heard(&s, 1000);
	assert_int_equal(s.heard_ms, 1000);
	assert_int_equal(stall_limit(&s, &bounds, false), 7200000);
	steps(&s, 1000, 3, 10); /* the times between the first steps say nothing yet: they compile */
	assert_int_equal(stall_slowest(&s), 0);
	assert_int_equal(stall_limit(&s, &bounds, false), 7200000);
}

static void test_six_times_the_slowest_step(void **state)
{
	static const struct {
		int64_t step_ms, least_ms, most_ms, limit_ms, loose_ms;
	} rows[] = {
		{ 10, 90000, 7200000, 90000, 900000 },         /* fast steps: the least */
		{ 20000, 90000, 7200000, 120000, 1200000 },    /* six times */
		{ 600000, 90000, 7200000, 3600000, 7200000 },  /* loose: the most */
		{ 1800000, 90000, 7200000, 7200000, 7200000 }, /* the most */
		{ 9000000, 90000, 7200000, 7200000, 7200000 }, /* steps slower than that */
		{ 10, 90000, 400, 400, 400 },                  /* a stall_timeout below the least counts */
		{ 0, 100, 7200000, 100, 1000 },                /* all steps at once */
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct stall_bounds own = { rows[i].least_ms, rows[i].most_ms };
		struct stall s = { 0 };
		steps(&s, 5000, 4, rows[i].step_ms);
		assert_int_equal(stall_limit(&s, &own, false), rows[i].limit_ms);
		assert_int_equal(stall_limit(&s, &own, true), rows[i].loose_ms);
	}
}

static void test_a_word_that_is_no_step_gives_more_time(void **state)
{
	(void)state;
	struct stall s = { 0 };
	int64_t at = steps(&s, 5000, 10, 100) - 100;
	stall_heard(&s, at + 500); /* belongs to the step */
	assert_int_equal(stall_limit(&s, &bounds, false), 90000);
	stall_heard(&s, at + 5000); /* "evaluating …" */
	assert_int_equal(s.heard_ms, at + 5000);
	assert_int_equal(stall_limit(&s, &bounds, false), 900000);
	stall_step(&s, at + 30000); /* it goes on: this took long, so that may be again */
	assert_int_equal(stall_limit(&s, &bounds, false), 180000);
}

static void test_what_was_slow_is_forgotten_in_time(void **state)
{
	(void)state;
	struct stall s = { 0 };
	int64_t at = steps(&s, 5000, 4, 60000);
	assert_int_equal(stall_limit(&s, &bounds, false), 360000);
	at = steps(&s, at, 580, 1000); /* not ten minutes yet */
	assert_int_equal(stall_slowest(&s), 60000);
	at = steps(&s, at, 1300, 1000);
	assert_int_equal(stall_slowest(&s), 1000);
	/* Steps of an hour: sixteen of them are recent. */
	steps(&s, at, 10, 3600000);
	assert_int_equal(stall_slowest(&s), 3600000);
}

static void test_a_clock_that_stands_still(void **state)
{
	(void)state;
	struct stall s = { 0 };
	steps(&s, 5000, 100, 0);
	assert_int_equal(stall_slowest(&s), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_has_no_steps_has_the_whole_time),
		cmocka_unit_test(test_six_times_the_slowest_step),
		cmocka_unit_test(test_a_word_that_is_no_step_gives_more_time),
		cmocka_unit_test(test_what_was_slow_is_forgotten_in_time),
		cmocka_unit_test(test_a_clock_that_stands_still),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
