/*
 * cron_next against a scan: expressions that are drawn, every minute of some weeks around changes of the
 * clock looked at one by one, the way a cron daemon lives through them. The scan shares nothing with
 * lib/cron.c: it knows the values that it drew, and asks the C library what the clock shows.
 */
#include "lib/cron.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"

#define MINUTES (52 * 1440)
#define WARM_UP (3 * 1440) /* what the clock has shown before counts */
#define DRAWN   300        /* expressions a place */

struct drawn {
	char text[CRON_TEXT_MAX];
	size_t len;
	bool is_in[5][64]; /* the values of a field */
	bool is_open[5];   /* it begins with a star */
	bool is_fixed;
};

static const int field_min[] = { 0, 0, 1, 1, 0 };
static const int field_max[] = { 59, 23, 31, 12, 6 };

static int draw_in(uint64_t *seed, int min, int max)
{
	return min + (int)(draw(seed) % (uint64_t)(max - min + 1));
}

static void say(struct drawn *d, const char *fmt, int a, int b, int c)
{
	char part[32];
	/* NOLINTNEXTLINE(clang-diagnostic-format-nonliteral) */
	int len = a < 0    ? 0
		  : c >= 0 ? snprintf(part, sizeof part, "%d-%d/%d", a, b, c)
		  : b >= 0 ? snprintf(part, sizeof part, "%d-%d", a, b)
			   : snprintf(part, sizeof part, "%d", a);
	assert_true(str_format(d->text + d->len, sizeof d->text - d->len, "%s%s", fmt, len ? part : ""));
	d->len += strlen(d->text + d->len);
}

static void take(struct drawn *d, int field, int first, int last, int step)
{
	for (int value = first; value <= last; value += step)
		d->is_in[field][value] = true;
}

/* One part of a list. Hours are drawn from the early ones, where clocks are changed. */
static void draw_part(struct drawn *d, int field, uint64_t *seed)
{
	int max = field == 1 && draw(seed) % 4 != 0 ? 3 : field_max[field];
	int first = draw_in(seed, field_min[field], max), last = draw_in(seed, first, max);
	int step = draw_in(seed, 1, field_max[field]);
	switch (draw(seed) % 6) {
	case 0:
		say(d, "", first, last, -1);
		take(d, field, first, last, 1);
		break;
	case 1:
		say(d, "", first, last, step);
		take(d, field, first, last, step);
		d->is_fixed = d->is_fixed && field > 1;
		break;
	default:
		say(d, "", first, -1, -1);
		take(d, field, first, first, 1);
	}
}

static void draw_field(struct drawn *d, int field, uint64_t *seed)
{
	static const unsigned stars[] = { 1, 2, 6, 7, 6 }; /* in eight */
	if (draw(seed) % 8 < stars[field]) {
		int step = draw(seed) % 3 == 0 ? draw_in(seed, 1, field_max[field] - field_min[field] + 1) : 1;
		char star[16];
		str_format(star, sizeof star, step > 1 ? "*/%d" : "*", step);
		say(d, star, -1, -1, -1);
		take(d, field, field_min[field], field_max[field], step);
		d->is_open[field] = true;
		d->is_fixed = d->is_fixed && field > 1;
		return;
	}
	draw_part(d, field, seed);
	while (draw(seed) % 2) {
		say(d, ",", -1, -1, -1);
		draw_part(d, field, seed);
	}
}

static void draw_expression(struct drawn *d, uint64_t *seed)
{
	*d = (struct drawn){ .is_fixed = true };
	for (int field = 0; field < 5; field++) {
		if (field > 0)
			say(d, " ", -1, -1, -1);
		draw_field(d, field, seed);
	}
}

static bool matches(const struct drawn *d, const struct tm *tm)
{
	bool day = d->is_in[2][tm->tm_mday], weekday = d->is_in[4][tm->tm_wday];
	bool is_day = d->is_open[2] || d->is_open[4] ? day && weekday : day || weekday;
	return d->is_in[0][tm->tm_min] && d->is_in[1][tm->tm_hour] && d->is_in[3][tm->tm_mon + 1] && is_day;
}

static bool matches_local(const struct drawn *d, int64_t local_min)
{
	time_t local_s = (time_t)(local_min * 60);
	struct tm tm;
	assert_non_null(gmtime_r(&local_s, &tm));
	return matches(d, &tm);
}

struct clock_minute {
	int64_t local_min; /* what the clock shows, counted as UTC would be */
	struct tm tm;
};

struct place {
	const char *zone;
	const char *what;
	int64_t start_s;
	bool has_gap, has_repeat;
};

static struct clock_minute *watch_clock(const struct place *place)
{
	struct clock_minute *minutes = mem_alloc(MINUTES * sizeof *minutes);
	setenv("TZ", place->zone, 1);
	tzset();
	for (int i = 0; i < MINUTES; i++) {
		time_t at_s = (time_t)(place->start_s + i * 60);
		assert_non_null(localtime_r(&at_s, &minutes[i].tm));
		minutes[i].local_min = (at_s + minutes[i].tm.tm_gmtoff) / 60;
	}
	unsetenv("TZ");
	tzset();
	return minutes;
}

