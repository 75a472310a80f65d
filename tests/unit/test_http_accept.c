/* What headers say about types, encodings and tags, and which field a message is about, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/http_accept.h"
#include "lib/http_problem.h"

struct row {
	const char *header, *of;
	bool is;
};

static void check(const struct row *rows, size_t count, bool (*fn)(const char *header, const char *of))
{
	for (size_t i = 0; i < count; i++)
		if (fn(rows[i].header, rows[i].of) != rows[i].is)
			fail_msg("row %zu: %s of %s", i, rows[i].header, rows[i].of);
}

static void test_types(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "application/json", "application/json", true },
		{ "Application/JSON; charset=utf-8", "text/yaml application/json", true },
		{ "application/json2", "application/json", false },
		{ "application/jso", "application/json", false },
		{ "text/plain", "text/yaml application/json", false },
		{ "", "application/json", false },
		{ NULL, "application/json", false },
	};
	check(rows, ARRAY_LEN(rows), http_is_type);
}

static void test_accept(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ NULL, "application/json", true },
		{ "*/*", "application/json", true },
		{ "application/*", "application/json", true },
		{ "text/html, application/json;q=0.5", "application/json", true },
		{ "text/html,application/x-ndjson", "application/json application/x-ndjson", true },
		{ "text/*", "application/json", false },
		{ "application/jso", "application/json", false },
		{ "application/json;q=0", "application/json", false },
		{ "application/json; q=0.0, text/html", "application/json", false },
		{ "", "application/json", false },
	};
	check(rows, ARRAY_LEN(rows), http_accepts_type);
}

static void test_encoding(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "gzip", "gzip", true },   { "deflate, GZIP;q=1.0", "gzip", true },
		{ "*", "gzip", true },      { "gzip;q=0, *", "gzip", false },
		{ "*;q=0", "gzip", false }, { "br, zstd", "gzip", false },
		{ "", "gzip", false },      { NULL, "gzip", false },
	};
	check(rows, ARRAY_LEN(rows), http_accepts_encoding);
}

static void test_tags(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{ "W/\"ab\"", "W/\"ab\"", true },
		{ "\"ab\"", "W/\"ab\"", true },
		{ "\"x\", W/\"ab\"", "W/\"ab\"", true },
		{ "*", "W/\"ab\"", true },
		{ "\"a\"", "W/\"ab\"", false },
		{ "\"abc\"", "W/\"ab\"", false },
		{ "ab", "W/\"ab\"", false },
		{ "", "W/\"ab\"", false },
		{ NULL, "W/\"ab\"", false },
	};
	check(rows, ARRAY_LEN(rows), http_names_tag);
}

static void test_pointers(void **state)
{
	(void)state;
	static const struct {
		const char *message, *pointer; /* NULL: it names no field */
	} rows[] = {
		{ "resources.gpus: expected an integer", "/resources/gpus" },
		{ "jobs[3].command: required", "/jobs/3/command" },
		{ "jobs[3]: resources.gpus: expected", "/jobs/3/resources/gpus" },
		{ "jobs[3]: it is too large", "/jobs/3" },
		{ "sweep.grid[0][12]: expected", "/sweep/grid/0/12" },
		{ "resources.labels.a/b: expected", "/resources/labels/a~1b" },
		{ "limit: expected an integer from 1 to 100", "/limit" },
		{ "the body is no JSON: line 1", NULL },
		{ "jobs[x]: expected", NULL },
		{ "a..b: expected", NULL },
		{ "http://x", NULL },
		{ ": x", NULL },
		{ "", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf) struct buf pointer;
		buf_init(&pointer, 256);
		bool is_named = problem_pointer(rows[i].message, &pointer);
		if (is_named != (rows[i].pointer != NULL))
			fail_msg("%s", rows[i].message);
		assert_string_equal(buf_text(&pointer), is_named ? rows[i].pointer : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types), cmocka_unit_test(test_accept),   cmocka_unit_test(test_encoding),
		cmocka_unit_test(test_tags),  cmocka_unit_test(test_pointers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
