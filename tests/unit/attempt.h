/*
 * An attempt whose runner is played by the test: real folders, a real store, real helper
 * processes; only Redis is not there, on_shipped is answered at once.
 */
#ifndef STOKER_TESTS_UNIT_ATTEMPT_H
#define STOKER_TESTS_UNIT_ATTEMPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/clock.h"
#include "worker/checkpoints.h"

#define DEADLINE_MS 20000

struct run {
	char *folder;
	char *store, *work, *checkpoints, *runs;
	struct event_base *base;
	struct spec spec;
	struct checkpoints_options options;
	struct checkpoints *c;

	/* what was told */
	int shipped, problems, deleted;
	bool is_idle;
	char id[48];
	char *summary;
	struct error problem;
	bool refuse;
	bool hold; /* answer no on_shipped */

	bool is_restored, restored_ok;
	char *resume;
	int64_t resume_step;
	struct error restore_error;
};

/* cmocka's setup and teardown: *state is a struct run. */
int run_setup(void **state);
int run_teardown(void **state);

/* The program is about to start. */
void run_begin(struct run *run);
void run_begin_young(struct run *run); /* before the watch has begun */

/* Turns the loop once, for at most 20 ms. */
void run_turn(struct run *run);
void run_for(struct run *run, int64_t ms);

/* The run is over; a new one, with fresh folders, restores run->id by run->summary. */
void run_restore(struct run *run);
/* Into the folders as they are. */
void run_restore_again(struct run *run);

/* A number or a boolean of the last summary. */
int64_t summary_number(const struct run *run, const char *key);

void assert_file(const char *folder, const char *name, const void *data, size_t len);

/* Turns the loop until the condition holds. */
#define RUN_UNTIL(run, condition)                                                                                      \
	do {                                                                                                           \
		int64_t end_ms_ = clock_boot_ms() + DEADLINE_MS;                                                       \
		while (!(condition)) {                                                                                 \
			if (clock_boot_ms() > end_ms_)                                                                 \
				fail_msg("not in time: %s (problem: %s)", #condition, (run)->problem.message);         \
			run_turn(run);                                                                                 \
		}                                                                                                      \
	} while (0)

#endif