struct counts {
	int dues, made_up, held_back;
};

/* Which minutes are due, by living through them. */
static void scan(const struct drawn *d, const struct clock_minute *minutes, bool *is_due, struct counts *counts)
{
	int64_t shown = minutes[0].local_min - 1; /* the latest minute that the clock has shown */
	for (int i = 0; i < MINUTES; i++) {
		int64_t now = minutes[i].local_min;
		bool match = matches(d, &minutes[i].tm);
		is_due[i] = match;
		if (d->is_fixed && now <= shown) {
			is_due[i] = false;
			counts->held_back += match;
		}
		if (d->is_fixed && i > 0 && now - minutes[i - 1].local_min - 1 < 1440)
			for (int64_t gone = minutes[i - 1].local_min + 1; gone < now; gone++)
				if (!is_due[i] && matches_local(d, gone)) {
					is_due[i] = true;
					counts->made_up++;
				}
		shown = now > shown ? now : shown;
		counts->dues += is_due[i];
	}
}

static void check_expression(const struct place *place, const struct drawn *d, const bool *is_due, uint64_t *seed)
{
	struct cron cron;
	struct zone zone;
	struct error err = { 0 };
	if (!cron_parse(d->text, &cron, &err) || !zone_find(place->zone, &zone, &err))
		fail_msg("%s: %s", d->text, err.message);
	assert_int_equal(cron.is_fixed, d->is_fixed);

	int64_t end_ms = (place->start_s + (int64_t)MINUTES * 60) * 1000;
	for (int from = WARM_UP; from < MINUTES;) {
		/* from anywhere between two that are due */
		int64_t after_ms = (place->start_s + (int64_t)from * 60) * 1000 - draw_in(seed, 1, 60000);
		int64_t next_ms;
		int want = from;
		while (want < MINUTES && !is_due[want])
			want++;
		if (!cron_next(&cron, &zone, after_ms, &next_ms, &err))
			fail_msg("%s in %s: %s", d->text, place->zone, err.message);
		int64_t want_ms = (place->start_s + (int64_t)want * 60) * 1000;
		if (want < MINUTES ? next_ms != want_ms : next_ms < end_ms) {
			char after[32], got[32], expected[32];
			clock_rfc3339(after_ms, after, sizeof after);
			clock_rfc3339(next_ms, got, sizeof got);
			clock_rfc3339(want_ms, expected, sizeof expected);
			fail_msg("%s in %s after %s: due at %s, expected %s", d->text, place->zone, after, got,
				 expected);
		}
		from = want + 1;
		if (draw(seed) % 4 == 0 && want - WARM_UP > 1)
			from += draw_in(seed, 0, 700); /* the minutes of a week are many alike */
	}
}

static void check_place(const struct place *place)
{
	uint64_t seed = 2025;
	struct counts counts = { 0 };
	struct clock_minute *minutes = watch_clock(place);
	bool *is_due = mem_alloc(MINUTES);
	int compared = 0;
	for (int i = 0; i < DRAWN; i++) {
		struct drawn d;
		struct cron cron;
		struct error err = { 0 };
		draw_expression(&d, &seed);
		if (!cron_parse(d.text, &cron, &err) && strstr(err.message, "never due"))
			continue;
		scan(&d, minutes, is_due, &counts);
		check_expression(place, &d, is_due, &seed);
		compared++;
	}
	print_message("%s, %s: %d expressions, %d due, %d made up, %d held back\n", place->zone, place->what, compared,
		      counts.dues, counts.made_up, counts.held_back);
	assert_true(compared > DRAWN * 3 / 4 && counts.dues > 1000);
	assert_int_equal(counts.made_up > 0, place->has_gap);
	assert_int_equal(counts.held_back > 0, place->has_repeat);
	free(is_due);
	free(minutes);
}

static void test_expressions_that_are_drawn(void **state)
{
	(void)state;
	static const struct place places[] = {
		{ "UTC", "a leap day", 1706745600, false, false },                      /* 1 February 2024 */
		{ "Europe/Berlin", "spring", 1741046400, true, false },                 /* 4 March 2025 */
		{ "Europe/Berlin", "autumn", 1759795200, false, true },                 /* 7 October 2025 */
		{ "America/New_York", "spring", 1739836800, true, false },              /* 18 February 2025 */
		{ "America/New_York", "autumn", 1760400000, false, true },              /* 14 October 2025 */
		{ "Australia/Lord_Howe", "spring", 1758067200, true, false },           /* 17 September 2025 */
		{ "Australia/Lord_Howe", "autumn", 1742256000, false, true },           /* 18 March 2025 */
		{ "Asia/Beirut", "spring", 1741046400, true, false },                   /* 4 March 2025 */
		{ "Antarctica/Casey", "three hours back", 1551657600, false, true },    /* 4 March 2019 */
		{ "Pacific/Apia", "a day left out", 1323648000, false, false },         /* 12 December 2011 */
		{ "Africa/Casablanca", "there and back again", 1647820800, true, true } /* 21 March 2022 */
	};
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		check_place(&places[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_expressions_that_are_drawn) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
