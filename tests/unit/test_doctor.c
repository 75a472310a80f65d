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
		{ "redis_version", "7.2.9", "redis version" }, /* a known hole */
		{ "redis_version", "7.2.11", NULL },
		{ "redis_version", "8.0.1", "redis version" },
		{ "redis_version", "8.0.10", NULL },
		{ "redis_version", "9.9.9", NULL },
		{ "valkey_version", "8.1.4", "redis version" },
		{ "valkey_version", "8.1.7", NULL },
		{ "aof_last_bgrewrite_status", "err", "rewrites" },
		{ "no_fsync_on_rewrite", "yes", "rewrites" },
		{ "total_system_memory", "120", "memory" },
		{ "total_system_memory", "900", "memory" }, /* less than maxmemory */
		{ "total_system_memory", "5000", NULL },
		{ "clock_ahead_ms", "-6000", "clock" },
		{ "clock_ahead_ms", "400", NULL },
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
		const struct doctor_facts facts = { .info = info };
		json_auto_t *report = doctor_judge(&facts);
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

/* The verdict of this name; NULL: there is none. */
static const json_t *check_of(const json_t *report, const char *name)
{
	size_t i;
	json_t *check;
	json_array_foreach(json_object_get(report, "checks"), i,
			   check) if (strcmp(json_string_value(json_object_get(check, "name")), name) ==
				      0) return check;
	return NULL;
}

static void test_a_store_that_fails(void **state)
{
	(void)state;
	json_auto_t *info = good();
	struct error err;
	error_set(&err, ERR_AUTH, "look at the key", "s3://b: 403 AccessDenied");
	const struct doctor_facts bad = { .info = info, .store = "s3://b", .store_error = &err };
	json_auto_t *report = doctor_judge(&bad);
	const json_t *check = check_of(report, "store");
	assert_true(json_is_false(json_object_get(check, "ok")) && json_is_false(json_object_get(report, "ok")));
	assert_non_null(strstr(json_string_value(json_object_get(check, "detail")), "403 AccessDenied"));
	assert_string_equal(json_string_value(json_object_get(check, "hint")), "look at the key");
	const struct doctor_facts fine = { .info = info, .store = "s3://b", .store_says = "all is well" };
	json_auto_t *other = doctor_judge(&fine);
	assert_string_equal(json_string_value(json_object_get(check_of(other, "store"), "detail")), "all is well");
}

static void test_workers(void **state)
{
	(void)state;
	static const struct {
		int64_t seen_ms, time_ms; /* 0: it does not say */
		const char *limits;       /* likewise NULL */
		const char *check;        /* what must be among the checks; NULL: nothing about it */
		bool ok;
	} rows[] = {
		{ 100000, 100100, "{\"files\":65536,\"disk_free\":99999999999}", NULL, true },
		{ 100000, 0, "{\"files\":256}", "open files", false },
		{ 100000, 0, "{\"files\":1024}", "open files", true },
		{ 100000, 0, "{\"disk_free\":1000}", "disk", false },
		{ 100000, 0, "{\"sandbox\":\"none\"}", "isolation", true },
		{ 100000, 200000, NULL, "worker clock", false },
		{ 1000, 200000, NULL, NULL, true }, /* not heard of any more */
		{ 100000, 0, NULL, NULL, true },    /* an older one */
	};
	static const char *const names[] = { "open files", "disk", "isolation", "worker clock" };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_auto_t *info = good();
		json_auto_t *workers =
			json_pack("[{s:s, s:I, s:I, s:s*}]", "id", "w", "seen_ms", (json_int_t)rows[i].seen_ms,
				  "time_ms", (json_int_t)rows[i].time_ms, "limits", rows[i].limits);
		const struct doctor_facts facts = { .info = info, .workers = workers, .now_ms = 101000 };
		json_auto_t *report = doctor_judge(&facts);
		for (size_t name = 0; name < ARRAY_LEN(names); name++)
			if ((check_of(report, names[name]) != NULL) !=
			    (rows[i].check && strcmp(names[name], rows[i].check) == 0))
				fail_msg("row %zu: %s", i, names[name]);
		assert_int_equal(json_is_true(json_object_get(report, "ok")), rows[i].ok);
		assert_non_null(check_of(report, "workers"));
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
		cmocka_unit_test(test_a_store_that_fails),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_unreachable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
