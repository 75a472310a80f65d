/* Names of time zones, what is no name, and the offsets of a zone, against a process whose TZ must not change. */
#include "lib/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "tests/unit/folder.h"

static void test_names(void **state)
{
	(void)state;
	static const char *const names[] = { "UTC",       "Europe/Berlin",          "America/Argentina/Buenos_Aires",
					     "Etc/GMT+5", "America/Port-au-Prince", "US/Eastern",
					     "EST5EDT" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct zone zone;
		struct error err = { 0 };
		if (!zone_find(names[i], &zone, &err))
			fail_msg("%s", err.message);
		assert_string_equal(zone.name, names[i]);
	}
}

static void test_what_is_no_zone(void **state)
{
	(void)state;
	static const char *const names[] = { "",
					     "..",
					     "../zoneinfo/Europe/Berlin",
					     "Europe/../Europe/Berlin",
					     "./UTC",
					     "/usr/share/zoneinfo/Europe/Berlin",
					     "/etc/passwd",
					     ":Europe/Berlin",
					     "Europe//Berlin",
					     "Europe/",
					     "Europe/Berlin\n",
					     "Europe/B\xc3\xa4rlin",
					     "CET-1CEST,M3.5.0,M10.5.0/3",
					     "<+03>-3",
					     "UTC0",
					     "localtime",
					     "posixrules",
					     "right/Europe/Berlin",
					     "posix/Europe/Berlin",
					     "zone.tab",
					     "tzdata.zi",
					     "leapseconds",
					     "Europe",
					     "Europe/Atlantis",
					     "utc",
					     "a/very/long/name/a/very/long/name/a/very/long/name/a/very/long/na" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct zone zone;
		struct error err = { 0 };
		if (zone_find(names[i], &zone, &err))
			fail_msg("%s was taken for a zone", names[i]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_true(err.hint[0] != '\0');
	}
	assert_false(zone_find("Europe/Atlantis", &(struct zone){ "" }, NULL));
}

static void test_what_was_meant(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "europe/berlin", "there is no time zone \"europe/berlin\"", "did you mean Europe/Berlin?" },
		{ "Europe/Berln", "there is no time zone \"Europe/Berln\"", "did you mean Europe/Berlin?" },
		{ "America/NewYork", "there is no time zone \"America/NewYork\"", "did you mean America/New_York?" },
		{ "PST", "there is no time zone \"PST\"",
		  "name a zone of the IANA database, such as Europe/Berlin, or UTC" },
		{ "../x", "\"../x\" cannot be the name of a time zone",
		  "name a zone of the IANA database, such as Europe/Berlin, or UTC" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct zone zone;
		struct error err = { 0 };
		assert_false(zone_find(rows[i][0], &zone, &err));
		assert_string_equal(err.message, rows[i][1]);
		assert_string_equal(err.hint, rows[i][2]);
	}
}

/* 2025-03-30 01:00 UTC, when Berlin goes from +1 to +2. */
#define BERLIN_SPRING 1743296400

static void look(const char *name, int64_t from_s, int64_t until_s, struct zone_view *view)
{
	struct zone zone;
	struct error err = { 0 };
	if (!zone_find(name, &zone, &err) || !zone_look(&zone, from_s, until_s, view, &err))
		fail_msg("%s", err.message);
	assert_int_equal(view->spans[0].from_s, from_s);
	assert_int_equal(view->until_s, until_s);
}

static void test_offsets(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int64_t at_s; /* 0: no change is looked for; 1 July 2025 is looked at */
		int64_t before_s, after_s;
	} rows[] = {
		{ "UTC", 0, 0, 0 },
		{ "Asia/Kolkata", 0, 19800, 19800 },
		{ "Etc/GMT+5", 0, -18000, -18000 },
		{ "Europe/Berlin", BERLIN_SPRING, 3600, 7200 },
		{ "Europe/Berlin", 1761440400, 7200, 3600 },
		{ "America/New_York", 1762063200, -14400, -18000 },
		{ "Australia/Lord_Howe", 1759591800, 37800, 39600 },
		{ "Pacific/Apia", 1325239200, -36000, 50400 },
		{ "Africa/Monrovia", 63593070, -2670, 0 },   /* an offset of parts of a minute */
		{ "Europe/Berlin", 2531955600, 3600, 7200 }, /* 2050: past the end of the table */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int64_t at_s = rows[i].at_s ? rows[i].at_s : 1751328000;
		struct zone_view view;
		for (int64_t before_s = 1; before_s < 300000; before_s = before_s * 3 + 1) {
			look(rows[i].name, at_s - before_s, at_s + 300000, &view);
			assert_int_equal(view.count, rows[i].at_s ? 2 : 1);
			assert_int_equal(view.spans[0].offset_s, rows[i].before_s);
			assert_int_equal(view.spans[view.count - 1].offset_s, rows[i].after_s);
			if (rows[i].at_s)
				assert_int_equal(view.spans[1].from_s, at_s);
		}
		/* a change at an end of the view */
		look(rows[i].name, at_s, at_s + 1, &view);
		assert_int_equal(view.count, 1);
		assert_int_equal(view.spans[0].offset_s, rows[i].after_s);
		look(rows[i].name, at_s - 86400, at_s, &view);
		assert_int_equal(view.count, 1);
		assert_int_equal(view.spans[0].offset_s, rows[i].before_s);
		look(rows[i].name, at_s - 86400, at_s + 1, &view);
		assert_int_equal(view.count, rows[i].at_s ? 2 : 1);
	}
}

