/* worker/checkpoints: objects that have to go while the store is away, and answers that nobody waits for. */
#include "worker/checkpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "tests/unit/attempt.h"
#include "tests/unit/folder.h"

struct away { /* the store, moved and put back */
	char *there, *elsewhere;
};

static void away_begin(struct run *run, struct away *away)
{
	away->there = folder_path(run->folder, "store");
	away->elsewhere = folder_path(run->folder, "moved");
	assert_int_equal(rename(away->there, away->elsewhere), 0);
	folder_text(run->folder, "store", "not a folder");
}

static void away_end(struct away *away)
{
	assert_int_equal(remove(away->there), 0);
	assert_int_equal(rename(away->elsewhere, away->there), 0);
	free(away->there);
	free(away->elsewhere);
}

static void save(struct run *run, const char *name)
{
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 50, NULL, &len);
	folder_put(run->checkpoints, name, bytes, len);
}

static void ship_one(struct run *run, const char *name)
{
	int shipped = run->shipped;
	save(run, name);
	RUN_UNTIL(run, run->shipped > shipped);
}

static void test_the_store_is_away(void **state)
{
	struct run *run = *state;
	CLEANUP(free_p) char *store = folder_path(run->folder, "store");
	struct away away;
	run_begin(run);
	ship_one(run, "step-1.safetensors");
	CLEANUP(free_p) char *id = mem_strdup(run->id);
	away_begin(run, &away);
	checkpoints_delete(run->c, id, run->summary);
	RUN_UNTIL(run, run->problems == 1);
	assert_non_null(strstr(run->problem.message, "store"));
	save(run, "step-2.safetensors"); /* what is new waits as well, each for its own time */
	RUN_UNTIL(run, run->problems == 2);
	run_for(run, 1500);
	assert_int_equal(run->problems, 2); /* said once */
	assert_int_equal(run->deleted, 0);
	away_end(&away);
	RUN_UNTIL(run, run->deleted == 1 && run->shipped == 2);
	assert_int_equal(folder_count(store), 2);
}

/* At the end nobody waits for it: Redis remembers, and asks the next attempt. */
static void test_the_store_is_away_at_the_end(void **state)
{
	struct run *run = *state;
	struct away away;
	run_begin(run);
	ship_one(run, "step-1.safetensors");
	away_begin(run, &away);
	checkpoints_delete(run->c, run->id, NULL);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->deleted, 0);
	assert_int_equal(run->problems, 1);
	away_end(&away);
}

/* Of one that is not on its way: nothing is done, and the next is shipped as ever. */
static void test_answers_that_nobody_waits_for(void **state)
{
	struct run *run = *state;
	CLEANUP(free_p) char *store = folder_path(run->folder, "store");
	run_begin(run);
	checkpoints_committed(run->c, "2-1");
	checkpoints_refused(run->c, "2-1", true);
	run->hold = true;
	ship_one(run, "step-1.safetensors");
	checkpoints_committed(run->c, "1-7");
	checkpoints_refused(run->c, "1-7", true);
	run_for(run, 200);
	assert_int_equal(folder_count(store), 2);
	run->hold = false;
	checkpoints_committed(run->c, run->id);
	ship_one(run, "step-2.safetensors");
	assert_int_equal(folder_count(store), 4);
}

static void test_announced_in_vain(void **state)
{
	struct run *run = *state;
	run_begin(run);
	checkpoints_announce(run->c, "nothing.pt", 1, -1, NULL);
	assert_int_equal(run->problems, 1);
	assert_int_equal(run->problem.kind, ERR_NOT_FOUND);
	checkpoints_announce(run->c, "/etc/passwd", 1, -1, NULL);
	assert_int_equal(run->problems, 2);
	assert_int_equal(run->problem.kind, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_store_is_away, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_the_store_is_away_at_the_end, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_answers_that_nobody_waits_for, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_announced_in_vain, run_setup, run_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
