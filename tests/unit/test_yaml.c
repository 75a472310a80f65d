/* lib/yaml, lib/json, lib/utf8: what scalars become, one spelling a value, and lines. What is refused and how
 * is in tests/specs/bad.yaml. */
#include "lib/yaml.h"

#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>
#include "lib/json.h"
#include "lib/utf8.h"

/* YAML → canonical JSON; the error's message when it is refused. */
static const char *convert(const char *text)
{
	static char result[4096];
	struct error err = { 0 };
	json_auto_t *root = yaml_decode(text, strlen(text), "f", &err);
	CLEANUP(buf) struct buf out;
	buf_init(&out, sizeof result - 1);
	if (root)
		json_canonical(root, &out);
	assert_true(str_copy(result, sizeof result, root ? buf_text(&out) : err.message));
	return result;
}

static void test_scalars(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "1", "1" },
		{ "-17", "-17" },
		{ "+3", "3" },
		{ "010", "10" },
		{ "0x1F", "31" },
		{ "0o17", "15" },
		{ "0x", "\"0x\"" },
		{ "1_000", "\"1_000\"" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "9223372036854775808", "9.223372036854776e+18" },
		{ "0xffffffffffffffffff", "f:1: the number 0xffffffffffffffffff is too large" },
		{ "1.5", "1.5" },
		{ "2.0", "2" },
		{ "3e-3", "0.003" },
		{ "1e3", "1000" },
		{ ".5", "0.5" },
		{ "1.", "1" },
		{ "-.5e1", "-5" },
		{ "-0.0", "0" },
		{ "0.1", "0.1" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "1e", "\"1e\"" },
		{ ".", "\".\"" },
		{ "-", "[null]" },
		{ "1e400", "f:1: the number 1e400 is too large" },
		{ ".inf", "\".inf\"" },
		{ ".nan", "\".nan\"" },
		{ "true", "true" },
		{ "False", "false" },
		{ "no", "\"no\"" },
		{ "on", "\"on\"" },
		{ "~", "null" },
		{ "null", "null" },
		{ "", "null" },
		{ "'1'", "\"1\"" },
		{ "\"true\"", "\"true\"" },
		{ "\"a\\0b\"", "\"a\\u0000b\"" },
		{ "2026-11-22", "\"2026-11-22\"" },
		{ "12:30", "\"12:30\"" },
		{ "|\n a\n b\n", "\"a\\nb\\n\"" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(convert(cases[i][0]), cases[i][1]);
}

static void test_documents(void **state)
{
	(void)state;
	assert_string_equal(convert("b: [1, {c: d}]\na:\n  x: 'y'\n"), "{\"a\":{\"x\":\"y\"},\"b\":[1,{\"c\":\"d\"}]}");
	assert_string_equal(convert("{\n\t\"a\": \"\\u00e9\\/\"\n}"), "{\"a\":\"é/\"}");
	assert_string_equal(convert("[\"\\ud83d\\ude00\"]"), "[\"\xf0\x9f\x98\x80\"]"); /* JSON's own escapes */
	assert_string_equal(convert("---\na: 1\n...\n"), "{\"a\":1}");
	assert_string_equal(convert("\xef\xbb\xbf"
				    "a: 1"),
			    "{\"a\":1}"); /* a byte order mark */
	assert_string_equal(convert("true: 1\n2: 3"), "{\"2\":3,\"true\":1}");
	assert_string_equal(convert("a: \xff"), "f:1: not UTF-8 (byte 0xff)");
	assert_string_equal(convert("\"a\\0\": 1"), "f:1: a key cannot contain a NUL");
	assert_string_equal(convert("a: &x 1"), "f:1: anchors are not supported (&x)");
	assert_string_equal(convert("a: !x 1"), "f:1: tags are not supported (!x)");
	assert_string_equal(convert("a: 1\n--- 2"), "f:2: more than one document");
}

static void test_bounds(void **state)
{
	(void)state;
	struct error err = { 0 };
	char deep[80];
	memset(deep, '[', sizeof deep);
	assert_null(yaml_decode(deep, 32 + 2, NULL, &err));
	assert_string_equal(err.message, "line 1: nested more than 32 deep");
	CLEANUP(free_p) char *large = mem_alloc(YAML_MAX_BYTES + 1);
	memset(large, ' ', YAML_MAX_BYTES + 1);
	assert_null(yaml_decode(large, YAML_MAX_BYTES + 1, "f", &err));
	assert_string_equal(err.message, "f: expected at most 1048576 bytes, got 1048577");
	json_auto_t *empty = yaml_decode(large, YAML_MAX_BYTES, "f", &err);
	assert_true(json_is_null(empty));
	/* one key a level, each nearly as long as libyaml takes: the path stays bounded */
	CLEANUP(buf) struct buf keys;
	buf_init(&keys, YAML_MAX_BYTES);
	for (int i = 0; i < 10; i++)
		buf_printf(&keys, "{%0900d: ", i);
	assert_null(yaml_decode(buf_text(&keys), keys.len, "f", &err));
	assert_string_equal(err.message, "f:1: the keys down to here are too long");
}

