/* What the stoker command shows: durations, sizes, widths, tables, sparklines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "cli/spark.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lib/size.h"

struct duration_row {
	int64_t ms;
	const char *age;
	const char *span;
};

static void durations_have_one_and_two_units(void **state)
{
	(void)state;
	static const struct duration_row rows[] = {
		{ -5, "0s", "0ms" },        { 17, "0s", "17ms" },        { 640, "0s", "0.6s" },
		{ 9999, "9s", "9.9s" },     { 41000, "41s", "41s" },     { 59999, "59s", "59s" },
		{ 60000, "1m", "1m00" },    { 171000, "2m", "2m51" },    { 3599999, "59m", "59m59" },
		{ 10260000, "2h", "2h51" }, { 86400000, "1d", "1d00h" }, { 273600000, "3d", "3d04h" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[32];
		text_age(rows[i].ms, text, sizeof text);
		assert_string_equal(text, rows[i].age);
		text_span(rows[i].ms, text, sizeof text);
		assert_string_equal(text, rows[i].span);
	}
}

static void sizes_and_numbers_are_short(void **state)
{
	(void)state;
	char text[32];
	size_human(0, text, sizeof text);
	assert_string_equal(text, "0 B");
	size_human(1023, text, sizeof text);
	assert_string_equal(text, "1023 B");
	size_human(1153434, text, sizeof text);
	assert_string_equal(text, "1.1 MiB");
	size_human(2LL << 30, text, sizeof text);
	assert_string_equal(text, "2 GiB");
	text_number(2.71349, text, sizeof text);
	assert_string_equal(text, "2.713");
	text_number(123456, text, sizeof text);
	assert_string_equal(text, "123456");
	text_number(NAN, text, sizeof text);
	assert_string_equal(text, "NaN");
	text_number(-INFINITY, text, sizeof text);
	assert_string_equal(text, "-Infinity");
}

static void width_counts_columns_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("größe"), 5);
	assert_int_equal(text_width("▁▂▃"), 3);
	assert_int_equal(text_width("学习"), 4);
	assert_int_equal(text_width("e\xcc\x81"), 1); /* e and a combining accent */
	assert_int_equal(text_width("a\xff\xc3"), 3); /* not UTF-8: a column each */
}

static void clean_keeps_a_terminal_safe(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 1000);
	text_clean(&b, "a\033[31mred\nnext\t\x7f\xc2\x9b ü\xff");
	assert_string_equal(buf_text(&b), "a?[31mred next ?? ü\xef\xbf\xbd");
	buf_done(&b);
}

static void table_aligns_by_columns(void **state)
{
	(void)state;
	static const char *const titles[] = { "ID", "NAME", "WHY" };
	struct table table;
	struct buf b;
	buf_init(&b, 4096);
	table_init(&table, titles, ARRAY_LEN(titles));
	table_add(&table, "gpu-1");
	table_add(&table, "größe");
	table_add(&table, "");
	table_add(&table, "gpu-1000");
	table_add(&table, NULL);
	table_add(&table, "needs 8 GPUs");
	table_print(&table, false, &b);
	assert_string_equal(buf_text(&b), "ID        NAME   WHY\n"
					  "gpu-1     größe\n"
					  "gpu-1000  –      needs 8 GPUs\n");
	table_done(&table);
	buf_done(&b);
}

static void table_paints_only_when_asked(void **state)
{
	(void)state;
	static const char *const titles[] = { "STATE" };
	struct table table;
	struct buf b;
	buf_init(&b, 4096);
	table_init(&table, titles, 1);
	table_paint(&table, "failed", PAINT_RED);
	table_print(&table, true, &b);
	assert_string_equal(buf_text(&b), "\033[1mSTATE\033[0m\n\033[31mfailed\033[0m\n");
	table_done(&table);
	buf_done(&b);
}

static void spark_is(const double *values, size_t count, size_t width, const char *expected)
{
	struct buf b;
	buf_init(&b, 4096);
	spark_print(values, count, width, &b);
	assert_string_equal(buf_text(&b), expected);
	buf_done(&b);
}

static void spark_spans_low_to_high(void **state)
{
	(void)state;
	static const double falling[] = { 8, 7, 6, 5, 4, 3, 2, 1 };
	static const double flat[] = { 3, 3, 3 };
	static const double bad[] = { 1, NAN, 2, INFINITY };
	static const double averaged[] = { 0, 2, 10, 12 };
	spark_is(falling, 8, 32, "█▇▆▅▄▃▂▁");
	spark_is(flat, 3, 32, "▅▅▅");
	spark_is(bad, 4, 4, "▁!█!");
	spark_is(averaged, 4, 2, "▁█");
	spark_is(falling, 0, 32, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_have_one_and_two_units), cmocka_unit_test(sizes_and_numbers_are_short),
		cmocka_unit_test(width_counts_columns_not_bytes),   cmocka_unit_test(clean_keeps_a_terminal_safe),
		cmocka_unit_test(table_aligns_by_columns),          cmocka_unit_test(table_paints_only_when_asked),
		cmocka_unit_test(spark_spans_low_to_high),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
