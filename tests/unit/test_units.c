/* Which files belong together, and when they may be shipped: on a clock that the test turns. */
#include "worker/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"

static void cleanup_units(struct units **u)
{
	units_free(*u);
}

static struct units *units_of(const char *first, const char *second)
{
	char *patterns[] = { (char *)first, (char *)second };
	struct spec_list list = { patterns, !first ? 0 : !second ? 1 : 2 };
	return units_new(&list);
}

static void change(struct units *u, enum unit_root root, const char *path, enum unit_change what, int64_t now_ms)
{
	struct unit_event event = { .root = root, .path = path, .change = what, .now_ms = now_ms, .step = -1 };
	units_event(u, &event);
}

static void checkpoint(struct units *u, const char *path, enum unit_change what, int64_t now_ms)
{
	change(u, UNIT_IN_CHECKPOINTS, path, what, now_ms);
}

static struct unit *next(struct units *u, int64_t now_ms)
{
	int64_t due_ms;
	return units_next(u, now_ms, false, &due_ms);
}

static void test_a_rename_settles_soon(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "a.pt.tmp", UNIT_WRITTEN, 900);
	assert_false(units_any_pending(u));
	checkpoint(u, "a.pt", UNIT_RENAMED, 1000);
	int64_t due_ms;
	assert_null(units_next(u, 1199, false, &due_ms));
	assert_int_equal(due_ms, 1200);
	struct unit *unit = units_next(u, 1200, false, &due_ms);
	assert_non_null(unit);
	assert_string_equal(unit->files[0], "a.pt");
	unit_settle(unit, unit->changes);
	assert_null(units_next(u, 9999, false, &due_ms));
	assert_int_equal(due_ms, -1);
}

static void test_writing_in_place_needs_quiet_or_a_later_step(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "a.pt", UNIT_WRITTEN, 1000);
	assert_null(next(u, 2999));
	checkpoint(u, "a.pt", UNIT_WRITTEN, 2999);
	assert_null(next(u, 4998));
	assert_non_null(next(u, 4999));
	units_step(u, 3050); /* too soon after the change: perhaps printed before it */
	assert_null(next(u, 4998));
	units_step(u, 3100);
	assert_null(next(u, 3298));
	assert_non_null(next(u, 3299));
	checkpoint(u, "a.pt", UNIT_WRITTEN, 3400);
	assert_null(next(u, 4000));
}

static void test_files_of_one_step_form_one_unit(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "model-step-5.pt", UNIT_RENAMED, 1000);
	checkpoint(u, "optim-step-5.pt", UNIT_RENAMED, 1050);
	checkpoint(u, "model-step-6.pt", UNIT_RENAMED, 1060);
	checkpoint(u, "model.pt", UNIT_RENAMED, 1010);
	checkpoint(u, "optim.pt", UNIT_RENAMED, 1020);
	struct unit *six = next(u, 1260);
	assert_string_equal(six->name, ""); /* newest by its last change, not by its number */
	assert_int_equal(six->file_count, 2);
	unit_settle(six, six->changes);
	six = next(u, 1260);
	assert_string_equal(six->name, "step 6");
	unit_settle(six, six->changes);
	struct unit *five = next(u, 1260);
	assert_string_equal(five->name, "step 5");
	assert_int_equal(five->file_count, 2);
}

static void test_what_was_there_is_not_new(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "model.pt", UNIT_FOUND, 1000);
	checkpoint(u, "optim.pt", UNIT_FOUND, 1000);
	assert_false(units_any_pending(u));
	checkpoint(u, "model.pt", UNIT_RENAMED, 2000);
	struct unit *unit = next(u, 2200);
	assert_int_equal(unit->file_count, 2); /* the other one belongs to it all the same */
}

