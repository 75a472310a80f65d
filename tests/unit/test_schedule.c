/* Which due time a schedule fires for, and which is next: rows of a rule, a time and what has passed since. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "queue/schedule.h"

/* "2026-03-29 01:00:00" in UTC */
static int64_t at(const char *text)
{
	struct tm parts = { 0 };
	if (!text)
		return 0;
	assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &parts));
	return (int64_t)timegm(&parts) * 1000;
}

static const struct {
	const char *cron; /* NULL: every hour, from 2026-01-01 00:10 on */
	const char *zone;
	const char *missed;
	const char *next, *from, *now;
	const char *due, *then;
} rows[] = {
	/* to be planned: nothing fires yet */
	{ "0 3 * * *", "UTC", "once", NULL, "2026-01-01 05:00:00", "2026-01-09 00:00:00", NULL, "2026-01-02 03:00:00" },
	{ NULL, "", "all", NULL, "2026-01-01 00:10:00", "2026-01-09 00:00:00", NULL, "2026-01-01 01:10:00" },
	{ "30 2 * * *", "Europe/Berlin", "once", NULL, "2026-07-01 12:00:00", "2026-07-01 12:00:00", NULL,
	  "2026-07-02 00:30:00" },
	/* in time */
	{ "0 3 * * *", "UTC", "once", "2026-01-02 03:00:00", NULL, "2026-01-02 03:00:00", "2026-01-02 03:00:00",
	  "2026-01-03 03:00:00" },
	{ "0 3 * * *", "UTC", "skip", "2026-01-02 03:00:00", NULL, "2026-01-02 03:01:00", "2026-01-02 03:00:00",
	  "2026-01-03 03:00:00" },
	{ NULL, "", "skip", "2026-01-02 03:10:00", NULL, "2026-01-02 03:10:59", "2026-01-02 03:10:00",
	  "2026-01-02 04:10:00" },
	/* late, but the next one has not come */
	{ "0 3 * * *", "UTC", "once", "2026-01-02 03:00:00", NULL, "2026-01-03 02:59:59", "2026-01-02 03:00:00",
	  "2026-01-03 03:00:00" },
	{ "0 3 * * *", "UTC", "skip", "2026-01-02 03:00:00", NULL, "2026-01-02 03:01:01", NULL, "2026-01-03 03:00:00" },
	{ NULL, "", "skip", "2026-01-02 03:10:00", NULL, "2026-01-02 03:12:00", NULL, "2026-01-02 04:10:00" },
	/* several have passed */
	{ "0 3 * * *", "UTC", "once", "2026-01-02 03:00:00", NULL, "2026-01-05 12:00:00", "2026-01-05 03:00:00",
	  "2026-01-06 03:00:00" },
	{ "0 3 * * *", "UTC", "skip", "2026-01-02 03:00:00", NULL, "2026-01-05 12:00:00", NULL, "2026-01-06 03:00:00" },
	{ "0 3 * * *", "UTC", "skip", "2026-01-02 03:00:00", NULL, "2026-01-05 03:00:30", "2026-01-05 03:00:00",
	  "2026-01-06 03:00:00" },
	{ "0 3 * * *", "UTC", "all", "2026-01-02 03:00:00", NULL, "2026-01-05 12:00:00", "2026-01-02 03:00:00",
	  "2026-01-03 03:00:00" },
	{ NULL, "", "once", "2026-01-02 03:10:00", NULL, "2026-01-05 12:00:00", "2026-01-05 11:10:00",
	  "2026-01-05 12:10:00" },
	{ NULL, "", "all", "2026-01-02 03:10:00", NULL, "2026-01-05 12:00:00", "2026-01-02 03:10:00",
	  "2026-01-02 04:10:00" },
	/* over a hundred: the newest hundred of them */
	{ "* * * * *", "UTC", "all", "2026-01-02 03:00:00", NULL, "2026-01-02 04:39:00", "2026-01-02 03:00:00",
	  "2026-01-02 03:01:00" },
	{ "* * * * *", "UTC", "all", "2026-01-02 03:00:00", NULL, "2026-01-02 04:40:00", "2026-01-02 03:01:00",
	  "2026-01-02 03:02:00" },
	{ "* * * * *", "UTC", "all", "2020-01-02 03:00:00", NULL, "2026-01-02 04:40:59", "2026-01-02 03:01:00",
	  "2026-01-02 03:02:00" },
	{ "* * * 1 *", "UTC", "all", "2020-01-02 03:00:00", NULL, "2026-07-02 04:40:00", "2026-01-31 22:20:00",
	  "2026-01-31 22:21:00" },
	{ "* * * 1 *", "UTC", "once", "2020-01-02 03:00:00", NULL, "2026-07-02 04:40:00", "2026-01-31 23:59:00",
	  "2027-01-01 00:00:00" },
	{ NULL, "", "all", "2026-01-02 03:10:00", NULL, "2026-07-02 00:00:00", "2026-06-27 20:10:00",
	  "2026-06-27 21:10:00" },
	/* over the change of the clock: 2:30 does not exist on that day, and is due at 3:00 summer time */
	{ "30 2 * * *", "Europe/Berlin", "once", "2026-03-28 01:30:00", NULL, "2026-03-29 12:00:00",
	  "2026-03-29 01:00:00", "2026-03-30 00:30:00" },
};

