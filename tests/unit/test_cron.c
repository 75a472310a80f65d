/* Cron expressions: what is read and what is refused, and known instants around changes of the clock. What
 * the rules give for expressions that nobody chose is in test_cron_scan.c. */
#include "lib/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "lib/clock.h"

#define DUES 8

/* "2025-03-30 01:00" or with ":59" behind it, in UTC. */
static int64_t utc_ms(const char *text)
{
	struct tm tm = { .tm_isdst = 0 };
	int got = sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
			 &tm.tm_sec);
	assert_true(got == 5 || got == 6);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return (int64_t)timegm(&tm) * 1000;
}

static struct cron parsed(const char *text)
{
	struct cron cron;
	struct error err = { 0 };
	if (!cron_parse(text, &cron, &err))
		fail_msg("%s: %s", text, err.message);
	return cron;
}

/* One row: when an expression is due, in UTC, from a time on. */
struct due_row {
	const char *text, *zone, *after;
	const char *dues[DUES];
};

static void check_dues(const struct due_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct due_row *row = &rows[i];
		struct cron cron = parsed(row->text);
		struct zone zone;
		struct error err = { 0 };
		if (!zone_find(row->zone, &zone, &err))
			fail_msg("%s", err.message);
		int64_t at_ms = utc_ms(row->after);
		for (size_t j = 0; j < DUES && row->dues[j]; j++) {
			char got[32], want[32];
			if (!cron_next(&cron, &zone, at_ms, &at_ms, &err))
				fail_msg("%s in %s: %s", row->text, row->zone, err.message);
			clock_rfc3339(at_ms, got, sizeof got);
			clock_rfc3339(utc_ms(row->dues[j]), want, sizeof want);
			if (strcmp(got, want) != 0)
				fail_msg("%s in %s: due %zu is at %s, expected %s", row->text, row->zone, j, got, want);
		}
	}
}

static uint64_t bits(const char *list)
{
	uint64_t mask = 0;
	int value, used;
	for (; sscanf(list, "%d%n", &value, &used) == 1; list += used)
		mask |= 1ULL << value;
	return mask;
}