static void test_newest_first_and_superseded(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "step-1.pt", UNIT_RENAMED, 1000);
	checkpoint(u, "step-2.pt", UNIT_RENAMED, 1001);
	struct unit *unit = next(u, 2000);
	assert_string_equal(unit->name, "step 2");
	int64_t shipped = unit->changes;
	checkpoint(u, "step-3.pt", UNIT_RENAMED, 2001);
	unit_settle(unit, shipped);
	units_settle_older(u, shipped);
	unit = next(u, 3000);
	assert_string_equal(unit->name, "step 3");
	unit_settle(unit, unit->changes);
	assert_false(units_any_pending(u));
}

static void test_changed_while_it_was_shipped(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "model.pt", UNIT_WRITTEN, 1000);
	struct unit *unit = next(u, 3000);
	int64_t shipped = unit->changes;
	checkpoint(u, "model.pt", UNIT_WRITTEN, 3001);
	unit_settle(unit, shipped);
	assert_true(unit_is_pending(unit));
	assert_true(unit->was_written);
}

static void test_gone(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "step-1.pt", UNIT_RENAMED, 1000);
	checkpoint(u, "step-1.pt", UNIT_GONE, 1100);
	assert_false(units_any_pending(u));
	checkpoint(u, "step-1.pt", UNIT_WRITTEN, 1200); /* unlinked first, then written again */
	assert_true(units_any_pending(u));
}

static void test_folders(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	struct unit_event made = { .path = "checkpoint-5", .is_folder = true, .change = UNIT_WRITTEN, .now_ms = 1000 };
	units_event(u, &made);
	checkpoint(u, "checkpoint-5/a/b.pt", UNIT_WRITTEN, 1500);
	checkpoint(u, "checkpoint-5/a/b.tmp", UNIT_GONE, 1600);
	assert_null(next(u, 4599));
	struct unit *unit = next(u, 4600);
	assert_true(unit->is_folder);
	assert_int_equal(unit->file_count, 1);
	assert_string_equal(unit->files[0], "checkpoint-5");
	struct unit_event gone = { .path = "checkpoint-5", .is_folder = true, .change = UNIT_GONE, .now_ms = 2000 };
	units_event(u, &gone);
	assert_false(units_any_pending(u));
}