static void test_a_view_has_an_end(void **state)
{
	(void)state;
	struct zone zone;
	struct zone_view view;
	struct error err = { 0 };
	assert_true(zone_find("UTC", &zone, &err));
	assert_false(zone_look(&zone, 5, 5, &view, &err));
	assert_false(zone_look(&zone, 0, ZONE_LOOK_MAX_S + 1, &view, &err));
	assert_int_equal(err.kind, ERR_INTERNAL);
	assert_true(zone_look(&zone, 0, ZONE_LOOK_MAX_S, &view, &err));
}

/* What the C library says the clock shows at BERLIN_SPRING, without asking for another look at TZ. */
static int local_hour(void)
{
	time_t at = BERLIN_SPRING;
	struct tm tm;
	assert_non_null(localtime_r(&at, &tm));
	return tm.tm_hour;
}

static void test_tz_is_put_back(void **state)
{
	(void)state;
	struct zone_view view;
	setenv("TZ", "Asia/Kolkata", 1);
	tzset();
	look("Europe/Berlin", BERLIN_SPRING - 1, BERLIN_SPRING + 1, &view);
	assert_int_equal(view.count, 2);
	assert_string_equal(getenv("TZ"), "Asia/Kolkata");
	assert_int_equal(local_hour(), 6);

	setenv("TZ", "", 1); /* which is UTC, and not the same as none */
	tzset();
	look("Europe/Berlin", BERLIN_SPRING - 1, BERLIN_SPRING + 1, &view);
	assert_string_equal(getenv("TZ"), "");
	assert_int_equal(local_hour(), 1);

	unsetenv("TZ");
	tzset();
	int hour = local_hour();
	look("Asia/Kolkata", BERLIN_SPRING - 1, BERLIN_SPRING + 1, &view);
	assert_null(getenv("TZ"));
	assert_int_equal(local_hour(), hour);
}

static void test_without_tzdata(void **state)
{
	(void)state;
	char *folder = folder_make();
	char *gone = folder_path(folder, "gone");
	struct zone zone;
	struct zone_view view;
	struct error err = { 0 };

	assert_true(zone_find("Europe/Berlin", &zone, &err));
	setenv("TZDIR", gone, 1);
	/* what was found before is no longer there: not UTC, but an error */
	assert_false(zone_look(&zone, 0, 10, &view, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_false(zone_find("Europe/Berlin", &zone, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_non_null(strstr(err.message, "time zone Europe/Berlin: there are no time zones in "));
	assert_string_equal(err.hint, "install tzdata; UTC works without it");
	look("UTC", 0, 10, &view);
	assert_int_equal(view.spans[0].offset_s, 0);

	/* a folder without the zone, and one where it is something else */
	setenv("TZDIR", folder, 1);
	assert_false(zone_find("Europe/Berlin", &zone, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	folder_text(folder, "Europe/Berlin", "no zone\n");
	assert_false(zone_find("Europe/Berlin", &zone, &err));
	folder_text(folder, "Europe/Paris", "TZ");
	assert_false(zone_find("Europe/Paris", &zone, &err));
	folder_mkdir(folder, "Europe/Rome");
	assert_false(zone_find("Europe/Rome", &zone, &err));
	look("UTC", 0, 10, &view);
	unsetenv("TZDIR");
	free(gone);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_what_is_no_zone),
		cmocka_unit_test(test_what_was_meant),
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_a_view_has_an_end),
		cmocka_unit_test(test_tz_is_put_back),
		cmocka_unit_test(test_without_tzdata),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
