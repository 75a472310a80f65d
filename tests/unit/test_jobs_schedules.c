/* queue/jobs: schedules, against the real function library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "tests/unit/jobs_fixture.h"

#define NIGHTLY                                                                                                        \
	"{\"command\":[\"true\"],\"schedule\":{\"name\":\"nightly\",\"cron\":\"0 3 * * *\",\"zone\":\"Asia/Tokyo\"}}"
#define TICK "{\"command\":[\"true\"],\"schedule\":{\"name\":\"tick\",\"every\":\"10s\",\"missed\":\"all\"}}"

/* The last answers of the two calls that the fixture does not know. */
static struct {
	struct schedule_due due; /* the first; its pointers are gone */
	char name[65], revision[24], cron[64], zone[64], missed[16];
	int64_t now_ms;
	char what[16], id[64];
} seen;

static void on_due(void *arg, int64_t now_ms, int64_t next_ms, const struct schedule_due *due, size_t count,
		   const struct error *err)
{
	struct fixture *f = arg;
	memset(&seen, 0, sizeof seen);
	f->err = err ? *err : (struct error){ 0 };
	seen.now_ms = now_ms;
	f->next_ms = next_ms;
	f->count = count;
	if (count > 0) {
		seen.due = due[0];
		str_copy(seen.name, sizeof seen.name, due[0].name);
		str_copy(seen.revision, sizeof seen.revision, due[0].revision);
		str_copy(seen.cron, sizeof seen.cron, due[0].cron);
		str_copy(seen.zone, sizeof seen.zone, due[0].zone);
		str_copy(seen.missed, sizeof seen.missed, due[0].missed);
	}
	f->ended++;
}

static void on_fired(void *arg, const char *what, const char *id, int64_t next_ms, const struct error *err)
{
	struct fixture *f = arg;
	f->err = err ? *err : (struct error){ 0 };
	str_copy(seen.what, sizeof seen.what, what);
	str_copy(seen.id, sizeof seen.id, id);
	f->next_ms = next_ms;
	f->ended++;
}

static void fire(struct fixture *f, int64_t expected_ms, int64_t due_ms, int64_t next_ms)
{
	char name[65], revision[24];
	str_copy(name, sizeof name, seen.name);
	str_copy(revision, sizeof revision, seen.revision);
	const struct schedule_firing firing = { name, revision, expected_ms, due_ms, next_ms };
	jobs_fire(f->jobs, "gpu", &firing, on_fired, f);
}

static void test_making_and_reading(void **state)
{
	struct fixture *f = *state;
	jobs_schedule(f->jobs, "gpu", NIGHTLY, "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "created");
	jobs_due(f->jobs, "gpu", 0, on_due, f);
	GOOD(f);
	assert_int_equal(f->count, 1);
	assert_int_equal(f->next_ms, -1);
	assert_string_equal(seen.name, "nightly");
	assert_string_equal(seen.cron, "0 3 * * *");
	assert_string_equal(seen.zone, "Asia/Tokyo");
	assert_string_equal(seen.missed, "once");
	assert_int_equal(seen.due.every_ms, 0);
	assert_int_equal(seen.due.next_ms, 0);
	assert_true(seen.due.from_ms > 0 && seen.due.from_ms <= seen.now_ms);
	jobs_schedules(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *all = answered_json(f);
	assert_member(json_array_get(json_object_get(all, "schedules"), 0), "actor", "cli:ada");
	jobs_schedule_show(f->jobs, "gpu", "nightly", on_text, f);
	GOOD(f);
	json_auto_t *shown = answered_json(f);
	assert_non_null(json_object_get(shown, "spec"));
	jobs_schedule_show(f->jobs, "gpu", "nobody", on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_schedule(f->jobs, "gpu", SPEC, NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_due(f->jobs, "nobody-made-it", 0, on_due, f);
	BAD(f, ERR_NOT_FOUND);
}

static void test_firing(void **state)
{
	struct fixture *f = *state;
	jobs_schedule(f->jobs, "gpu", TICK, NULL, on_text, f);
	GOOD(f);
	jobs_due(f->jobs, "gpu", 0, on_due, f);
	GOOD(f);
	assert_int_equal(seen.due.every_ms, 10000);
	assert_string_equal(seen.cron, "");
	int64_t at_ms = seen.now_ms - 100000, soon_ms = seen.now_ms + 100000;
	fire(f, 0, 0, at_ms);
	GOOD(f);
	assert_string_equal(seen.what, "planned");
	fire(f, at_ms, at_ms, soon_ms);
	GOOD(f);
	assert_string_equal(seen.what, "fired");
	assert_string_equal(seen.id, "gpu-1");
	assert_int_equal(f->next_ms, soon_ms);
	fire(f, at_ms + 1, at_ms + 1, soon_ms);
	GOOD(f);
	assert_string_equal(seen.what, "stale");
	fire(f, soon_ms, soon_ms, soon_ms + 1);
	GOOD(f);
	assert_string_equal(seen.what, "early");
	fire(f, soon_ms, soon_ms, soon_ms);
	BAD(f, ERR_INPUT);
	jobs_due(f->jobs, "gpu", 0, on_due, f);
	GOOD(f);
	assert_int_equal(f->count, 0);
	assert_true(f->next_ms > 90000 && f->next_ms <= 100000);
	claim(f, 1);
	assert_int_equal(f->claim.scheduled_ms, at_ms);
}

static void test_changing(void **state)
{
	struct fixture *f = *state;
	jobs_schedule(f->jobs, "gpu", TICK, NULL, on_text, f);
	GOOD(f);
	jobs_due(f->jobs, "gpu", 0, on_due, f);
	GOOD(f);
	jobs_schedule_pause(f->jobs, "gpu", "tick", true, "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "paused");
	jobs_schedule_refuse(f->jobs, "gpu", "tick", seen.revision, "why", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "stale"); /* the pause made it another revision */
	jobs_schedule_pause(f->jobs, "gpu", "tick", false, NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "resumed");
	jobs_due(f->jobs, "gpu", 0, on_due, f);
	GOOD(f);
	jobs_schedule_refuse(f->jobs, "gpu", "tick", seen.revision, "why", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "ok");
	jobs_unschedule(f->jobs, "gpu", "tick", NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "deleted");
	jobs_unschedule(f->jobs, "gpu", "tick", NULL, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_unschedule(f->jobs, "gpu", "a b", NULL, on_text, f);
	BAD(f, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_making_and_reading), TEST(test_firing), TEST(test_changing) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
