/* What gc decides, and that what it does for a unit does not grow with what else there is. */
#include "scheduler/gc.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/buf.h"

#define PREFIX "abc/checkpoints/gpu-1-0123456789abcdef/9/%" PRId64 "/"

static int64_t allocated; /* by jansson: what is parsed is counted by it */

static void *count_alloc(size_t size)
{
	allocated++;
	return malloc(size);
}

/* A job that has ended, with so many records. */
static json_t *job_of(int64_t count, const char *state)
{
	json_t *records = json_object();
	for (int64_t seq = 1; seq <= count; seq++) {
		CLEANUP(free_p) char *id = mem_printf("1-%" PRId64, seq);
		CLEANUP(free_p)
		char *record =
			mem_printf("{\"state\":\"%s\",\"uri\":\"s3://bucket/x/" PREFIX "manifest.json\"}", state, seq);
		json_object_set_new(records, id, json_string(record));
	}
	return json_pack("{s:{s:s,s:s},s:o}", "job", "state", "failed", "uid", "0123456789abcdef", "checkpoints",
			 records);
}

static struct stored_unit unit_of(int64_t seq)
{
	struct stored_unit unit = { .prefix = mem_printf(PREFIX, seq), .n = 1, .seq = seq, .has_manifest = true };
	str_copy(unit.uid, sizeof unit.uid, "0123456789abcdef");
	return unit;
}

/* How many of the units 1 to `last` go. */
static int64_t judge(const struct gc_job *job, int64_t last)
{
	int64_t gone = 0;
	for (int64_t seq = 1; seq <= last; seq++) {
		struct stored_unit unit = unit_of(seq);
		struct gc_verdict verdict = gc_judge(&unit, job, 1000000, 0);
		CLEANUP(free_p) char *id = mem_printf("1-%" PRId64, seq);
		if (verdict.why && *verdict.id)
			assert_string_equal(verdict.id, id);
		gone += verdict.why != NULL;
		assert_null(verdict.doubt);
		free(unit.prefix);
	}
	return gone;
}

static void test_records_decide(void **state)
{
	(void)state;
	json_auto_t *uris =
		json_pack("[s,i,s]", "file:///store/abc/checkpoints/gpu-1-0123456789abcdef/9/7/manifest.json", 1,
			  "manifest.json");
	json_auto_t *lent = gc_lent(uris);
	static const char *const states[] = { "committed", "deleting" };
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		json_auto_t *show = job_of(10, states[i]);
		json_auto_t *records = gc_records(show);
		const struct gc_job job = { .show = show, .records = records, .lent = lent, .newest = 1 };
		/* Two have no record; one of those that are to go was lent. */
		assert_int_equal(judge(&job, 12), i == 0 ? 2 : 11);
	}
	assert_null(gc_lent(NULL));
}

static int64_t cost(int64_t count)
{
	json_auto_t *show = job_of(count, "committed");
	json_auto_t *uris = json_array();
	allocated = 0;
	json_auto_t *records = gc_records(show);
	json_auto_t *lent = gc_lent(uris);
	const struct gc_job job = { .show = show, .records = records, .lent = lent, .newest = 1 };
	assert_int_equal(judge(&job, count), 0);
	return allocated;
}

static void test_twenty_times_the_records_cost_twenty_times_as_much(void **state)
{
	(void)state;
	json_set_alloc_funcs(count_alloc, free);
	int64_t few = cost(100), many = cost(2000);
	json_set_alloc_funcs(malloc, free);
	assert_in_range(many, few, 22 * few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_decide),
		cmocka_unit_test(test_twenty_times_the_records_cost_twenty_times_as_much),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
