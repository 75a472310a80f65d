/* What stoker doctor finds risky: a good Redis, and one thing changed at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "lib/cleanup.h"
#include "scheduler/doctor.h"

static json_t *good(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "redis_version", "7.0.15", "role",
			 "master", "library", "1 abc", "appendonly", "yes", "appendfsync", "always", "maxmemory_policy",
			 "noeviction", "maxmemory", "1000", "used_memory", "100", "aof_last_write_status", "ok",
			 "rdb_last_bgsave_status", "ok", "default_user", "yes");
}

static void test_one_fault_one_finding(void **state)
{
	(void)state;
	static const struct {
		const char *field;
		const char *value;   /* NULL: absent */
		const char *finding; /* the check that fails; NULL: none */
	} rows[] = {
		{ "redis_version", "6.2.14", "redis version" },
		{ "redis_version", "8.0.1", NULL },
		{ "role", "slave", "role" },
		{ "library", NULL, "function library" },
		{ "appendonly", "no", "append-only file" },
		{ "appendfsync", "everysec", NULL }, /* a risk that is said, and may be taken */
		{ "appendfsync", "no", "fsync" },
		{ "default_user", "This user has no permissions to run the 'hset' command", "replay" },
		{ "default_user", NULL, NULL }, /* it would not tell */
		{ "aof_last_write_status", "err", "append-only file writes" },
		{ "rdb_last_bgsave_status", "err", "snapshots" },
		{ "maxmemory_policy", "allkeys-lru", "eviction" },
		{ "used_memory", "950", "memory" },
		{ "maxmemory", "0", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_auto_t *info = good();
		if (rows[i].value)
			json_object_set_new(info, rows[i].field, json_string(rows[i].value));
		else
			json_object_del(info, rows[i].field);
		json_auto_t *report = doctor_judge(info);
		assert_int_equal(json_is_true(json_object_get(report, "ok")), rows[i].finding == NULL);
		size_t row;
		json_t *check;
		json_array_foreach(json_object_get(report, "checks"), row, check)
		{
			const char *name = json_string_value(json_object_get(check, "name"));
			bool is_found = rows[i].finding && strcmp(name, rows[i].finding) == 0;
			if (json_is_true(json_object_get(check, "ok")) == is_found)
				fail_msg("row %zu (%s=%s): %s", i, rows[i].field, rows[i].value, name);
			if (is_found)
				assert_true(strlen(json_string_value(json_object_get(check, "hint"))) > 0);
		}
	}
}

static void test_unreachable(void **state)
{
	(void)state;
	json_auto_t *report = doctor_unreachable("redis://db:6379/0");
	assert_true(json_is_false(json_object_get(report, "ok")));
	const json_t *check = json_array_get(json_object_get(report, "checks"), 0);
	assert_non_null(strstr(json_string_value(json_object_get(check, "detail")), "redis://db:6379/0"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_fault_one_finding),
		cmocka_unit_test(test_unreachable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