static void test_fields_are_read(void **state)
{
	(void)state;
	static const struct {
		const char *text, *minutes, *hours, *days, *months, *weekdays;
		bool is_either_day, is_fixed;
	} rows[] = {
		{ "5 4 3 2 1", "5", "4", "3", "2", "1", true, true },
		{ " 0,59\t0,23 1,31 1,12 0,6 ", "0 59", "0 23", "1 31", "1 12", "0 6", true, true },
		{ "10-12 20-23 30-31 11-12 5-7", "10 11 12", "20 21 22 23", "30 31", "11 12", "5 6 0", true, true },
		{ "*/20 */8 */15 */6 */3", "0 20 40", "0 8 16", "1 16 31", "1 7", "0 3 6", false, false },
		{ "1-30/7 0 1 1 1-7/3", "1 8 15 22 29", "0", "1", "1", "1 4 0", true, false },
		{ "0 6-18/6 1 1 7", "0", "6 12 18", "1", "1", "0", true, false },
		{ "*/60 */24 */31 */12 */7", "0", "0", "1", "1", "0", false, false },
		{ "0 0 1 jan,Dec sun", "0", "0", "1", "1 12", "0", true, true },
		{ "0 0 1 MAR-may/2 tue-THU", "0", "0", "1", "3 5", "2 3 4", true, true },
		{ "0 0 1 1 FRI-SUN", "0", "0", "1", "1", "5 6 0", true, true },
		{ "0 0 1 1 SUN-MON", "0", "0", "1", "1", "0 1", true, true },
		{ "0 0 1 1 SUN-SUN", "0", "0", "1", "1", "0", true, true },
		{ "0 0 1 1 2-0/2", "0", "0", "1", "1", "2 4 6", true, true },
		{ "00 007 01 1 1", "0", "7", "1", "1", "1", true, true },
		{ "1,*/30 0 1 1 1", "0 1 30", "0", "1", "1", "1", true, false },
		{ "0 0 1,*/10 1 1", "0", "0", "1 11 21 31", "1", "1", true, true },
		{ "@hourly", "0", NULL, NULL, NULL, NULL, false, false },
		{ " @Daily ", "0", "0", NULL, NULL, NULL, false, true },
		{ "@midnight", "0", "0", NULL, NULL, NULL, false, true },
		{ "@weekly", "0", "0", NULL, NULL, "0", false, true },
		{ "@monthly", "0", "0", "1", NULL, NULL, false, true },
		{ "@yearly", "0", "0", "1", "1", NULL, false, true },
		{ "@annually", "0", "0", "1", "1", NULL, false, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cron cron = parsed(rows[i].text);
		if (cron.minutes != (rows[i].minutes ? bits(rows[i].minutes) : (1ULL << 60) - 1) ||
		    cron.hours != (rows[i].hours ? bits(rows[i].hours) : 0xffffff) ||
		    cron.days != (rows[i].days ? bits(rows[i].days) : 0xfffffffe) ||
		    cron.months != (rows[i].months ? bits(rows[i].months) : 0x1ffe) ||
		    cron.weekdays != (rows[i].weekdays ? bits(rows[i].weekdays) : 0x7f) ||
		    cron.is_either_day != rows[i].is_either_day || cron.is_fixed != rows[i].is_fixed)
			fail_msg("%s: read as minutes %llx hours %x days %x months %x weekdays %x, %d, %d",
				 rows[i].text, (unsigned long long)cron.minutes, cron.hours, cron.days, cron.months,
				 cron.weekdays, cron.is_either_day, cron.is_fixed);
	}
}

static const char *const refusals[][2] = {
	{ "61 * * * *", "minute: expected 0 to 59, got 61 (character 1)" },
	{ "0 24 * * *", "hour: expected 0 to 23, got 24 (character 3)" },
	{ "0 0 0 * *", "day-of-month: expected 1 to 31, got 0 (character 5)" },
	{ "0 0 32 * *", "day-of-month: expected 1 to 31, got 32 (character 5)" },
	{ "0 0 1 13 *", "month: expected 1 to 12 or JAN to DEC, got 13 (character 7)" },
	{ "0 0 1 0 *", "month: expected 1 to 12 or JAN to DEC, got 0 (character 7)" },
	{ "0 0 * * 8", "day-of-week: expected 0 to 7 or SUN to SAT, got 8 (character 9)" },
	{ "0 0 * * MONDAY", "day-of-week: expected 0 to 7 or SUN to SAT, got \"MONDAY\" (character 9)" },
	{ "0 0 * * MO", "day-of-week: expected 0 to 7 or SUN to SAT, got \"MO\" (character 9)" },
	{ "0 0 * MON *", "month: expected 1 to 12 or JAN to DEC, got \"MON\" (character 7)" },
	{ "JAN 0 * * *", "minute: expected 0 to 59, got \"JAN\" (character 1)" },
	{ "0 0 ? * *", "day-of-month: expected 1 to 31, got \"?\" (character 5)" },
	{ "1, 0 * * *", "minute: expected 0 to 59, got nothing (character 3)" },
	{ "0 0 * * 1,", "day-of-week: expected 0 to 7 or SUN to SAT, got nothing (character 11)" },
	{ ",1 0 * * *", "minute: expected 0 to 59, got \",\" (character 1)" },
	{ "-1 0 * * *", "minute: expected 0 to 59, got \"-\" (character 1)" },
	{ "1-61 0 * * *", "minute: expected 0 to 59, got 61 (character 3)" },
	{ "1- 0 * * *", "minute: expected 0 to 59, got nothing (character 3)" },
	{ "1-2-3 0 * * *", "minute: expected a comma or the next field, got \"-\" (character 4)" },
	{ "*5 0 * * *", "minute: expected a comma or the next field, got 5 (character 2)" },
	{ "5* 0 * * *", "minute: expected 0 to 59, got \"5*\" (character 1)" },
	{ "*/0 0 * * *", "minute: expected a step of 1 to 60, got 0 (character 3)" },
	{ "*/90 * * * *", "minute: expected a step of 1 to 60, got 90 (character 3)" },
	{ "0 */25 * * *", "hour: expected a step of 1 to 24, got 25 (character 5)" },
	{ "0 0 1-5/ * *", "day-of-month: expected a step of 1 to 31, got nothing (character 9)" },
	{ "*/5/2 0 * * *", "minute: expected a comma or the next field, got \"/\" (character 4)" },
	{ "5/15 0 * * *", "minute: expected * or a range before a step, got \"/\" (character 2)" },
	{ "99999999999999999999 0 * * *", "minute: expected 0 to 59, got 99999999999999999999 (character 1)" },
	{ "4294967297 0 * * *", "minute: expected 0 to 59, got 4294967297 (character 1)" },
	{ "0123456789012345678901234567890 0 * * *",
	  "minute: expected 0 to 59, got 012345678901234567890123… (character 1)" },
	{ "30-10 0 * * *", "minute: 30-10 ends before it starts (character 1)" },
	{ "0 0 * * 1,FRI-MON", "day-of-week: FRI-MON ends before it starts (character 11)" },
	{ "", "schedule: expected 5 fields (minute hour day-of-month month day-of-week), got 0" },
	{ " \t", "schedule: expected 5 fields (minute hour day-of-month month day-of-week), got 0" },
	{ "0 0 * *", "schedule: expected 5 fields (minute hour day-of-month month day-of-week), got 4" },
	{ "0 0 0 * * *", "schedule: expected 5 fields (minute hour day-of-month month day-of-week), got 6" },
	{ "@dayly", "schedule: expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually, "
		    "got \"@dayly\"" },
	{ "@daily 0", "schedule: expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually, "
		      "got \"@daily 0\"" },
	{ "0 0 * * *\n", "schedule: expected ASCII without control characters (character 10)" },
	{ "0 0 * * m\xc3\xb6", "schedule: expected ASCII without control characters (character 10)" },
	{ "0 0 30 2 *", "day-of-month: \"0 0 30 2 *\" is never due: none of its months has such a day" },
	{ "0 0 31 2,4,6,9,11 *",
	  "day-of-month: \"0 0 31 2,4,6,9,11 *\" is never due: none of its months has such a day" },
	{ "0 0 30 2 */2", "day-of-month: \"0 0 30 2 */2\" is never due: none of its months has such a day" },
};

static void test_what_is_wrong_is_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct cron cron;
		struct error err = { 0 };
		if (cron_parse(refusals[i][0], &cron, &err))
			fail_msg("%s was taken", refusals[i][0]);
		assert_string_equal(err.message, refusals[i][1]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_true(err.hint[0] != '\0');
	}
}

