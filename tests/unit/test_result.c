/* worker/result: what is taken as a result, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tests/unit/folder.h"
#include "worker/result.h"

static const struct {
	const char *text;
	const char *kept; /* NULL: refused */
	const char *why;
} rows[] = {
	{ "{\"a\":1.50, \"b\":[]}", "{\"a\":1.50, \"b\":[]}", NULL },
	{ " \n\t[1,\n 2]\r\n", "[1,\n 2]", NULL },
	{ "0.1", "0.1", NULL },
	{ "\"x\"", "\"x\"", NULL },
	{ "null", "null", NULL },
	{ "12345678901234567890123", "12345678901234567890123", NULL },
	{ "NaN", "\"NaN\"", NULL },
	{ "{\"NaN\":-Infinity,\"x\":\"NaN \\\" Infinity\"}", "{\"NaN\":\"-Infinity\",\"x\":\"NaN \\\" Infinity\"}",
	  NULL },
	{ "", NULL, "it is not JSON: line 1: " },
	{ "{", NULL, "it is not JSON: line 1: " },
	{ "{}\n{}", NULL, "it is not JSON: line 2: " },
	{ "{\"a\":1,\"a\":2}", NULL, "it is not JSON: line 1: " },
	{ "-.5", NULL, "it is not JSON: line 1: " },
	{ "1.", NULL, "it is not JSON: line 1: " },
	{ "1e999", NULL, "it is not JSON: line 1: " },
	{ "\"\xff\"", NULL, "it is not JSON: line 1: " },
	{ "\"\t\"", NULL, "it is not JSON: line 1: " },
	{ "nan", NULL, "it is not JSON: line 1: " },
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(buf) struct buf taken;
		struct error err = { 0 };
		buf_init(&taken, RESULT_MAX_BYTES);
		bool ok = result_take(rows[i].text, strlen(rows[i].text), &taken, &err);
		if (ok != (rows[i].kept != NULL))
			fail_msg("row %zu: %s", i, err.message);
		if (ok)
			assert_string_equal(buf_text(&taken), rows[i].kept);
		else
			assert_memory_equal(err.message, rows[i].why, strlen(rows[i].why));
	}
}

/* A list of this many lists in each other, or a text of this many bytes. */
static bool takes(size_t depth, size_t bytes, struct error *err)
{
	CLEANUP(buf) struct buf text;
	CLEANUP(buf) struct buf taken;
	buf_init(&text, 1024 * 1024);
	buf_init(&taken, RESULT_MAX_BYTES);
	for (size_t i = 0; i < depth; i++)
		buf_byte(&text, '[');
	for (size_t i = 0; i < depth; i++)
		buf_byte(&text, ']');
	for (size_t i = 0; i < bytes; i++)
		buf_byte(&text, i == 0 || i + 1 == bytes ? '"' : 'x');
	return result_take(buf_text(&text), text.len, &taken, err);
}

static void test_bounds(void **state)
{
	(void)state;
	struct error err;
	assert_true(takes(0, RESULT_MAX_BYTES, &err));
	assert_false(takes(0, RESULT_MAX_BYTES + 1, &err));
	assert_string_equal(err.message, "it has 65537 bytes, at most 65536 are kept");
	assert_true(takes(100, 0, &err));
	assert_false(takes(101, 0, &err));
	assert_string_equal(err.message, "it is nested more than 100 deep");
	assert_false(takes(30000, 0, &err)); /* the reader itself gives up */
	CLEANUP(buf) struct buf many, taken;
	buf_init(&many, 1024 * 1024);
	buf_init(&taken, RESULT_MAX_BYTES);
	buf_byte(&many, '[');
	while (many.len < RESULT_MAX_BYTES - 10)
		buf_str(&many, "NaN,");
	buf_str(&many, "1]");
	assert_false(result_take(buf_text(&many), many.len, &taken, &err)); /* with their quotes it is too long */
	assert_string_equal(err.message, "it has more than 65536 bytes");
}

static void test_files(void **state)
{
	(void)state;
	CLEANUP(free_p) char *folder = folder_make();
	CLEANUP(free_p) char *path = folder_path(folder, "result.json");
	CLEANUP(buf) struct buf taken;
	struct error err;
	buf_init(&taken, RESULT_MAX_BYTES);
	assert_false(result_read(path, &taken, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	folder_text(folder, "result.json", "{\"a\": 1}\n");
	assert_true(result_read(path, &taken, &err));
	assert_string_equal(buf_text(&taken), "{\"a\": 1}");
	assert_false(result_read(folder, &taken, &err));
	assert_string_equal(err.message, "it is no regular file");
	folder_remove(STEAL(folder));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
