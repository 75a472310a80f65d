/* Numbers of JSON documents that Redis answers: as numbers, as texts, and out of range. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "lib/fields.h"

static const struct {
	const char *value;
	int64_t is;
} integers[] = {
	{ "7", 7 },
	{ "-7", -7 },
	{ "\"7\"", 7 },
	{ "7.9", 7 },
	{ "-7.9", -7 },
	{ "9007199254740993", 9007199254740993 }, /* no double has it */
	{ "9223372036854775807", INT64_MAX },
	{ "\"-9223372036854775808\"", INT64_MIN },
	{ "-9223372036854775808.0", INT64_MIN },
	{ "9223372036854775808.0", -1 },
	{ "1e56", -1 },
	{ "-1e56", -1 },
	{ "\"9223372036854775808\"", -1 },
	{ "\"7x\"", -1 },
	{ "\"\"", -1 },
	{ "null", -1 },
	{ "true", -1 },
	{ "[7]", -1 },
};

static void test_integers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
		json_t *object = json_object();
		json_object_set_new(object, "n", json_loads(integers[i].value, JSON_DECODE_ANY, NULL));
		int64_t found = fields_int(object, "n", -1);
		if (found != integers[i].is)
			fail_msg("%s: %lld", integers[i].value, (long long)found);
		json_decref(object);
	}
	assert_int_equal(fields_int(NULL, "n", 3), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_integers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