static void test_hints_say_what_to_write(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "0 0 * * FRI-MON", "write it as two: 5-6,0-1" },
		{ "0 0 * NOV-FEB *", "write it as two: 11-12,1-2" },
		{ "@dayly", "did you mean @daily?" },
		{ "0 0 30 2 *", "take a day that one of the months has" },
	};
	struct cron cron;
	struct error err;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_false(cron_parse(rows[i][0], &cron, &err));
		assert_string_equal(err.hint, rows[i][1]);
	}
	char text[CRON_TEXT_MAX + 2];
	memset(text, ' ', sizeof text);
	memcpy(text, "0 0 * * *", 9);
	text[CRON_TEXT_MAX] = '\0';
	assert_true(cron_parse(text, &cron, &err));
	text[CRON_TEXT_MAX] = ' ';
	text[CRON_TEXT_MAX + 1] = '\0';
	assert_false(cron_parse(text, &cron, &err));
	assert_false(cron_parse("61 * * * *", &cron, NULL));
}

static void test_days(void **state)
{
	(void)state;
	static const struct due_row rows[] = {
		/* either of two restricted days: the 13th, and Fridays */
		{ "0 0 13 * FRI",
		  "UTC",
		  "2025-06-01 00:00",
		  { "2025-06-06 00:00", "2025-06-13 00:00", "2025-06-20 00:00", "2025-06-27 00:00", "2025-07-04 00:00",
		    "2025-07-11 00:00", "2025-07-13 00:00", "2025-07-18 00:00" } },
		/* a field that begins with "*" restricts nothing by itself: odd days that are Mondays */
		{ "0 0 */2 * MON",
		  "UTC",
		  "2025-06-01 00:00",
		  { "2025-06-09 00:00", "2025-06-23 00:00", "2025-07-07 00:00", "2025-07-21 00:00" } },
		{ "0 0 31 * *",
		  "UTC",
		  "2025-01-31 00:00",
		  { "2025-03-31 00:00", "2025-05-31 00:00", "2025-07-31 00:00" } },
		{ "0 0 29 2 *", "UTC", "2025-01-01 00:00", { "2028-02-29 00:00", "2032-02-29 00:00" } },
		/* 2100 has no leap day */
		{ "59 23 29 2 *", "UTC", "2096-02-29 23:59", { "2104-02-29 23:59" } },
		/* a leap day on a Sunday: every 28 years, but over 2100 */
		{ "0 12 29 FEB */7",
		  "UTC",
		  "2025-01-01 00:00",
		  { "2032-02-29 12:00", "2060-02-29 12:00", "2088-02-29 12:00", "2128-02-29 12:00" } },
		{ "59 23 31 12 *", "UTC", "2025-12-31 23:59", { "2026-12-31 23:59" } },
		{ "0 0 1 1 *", "Pacific/Kiritimati", "2025-06-01 00:00", { "2025-12-31 10:00" } },
		{ "*/7 * * * *",
		  "UTC",
		  "2025-01-01 00:50",
		  { "2025-01-01 00:56", "2025-01-01 01:00", "2025-01-01 01:07" } },
		{ "5-7 0,12 * * *", "UTC", "2025-01-01 00:06", { "2025-01-01 00:07", "2025-01-01 12:05" } },
		{ "@weekly", "UTC", "2025-01-01 00:00", { "2025-01-05 00:00", "2025-01-12 00:00" } },
		{ "0 9 * * MON-FRI", "Asia/Kolkata", "2025-01-03 03:29", { "2025-01-03 03:30", "2025-01-06 03:30" } },
	};
	check_dues(rows, ARRAY_LEN(rows));
}

