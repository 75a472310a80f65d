/* Which points hold after resumes: rows of "attempt-sequence:step", markers as "attempt-0@step". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "scheduler/points.h"

static const struct {
	const char *points;
	const char *merged;
} rows[] = {
	{ "", "" },
	{ "1-1:10 1-2:20", "1-1 1-2" },
	/* resumed at 20: what attempt 1 did past it is void */
	{ "1-1:10 1-2:20 1-3:30 2-0@20 2-1:30", "1-1 1-2 2-1" },
	/* a cold start voids all */
	{ "1-1:10 1-2:20 2-0@0 2-1:10", "2-1" },
	/* a third attempt that resumed earlier voids what the second one did past it, too */
	{ "1-1:10 1-2:20 2-0@20 2-1:30 2-2:40 3-0@30 3-1:40", "1-1 1-2 2-1 3-1" },
	{ "1-1:10 1-2:20 2-0@20 2-1:30 3-0@10 3-1:20", "1-1 3-1" },
	{ "1-1:10 2-0@20 2-1:30", "1-1 2-1" },
	/* points without a step are of no place: they stay */
	{ "1-1 1-2:50 2-0@10 2-1", "1-1 2-1" },
};

static json_t *parse_points(char *text)
{
	json_t *entries = json_array();
	for (char *word = strsep(&text, " "); word; word = strsep(&text, " ")) {
		if (!*word)
			continue;
		char *value = strpbrk(word, ":@");
		char kind = value ? *value : '\0';
		if (value)
			*value++ = '\0';
		json_t *entry = json_pack("{s:s}", "id", word);
		if (kind)
			json_object_set_new(entry, kind == '@' ? "resumed_at" : "step", json_string(value));
		json_array_append_new(entries, entry);
	}
	return entries;
}

static void test_merge(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(free_p) char *text = mem_strdup(rows[i].points);
		json_auto_t *entries = parse_points(text);
		json_auto_t *merged = points_merge(entries);
		CLEANUP(buf) struct buf ids;
		buf_init(&ids, 1024);
		size_t row;
		json_t *entry;
		json_array_foreach(merged, row, entry)
			buf_printf(&ids, "%s%s", row ? " " : "", json_string_value(json_object_get(entry, "id")));
		if (strcmp(buf_text(&ids), rows[i].merged) != 0)
			fail_msg("row %zu: %s, wanted %s", i, buf_text(&ids), rows[i].merged);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_merge) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