static void test_patterns(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of("./out/*.pt", "runs/*/ckpt-*/");
	static const struct {
		const char *path;
		bool is_wanted;
	} folders[] = {
		{ "", true },         { "out", true },           { "out/x.pt/deep", true }, { "runs", true },
		{ "runs/a", true },   { "runs/a/ckpt-1", true }, { "runs/a/logs", false },  { "data", false },
		{ "out/sub", false }, { "runs/.hidden", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		if (units_wants_folder(u, UNIT_IN_WORK, folders[i].path) != folders[i].is_wanted)
			fail_msg("%s", folders[i].path);
	change(u, UNIT_IN_WORK, "other.pt", UNIT_RENAMED, 1000);
	change(u, UNIT_IN_WORK, "out/deep/x.pt", UNIT_RENAMED, 1000);
	change(u, UNIT_IN_WORK, "out/x.txt", UNIT_RENAMED, 1000);
	assert_false(units_any_pending(u));
	change(u, UNIT_IN_WORK, "out/x.pt", UNIT_RENAMED, 1000);
	change(u, UNIT_IN_WORK, "runs/a/ckpt-1/w.bin", UNIT_RENAMED, 1001);
	struct unit *unit = next(u, 2000);
	assert_true(unit->is_folder);
	assert_string_equal(unit->files[0], "runs/a/ckpt-1");
	unit_settle(unit, unit->changes);
	unit = next(u, 2000);
	assert_string_equal(unit->files[0], "out/x.pt");
	CLEANUP(units) struct units *none = units_of(NULL, NULL);
	assert_false(units_wants_folder(none, UNIT_IN_WORK, ""));
}

static void test_announced(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	struct unit_event event = { .path = "step-1.pt", .change = UNIT_RENAMED, .now_ms = 1000, .step = -1 };
	checkpoint(u, "step-1.pt", UNIT_WRITTEN, 1000);
	struct unit *unit = units_announce(u, &event);
	assert_ptr_equal(next(u, 1000), unit);
	unit_settle(unit, unit->changes);
	assert_false(units_any_pending(u));
	/* One of several files of a step: it alone is the checkpoint. */
	checkpoint(u, "a-step-2.pt", UNIT_WRITTEN, 2000);
	checkpoint(u, "b-step-2.pt", UNIT_WRITTEN, 2000);
	event.path = "b-step-2.pt";
	unit = units_announce(u, &event);
	assert_int_equal(unit->file_count, 1);
	assert_ptr_equal(next(u, 9000), unit);
	unit_settle(unit, unit->changes);
	assert_false(units_any_pending(u));
	/* Written again without a word: what was said does not hold any more. */
	event.path = "step-1.pt";
	unit = units_announce(u, &event);
	unit->said_step = 1;
	checkpoint(u, "step-1.pt", UNIT_WRITTEN, 9100);
	assert_false(unit->is_announced);
	assert_int_equal(unit->said_step, -1);
}

static void test_one_of_fewer_files_than_the_save_before_waits(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "model-1.pt", UNIT_RENAMED, 1000);
	checkpoint(u, "optim-1.pt", UNIT_RENAMED, 1000);
	struct unit *unit = next(u, 1200);
	assert_int_equal(units_lacks(u, unit), 0);
	unit_settle(unit, unit->changes);
	units_whole(u, unit);
	checkpoint(u, "model-1.pt", UNIT_GONE, 1300); /* the program cleans up: that changes nothing */
	checkpoint(u, "model-2.pt", UNIT_RENAMED, 2000);
	assert_null(next(u, 61999));
	assert_non_null(next(u, 62000));
	units_step(u, 2100); /* its save has returned: so it is meant */
	assert_non_null(next(u, 2300));
	checkpoint(u, "optim-2.pt", UNIT_WRITTEN, 3000);
	assert_null(next(u, 4999));
	unit = next(u, 5000);
	assert_int_equal(units_lacks(u, unit), 0);
	unit_settle(unit, unit->changes);
	checkpoint(u, "last.pt", UNIT_RENAMED, 6000); /* no step: another kind */
	assert_non_null(next(u, 6200));
}

static void test_what_was_put_back_says_how_many_files_a_save_has(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	checkpoint(u, "model-7.pt", UNIT_FOUND, 0);
	checkpoint(u, "optim-7.pt", UNIT_FOUND, 0);
	checkpoint(u, "model-8.pt", UNIT_RENAMED, 1000);
	assert_null(next(u, 3000));
	checkpoint(u, "optim-8.pt", UNIT_RENAMED, 3000);
	assert_non_null(next(u, 3200));
}

static void test_the_table_is_bounded(void **state)
{
	(void)state;
	CLEANUP(units) struct units *u = units_of(NULL, NULL);
	char name[64];
	for (int i = 0; i < 2 * UNITS_MAX; i++) {
		snprintf(name, sizeof name, "step-%d.pt", i);
		checkpoint(u, name, UNIT_RENAMED, i);
	}
	struct unit *unit = next(u, 100000);
	snprintf(name, sizeof name, "step %d", 2 * UNITS_MAX - 1);
	assert_string_equal(unit->name, name);
	for (int i = 0; i < 2 * UNIT_FILES_MAX; i++) {
		snprintf(name, sizeof name, "f%dx.pt", i);
		checkpoint(u, name, UNIT_RENAMED, 200000);
	}
	unit = next(u, 300000);
	assert_int_equal(unit->file_count, UNIT_FILES_MAX);
	assert_true(unit->has_too_many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_rename_settles_soon),
		cmocka_unit_test(test_writing_in_place_needs_quiet_or_a_later_step),
		cmocka_unit_test(test_files_of_one_step_form_one_unit),
		cmocka_unit_test(test_what_was_there_is_not_new),
		cmocka_unit_test(test_newest_first_and_superseded),
		cmocka_unit_test(test_changed_while_it_was_shipped),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_folders),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_announced),
		cmocka_unit_test(test_one_of_fewer_files_than_the_save_before_waits),
		cmocka_unit_test(test_what_was_put_back_says_how_many_files_a_save_has),
		cmocka_unit_test(test_the_table_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