static void test_spring(void **state)
{
	(void)state;
	static const struct due_row rows[] = {
		/* Berlin: 30 March 2025, 01:00 UTC, from 02:00 to 03:00 */
		{ "30 2 * * *",
		  "Europe/Berlin",
		  "2025-03-28 12:00",
		  { "2025-03-29 01:30", "2025-03-30 01:00", "2025-03-31 00:30" } },
		{ "0 2 * * *", "Europe/Berlin", "2025-03-29 12:00", { "2025-03-30 01:00", "2025-03-31 00:00" } },
		{ "59 1 * * *", "Europe/Berlin", "2025-03-29 12:00", { "2025-03-30 00:59", "2025-03-30 23:59" } },
		{ "0 3 * * *", "Europe/Berlin", "2025-03-29 12:00", { "2025-03-30 01:00", "2025-03-31 01:00" } },
		{ "0,20,40 2,3 * * *",
		  "Europe/Berlin",
		  "2025-03-29 12:00",
		  { "2025-03-30 01:00", "2025-03-30 01:20", "2025-03-30 01:40", "2025-03-31 00:00" } },
		{ "30 2 30 3 *", "Europe/Berlin", "2024-12-01 00:00", { "2025-03-30 01:00", "2026-03-30 00:30" } },
		{ "30 2 * * *", "Europe/Berlin", "2025-03-30 00:59:59", { "2025-03-30 01:00" } },
		{ "*/15 * * * *",
		  "Europe/Berlin",
		  "2025-03-30 00:31",
		  { "2025-03-30 00:45", "2025-03-30 01:00", "2025-03-30 01:15" } },
		{ "30 * * * *", "Europe/Berlin", "2025-03-30 00:00", { "2025-03-30 00:30", "2025-03-30 01:30" } },
		{ "*/30 2 * * *", "Europe/Berlin", "2025-03-29 12:00", { "2025-03-31 00:00", "2025-03-31 00:30" } },
		{ "0 */2 * * *", "Europe/Berlin", "2025-03-29 23:00", { "2025-03-30 02:00", "2025-03-30 04:00" } },
		/* New York: 9 March 2025, 07:00 UTC, from 02:00 to 03:00 */
		{ "30 2 * * *",
		  "America/New_York",
		  "2025-03-08 00:00",
		  { "2025-03-08 07:30", "2025-03-09 07:00", "2025-03-10 06:30" } },
		/* Beirut: at midnight */
		{ "@daily", "Asia/Beirut", "2025-03-29 00:00", { "2025-03-29 22:00", "2025-03-30 21:00" } },
		{ "0 0 30 3 *", "Asia/Beirut", "2025-03-01 00:00", { "2025-03-29 22:00", "2026-03-29 21:00" } },
		/* Troll: two hours, from 01:00 to 03:00 */
		{ "15 1,2 * * *", "Antarctica/Troll", "2025-03-29 12:00", { "2025-03-30 01:00", "2025-03-30 23:15" } },
		/* Berlin once more, by the rule that the table of the zone ends with */
		{ "30 2 * * *", "Europe/Berlin", "2050-03-26 12:00", { "2050-03-27 01:00", "2050-03-28 00:30" } },
	};
	check_dues(rows, ARRAY_LEN(rows));
}