static void test_plan(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct schedule_text text = { .cron = rows[i].cron,
						    .zone = rows[i].zone,
						    .every_ms = 3600000,
						    .anchor_ms = at("2026-01-01 00:10:00") };
		const struct schedule_state now = { .missed = rows[i].missed,
						    .next_ms = at(rows[i].next),
						    .from_ms = at(rows[i].from),
						    .now_ms = at(rows[i].now) };
		struct schedule_rule rule;
		struct schedule_step step;
		struct error err = { 0 };
		if (!schedule_rule_read(&text, &rule, &err) || !schedule_plan(&rule, &now, &step, &err))
			fail_msg("row %zu: %s", i, err.message);
		if (step.due_ms != at(rows[i].due) || step.next_ms != at(rows[i].then))
			fail_msg("row %zu: due %lld, then %lld", i, (long long)step.due_ms, (long long)step.next_ms);
	}
}

/* However it is called: each due time is fired for once, none twice, until the time is caught up with. */
static void test_catching_up(void **state)
{
	(void)state;
	const struct schedule_text text = { .cron = "*/7 * * * *", .zone = "America/New_York" };
	struct schedule_state now = { .missed = "all",
				      .next_ms = at("2026-03-08 05:07:00"),
				      .now_ms = at("2026-03-08 09:00:00") };
	struct schedule_rule rule;
	struct schedule_step step;
	struct error err;
	int64_t last_ms = 0;
	int fired = 0;
	assert_true(schedule_rule_read(&text, &rule, &err));
	while (now.next_ms <= now.now_ms) {
		assert_true(schedule_plan(&rule, &now, &step, &err));
		assert_int_equal(step.due_ms, now.next_ms);
		assert_true(step.due_ms > last_ms && step.next_ms > step.due_ms);
		last_ms = step.due_ms;
		now.next_ms = step.next_ms;
		fired++;
	}
	assert_int_equal(fired, 3 * 9 + 8 + 1); /* 5:07 to 8:56, then 9:00 */
}

static void test_rules_that_are_none(void **state)
{
	(void)state;
	static const struct {
		struct schedule_text text;
		const char *sentence;
	} bad[] = {
		{ { .cron = "", .every_ms = 0 }, "schedule: expected cron or every, got neither" },
		{ { .cron = "61 * * * *" }, "schedule.cron: minute: expected 0 to 59, got 61 (character 1)" },
		{ { .cron = "@daily", .zone = "Nowhere/Here" }, "schedule.zone: there is no time zone" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct schedule_rule rule;
		struct error err = { 0 };
		assert_false(schedule_rule_read(&bad[i].text, &rule, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_ptr_equal(strstr(err.message, bad[i].sentence), err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_catching_up),
		cmocka_unit_test(test_rules_that_are_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
