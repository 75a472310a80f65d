/* queue/state: the table is whole: every row names states that exist, and final ones absorb. */
#include "queue/state.h"

#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static bool is_state(const char *name)
{
	size_t count;
	const struct state_row *rows = state_rows(&count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return true;
	return false;
}

static void test_rows_name_states(void **state)
{
	(void)state;
	size_t count;
	const struct state_move *moves = state_moves(&count);
	for (size_t i = 0; i < count; i++) {
		assert_true(is_state(moves[i].to));
		assert_true(is_state(moves[i].from) || strcmp(moves[i].from, "new") == 0);
		assert_string_equal(state_next(moves[i].from, moves[i].event), moves[i].to);
	}
}

/* With two rows of one state and event the second would never be found. */
static void test_an_event_decides(void **state)
{
	(void)state;
	size_t count;
	const struct state_move *moves = state_moves(&count);
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			assert_false(strcmp(moves[i].from, moves[j].from) == 0 &&
				     strcmp(moves[i].event, moves[j].event) == 0);
}

static void test_final_states_absorb(void **state)
{
	(void)state;
	size_t count, finals = 0;
	const struct state_move *moves = state_moves(&count);
	for (size_t i = 0; i < count; i++)
		assert_false(state_is_final(moves[i].from));
	const struct state_row *rows = state_rows(&count);
	for (size_t i = 0; i < count; i++)
		finals += rows[i].is_final;
	assert_int_equal(finals, 3);
	assert_null(state_next("succeeded", "retry"));
	assert_null(state_next("running", "claim"));
	assert_false(state_is_final("odd"));
}

/* From each state some way leads to an end. */
static void test_everything_can_end(void **state)
{
	(void)state;
	size_t count, states;
	const struct state_row *rows = state_rows(&states);
	const struct state_move *moves = state_moves(&count);
	for (size_t i = 0; i < states; i++) {
		bool ends = rows[i].is_final;
		for (size_t j = 0; j < count; j++)
			ends |= strcmp(moves[j].from, rows[i].name) == 0 && state_is_final(moves[j].to);
		assert_true(ends);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_name_states),
		cmocka_unit_test(test_an_event_decides),
		cmocka_unit_test(test_final_states_absorb),
		cmocka_unit_test(test_everything_can_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