static void test_autumn(void **state)
{
	(void)state;
	static const struct due_row rows[] = {
		/* Berlin: 26 October 2025, 01:00 UTC, from 03:00 back to 02:00 */
		{ "30 2 * * *", "Europe/Berlin", "2025-10-25 12:00", { "2025-10-26 00:30", "2025-10-27 01:30" } },
		{ "30 2 * * *", "Europe/Berlin", "2025-10-26 01:10", { "2025-10-27 01:30" } },
		{ "0 2,3 * * *",
		  "Europe/Berlin",
		  "2025-10-25 12:00",
		  { "2025-10-26 00:00", "2025-10-26 02:00", "2025-10-27 01:00" } },
		{ "30 2 26 10 *", "Europe/Berlin", "2025-10-26 00:30", { "2026-10-26 01:30" } },
		{ "*/30 * * * *",
		  "Europe/Berlin",
		  "2025-10-26 00:10",
		  { "2025-10-26 00:30", "2025-10-26 01:00", "2025-10-26 01:30", "2025-10-26 02:00" } },
		{ "*/30 2 * * *",
		  "Europe/Berlin",
		  "2025-10-25 12:00",
		  { "2025-10-26 00:00", "2025-10-26 00:30", "2025-10-26 01:00", "2025-10-26 01:30",
		    "2025-10-27 01:00" } },
		/* New York: 2 November 2025, 06:00 UTC, from 02:00 back to 01:00 */
		{ "30 1 * * *", "America/New_York", "2025-11-01 12:00", { "2025-11-02 05:30", "2025-11-03 06:30" } },
		/* Havana: from 01:00 back to midnight */
		{ "@daily", "America/Havana", "2025-11-01 12:00", { "2025-11-02 04:00", "2025-11-03 05:00" } },
		/* Beirut: from midnight back to 23:00 of the day before, so that the date comes twice, too */
		{ "30 23 * * *", "Asia/Beirut", "2025-10-25 12:00", { "2025-10-25 20:30", "2025-10-26 21:30" } },
		{ "@daily", "Asia/Beirut", "2025-10-25 12:00", { "2025-10-25 22:00", "2025-10-26 22:00" } },
	};
	check_dues(rows, ARRAY_LEN(rows));
}