static void test_lines(void **state)
{
	(void)state;
	const char *text = "a: 1\nb:\n  c: 2\n  d:\n    - x\n    - y\n\n'e.f': {g: 1,\n  h: 2}\n";
	static const struct {
		const char *path;
		int line;
	} cases[] = { { "a", 1 },      { "b", 2 },     { "b.c", 3 }, { "b.d", 4 }, { "b.d[0]", 5 },
		      { "b.d[1]", 6 }, { "e.f.h", 9 }, { "e.f", 8 }, { "z", 0 },   { "b.d[2]", 0 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(yaml_line_of(text, strlen(text), cases[i].path), cases[i].line);
}

/* At every place in a word of eight bytes, since texts are looked at by words. */
static void test_json_texts(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *json;
	} cases[] = {
		{ "\n", 1, "\\n" },
		{ "\"", 1, "\\\"" },
		{ "\\", 1, "\\\\" },
		{ "\r\t\b\f", 4, "\\r\\t\\b\\f" },
		{ "\x1b", 1, "\\u001B" },
		{ "\x1f \x7f", 3, "\\u001F \x7f" },
		{ "", 1, "\xef\xbf\xbd" }, /* a NUL */
		{ "ä€😀", 9, "ä€😀" },
		{ "\xff", 1, "\xef\xbf\xbd" },
		{ "ä\xc3", 3, "ä\xef\xbf\xbd" },
		{ "\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int before = 0; before < 10; before++) {
			CLEANUP(buf) struct buf text;
			CLEANUP(buf) struct buf expected;
			CLEANUP(buf) struct buf out;
			buf_init(&text, 100);
			buf_init(&expected, 100);
			buf_init(&out, 200);
			buf_add(&text, "/~ '[]x}!", (size_t)before);
			buf_add(&text, cases[i].text, cases[i].len);
			buf_str(&text, "and the rest");
			buf_printf(&expected, "\"%.*s%sand the rest\"", before, "/~ '[]x}!", cases[i].json);
			assert_true(json_add_text(&out, buf_text(&text), text.len));
			assert_string_equal(buf_text(&out), buf_text(&expected));
		}
	}
}

/* What json_read_texts takes, jansson reads in the same way; what it leaves is jansson's. */
static void test_objects_of_texts(void **state)
{
	static const struct {
		const char *text;
		bool is_taken;
	} cases[] = {
		{ "{\"kind\":\"log\",\"entry\":{\"id\":\"1-1\",\"stdout\":\"a\\nb\"}}", true },
		{ "{\"a\":\"\\\"\\\\\\/\\n\\r\\t\\b\\f\\u001B\\u0041 \x7f\"}", true },
		{ "{\"a\":\"ä€😀 and more than eight bytes\",\"ä\":\"\"}", true },
		{ "{\"a\":\"1\",\"a\":\"2\"}", true },
		{ "{\"a\":{\"b\":{\"c\":\"\"}}}", true },
		{ "{\"a\":{\"b\":{\"c\":{\"d\":\"\"}}}}", false }, /* deep */
		{ "{\"a\":1}", false },
		{ "{\"a\": \"1\"}", false },
		{ "{\"a\":\"\\u00e4\"}", false },
		{ "{\"a\":\"\\u0000\"}", false },
		{ "{\"a\":\"\\x\"}", false },
		{ "{\"a\":\"\\\"}", false },
		{ "{\"a\":\"\\u00", false },
		{ "{\"a\":\"\n\"}", false },
		{ "{\"a\":\"\xff\"}", false },
		{ "{\"a\":\"b\"} ", false },
		{ "{\"a\":\"b\",}", false },
		{ "{\"a\":\"b\"", false },
		{ "{}", false },
		{ "\"a\"", false },
		{ "", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);
		CLEANUP(free_p) char *exact = mem_realloc(NULL, len ? len : 1); /* nothing behind it is read */
		memcpy(exact, cases[i].text, len);
		json_auto_t *mine = json_read_texts(exact, len);
		json_auto_t *theirs = json_loadb(exact, len, 0, NULL);
		assert_true((mine != NULL) == cases[i].is_taken);
		assert_true(!mine || json_equal(mine, theirs));
	}
}

static void test_utf8(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t valid;
	} cases[] = {
		{ "plain", 5 },
		{ "é", 2 },
		{ "€", 3 },
		{ "\xf0\x9f\x98\x80", 4 },
		{ "a\x80", 1 },
		{ "\xc0\xaf", 0 },
		{ "\xc1\xbf", 0 },
		{ "\xe0\x9f\xbf", 0 },
		{ "\xed\xa0\x80", 0 },
		{ "\xef\xbf\xbf", 3 },
		{ "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 },
		{ "ab\xe2\x82", 2 },
		{ "\xf0\x8f\xbf\xbf", 0 },
		{ "\xed\x9f\xbf", 3 },
		{ "x\xe2\x82\xacy\xff", 5 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(utf8_valid_prefix(cases[i].text, strlen(cases[i].text)), cases[i].valid);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* behind others, of which eight are looked at as one */
		CLEANUP(free_p) char *text = mem_printf("twelve bytes%s", cases[i].text);
		assert_int_equal(utf8_valid_prefix(text, strlen(text)), 12 + cases[i].valid);
	}
	assert_int_equal(utf8_cut("ää", 4, 3), 2);
	assert_int_equal(utf8_cut("ää", 4, 4), 4);
	assert_int_equal(utf8_cut("ää", 4, 9), 4);
	assert_int_equal(utf8_cut("ä", 2, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_json_texts),
		cmocka_unit_test(test_objects_of_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
