/* worker/breaker: what an end says about the machine, and how many it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "worker/breaker.h"

static const struct {
	const char *cause;
	int64_t ran_ms;
	enum run_end end;
} ends[] = {
	{ "error", 0, RUN_END_DIED },         { "error", 59999, RUN_END_DIED },   { "error", 60000, RUN_END_FINE },
	{ "succeeded", 0, RUN_END_FINE },     { "succeeded", 1, RUN_END_FINE },   { "permanent", 10, RUN_END_OTHER },
	{ "permanent", 90000, RUN_END_FINE }, { "cancelled", 10, RUN_END_OTHER }, { "preempted", 10, RUN_END_OTHER },
	{ "corrupted", 10, RUN_END_OTHER },   { "timeout", 10, RUN_END_OTHER },   { "stalled", 10, RUN_END_OTHER },
	{ "lost", 10, RUN_END_OTHER },        { "timeout", 90000, RUN_END_FINE },
};

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (breaker_judge(ends[i].cause, ends[i].ran_ms, 60000) != ends[i].end)
			fail_msg("%s after %lld ms", ends[i].cause, (long long)ends[i].ran_ms);
}

static void test_so_many_jobs_in_a_row(void **state)
{
	(void)state;
	struct breaker b = { .limit = 3 };
	char why[200];
	assert_false(breaker_note(&b, "a-1", RUN_END_DIED));
	assert_false(breaker_note(&b, "a-1", RUN_END_DIED)); /* another attempt of it */
	assert_false(breaker_note(&b, "a-2", RUN_END_DIED));
	assert_false(breaker_note(&b, "a-3", RUN_END_OTHER));
	assert_false(b.is_open);
	assert_true(breaker_note(&b, "b-1", RUN_END_DIED));
	assert_true(b.is_open);
	breaker_why(&b, 60000, why, sizeof why);
	assert_string_equal(why, "3 jobs in a row died within 1m of their start: a-1, a-2, b-1");
	assert_false(breaker_note(&b, "a-9", RUN_END_DIED)); /* it opens once */
	assert_false(breaker_note(&b, "a-9", RUN_END_FINE)); /* and what still runs does not close it */
	assert_true(b.is_open && b.count == 3);
	breaker_reset(&b);
	assert_false(b.is_open);
	assert_false(breaker_note(&b, "a-1", RUN_END_DIED));
}

static void test_one_that_is_fine_breaks_the_row(void **state)
{
	(void)state;
	struct breaker b = { .limit = 2 };
	for (int i = 0; i < 5; i++) {
		assert_false(breaker_note(&b, "a-1", RUN_END_DIED));
		assert_false(breaker_note(&b, "a-2", RUN_END_FINE));
	}
	assert_false(b.is_open);
}

static void test_the_limits(void **state)
{
	(void)state;
	struct breaker off = { .limit = 0 };
	struct breaker most = { .limit = BREAKER_MAX };
	struct breaker one = { .limit = 1 };
	char id[16], why[512];
	for (int i = 0; i < 2 * BREAKER_MAX; i++) {
		snprintf(id, sizeof id, "a-%d", i);
		assert_false(breaker_note(&off, id, RUN_END_DIED));
		assert_int_equal(breaker_note(&most, id, RUN_END_DIED), i == BREAKER_MAX - 1);
	}
	breaker_why(&most, 500, why, sizeof why);
	assert_string_equal(why, "100 jobs in a row died within 500ms of their start: a-0, a-1, a-2, a-3, a-4 …");
	assert_true(breaker_note(&one, "a-1", RUN_END_DIED));
	breaker_why(&one, 60000, why, sizeof why);
	assert_string_equal(why, "1 job in a row died within 1m of its start: a-1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_so_many_jobs_in_a_row),
		cmocka_unit_test(test_one_that_is_fine_breaks_the_row),
		cmocka_unit_test(test_the_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