static void test_half_hours(void **state)
{
	(void)state;
	static const struct due_row rows[] = {
		/* Lord Howe: 4 October 2025, 15:30 UTC, from 02:00 to 02:30 */
		{ "15 2 * * *", "Australia/Lord_Howe", "2025-10-04 00:00", { "2025-10-04 15:30", "2025-10-05 15:15" } },
		{ "45 2 * * *", "Australia/Lord_Howe", "2025-10-04 00:00", { "2025-10-04 15:45", "2025-10-05 15:45" } },
		{ "*/15 * * * *",
		  "Australia/Lord_Howe",
		  "2025-10-04 15:10",
		  { "2025-10-04 15:15", "2025-10-04 15:30", "2025-10-04 15:45" } },
		/* 5 April 2025, 15:00 UTC, from 02:00 back to 01:30 */
		{ "45 1 * * *", "Australia/Lord_Howe", "2025-04-05 00:00", { "2025-04-05 14:45", "2025-04-06 15:15" } },
		{ "*/15 * * * *",
		  "Australia/Lord_Howe",
		  "2025-04-05 14:40",
		  { "2025-04-05 14:45", "2025-04-05 15:00", "2025-04-05 15:15", "2025-04-05 15:30" } },
	};
	check_dues(rows, ARRAY_LEN(rows));
}

static void test_changes_for_good(void **state)
{
	(void)state;
	static const struct due_row rows[] = {
		/* Pyongyang: 4 May 2018, 15:00 UTC, from 23:30 to midnight, for good */
		{ "45 23 * * *", "Asia/Pyongyang", "2018-05-04 00:00", { "2018-05-04 15:00", "2018-05-05 14:45" } },
		/* Volgograd: 26 December 2020, 22:00 UTC, from 02:00 back to 01:00, for good */
		{ "30 1 * * *", "Europe/Volgograd", "2020-12-26 00:00", { "2020-12-26 21:30", "2020-12-27 22:30" } },
		/* Apia: 30 December 2011, 10:00 UTC, from the end of the 29th to the start of the 31st */
		{ "0 12 * * *", "Pacific/Apia", "2011-12-29 00:00", { "2011-12-29 22:00", "2011-12-30 22:00" } },
		{ "0 12 30 12 *", "Pacific/Apia", "2011-12-01 00:00", { "2012-12-29 22:00" } },
		{ "0 0 31 12 *", "Pacific/Apia", "2011-12-01 00:00", { "2011-12-30 10:00" } },
		{ "0 */8 * * *",
		  "Pacific/Apia",
		  "2011-12-30 00:00",
		  { "2011-12-30 02:00", "2011-12-30 10:00", "2011-12-30 18:00" } },
		/* Casey: 16 March 2019, 15:00 UTC, from 02:00 back three hours, to 23:00 of the day before */
		{ "30 23,0,1 * * *",
		  "Antarctica/Casey",
		  "2019-03-16 12:00",
		  { "2019-03-16 12:30", "2019-03-16 13:30", "2019-03-16 14:30", "2019-03-17 15:30" } },
	};
	check_dues(rows, ARRAY_LEN(rows));
}

static void test_the_ends_of_time(void **state)
{
	(void)state;
	struct cron cron = parsed("0 0 29 2 *");
	struct zone zone;
	struct error err = { 0 };
	int64_t next_ms = 0;
	assert_true(zone_find("Europe/Berlin", &zone, &err));
	assert_true(cron_next(&cron, &zone, 0, &next_ms, &err));
	assert_int_equal(next_ms, utc_ms("1972-02-28 23:00"));
	assert_true(cron_next(&cron, &zone, utc_ms("9995-01-01 00:00"), &next_ms, &err));
	assert_int_equal(next_ms, utc_ms("9996-02-28 23:00"));
	static const int64_t beyond[] = { -1, INT64_MIN, CRON_TIME_MAX_MS, CRON_TIME_MAX_MS + 1, INT64_MAX };
	for (size_t i = 0; i < ARRAY_LEN(beyond); i++) {
		next_ms = 77;
		assert_false(cron_next(&cron, &zone, beyond[i], &next_ms, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_int_equal(next_ms, 77);
	}
	/* what is due now is due no more; a millisecond ago it was */
	cron = parsed("* * * * *");
	assert_true(cron_next(&cron, &zone, 59999, &next_ms, &err));
	assert_int_equal(next_ms, 60000);
	assert_true(cron_next(&cron, &zone, 60000, &next_ms, &err));
	assert_int_equal(next_ms, 120000);
}

/* The bound is far above what it takes, and far below what a scan of 103 years takes. */
static void test_far_away_is_not_slow(void **state)
{
	(void)state;
	struct cron cron = parsed("0 0 29 2 */7");
	struct zone zone;
	int64_t next_ms, start_ms = clock_boot_ms();
	assert_true(zone_find("Europe/Berlin", &zone, NULL));
	for (int i = 0; i < 200; i++) {
		assert_true(cron_next(&cron, &zone, utc_ms("2088-03-01 00:00"), &next_ms, NULL));
		assert_int_equal(next_ms, utc_ms("2128-02-28 23:00"));
	}
	assert_true(clock_boot_ms() - start_ms < 2000);
}

static void test_every(void **state)
{
	(void)state;
	static const int64_t rows[][4] = {
		/* anchor, every, after, next */
		{ 1000, 30000, 0, 1000 },
		{ 1000, 30000, 999, 1000 },
		{ 1000, 30000, 1000, 31000 },
		{ 1000, 30000, 30999, 31000 },
		{ 1000, 30000, 31000, 61000 },
		{ 0, 1, 5, 6 },
		{ 5, INT64_MAX - 5, 5, INT64_MAX },
		{ -7, 10, -8, -7 },
		{ -7, 10, -3, 3 },
		{ INT64_MIN, 1000, INT64_MAX - 1000, INT64_MAX - 615 },
		{ INT64_MIN, 2, INT64_MAX - 1, 0 },
		{ INT64_MAX, 1, INT64_MIN, INT64_MAX },
		{ 0, 7, INT64_MAX - 7, INT64_MAX },
	};
	struct error err = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t next_ms = 0;
		bool fits = cron_every(rows[i][0], rows[i][1], rows[i][2], &next_ms, &err);
		/* by the definition, where it can be computed in more bits */
		__int128 want = rows[i][0];
		if (rows[i][2] >= rows[i][0])
			want += ((__int128)rows[i][2] - rows[i][0]) / rows[i][1] * rows[i][1] + rows[i][1];
		assert_int_equal(fits, want <= INT64_MAX);
		if (fits)
			assert_true(next_ms == want);
		if (rows[i][3])
			assert_int_equal(next_ms, rows[i][3]);
	}
	int64_t next_ms = 77;
	assert_false(cron_every(0, 0, 5, &next_ms, &err));
	assert_string_equal(err.message, "schedule: expected an interval of at least 1 ms, got 0 ms");
	assert_false(cron_every(0, -1000, 5, &next_ms, &err));
	assert_false(cron_every(0, 1000, INT64_MAX, &next_ms, &err));
	assert_false(cron_every(INT64_MAX, INT64_MAX, INT64_MAX, &next_ms, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_int_equal(next_ms, 77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_are_read),
		cmocka_unit_test(test_what_is_wrong_is_said),
		cmocka_unit_test(test_hints_say_what_to_write),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_spring),
		cmocka_unit_test(test_autumn),
		cmocka_unit_test(test_half_hours),
		cmocka_unit_test(test_changes_for_good),
		cmocka_unit_test(test_the_ends_of_time),
		cmocka_unit_test(test_far_away_is_not_slow),
		cmocka_unit_test(test_every),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
