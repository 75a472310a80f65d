/* The pure parts around a run: how an attempt is judged, what a machine can give, what a run folder remembers, the
 * environment and the command line of a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "tests/unit/folder.h"
#include "worker/backend.h"
#include "worker/capacity.h"
#include "worker/environment.h"
#include "worker/outcome.h"
#include "worker/run_folder.h"
#include "worker/slots.h"

/* ---- outcome ---- */

#define EXITED(c)                                                                                                      \
	{                                                                                                              \
		.is_known = true, .code = (c)                                                                          \
	}
#define SIGNALED(s)                                                                                                    \
	{                                                                                                              \
		.is_known = true, .code = -1, .signal = (s)                                                            \
	}

static const struct {
	struct outcome_input in;
	const char *cause;
	const char *error; /* how it starts */
} outcomes[] = {
	{ { .was_started = true, .death = { .how = EXITED(0) } }, "succeeded", "" },
	{ { .was_started = true, .death = { .how = EXITED(1) } }, "error", "exit 1" },
	{ { .was_started = true, .death = { .how = EXITED(65) } }, "permanent", "exit 65" },
	{ { .was_started = true, .death = { .how = EXITED(78) } }, "permanent", "exit 78" },
	{ { .was_started = true, .death = { .how = EXITED(75) } },
	  "error",
	  "exit 75: it says that it is preempted, but nobody" },
	{ { .was_started = true, .death = { .how = SIGNALED(11) } }, "error", "killed by SIGSEGV" },
	{ { .was_started = true, .death = { .how = { .is_known = false, .code = -1 } } },
	  "error",
	  "ended in an unknown way" },
	/* asked to stop */
	{ { .stop = STOP_PREEMPT, .why = "its worker drains", .was_started = true, .death = { .how = EXITED(75) } },
	  "preempted",
	  "its worker" },
	{ { .stop = STOP_PREEMPT, .was_started = true, .death = { .how = SIGNALED(15) } }, "preempted", "preempted" },
	{ { .stop = STOP_PREEMPT, .was_started = true, .death = { .how = EXITED(0) } }, "preempted", "preempted" },
	{ { .stop = STOP_PREEMPT, .was_started = true, .death = { .how = EXITED(0) }, .said_done = true },
	  "succeeded",
	  "" },
	{ { .stop = STOP_PREEMPT, .was_started = true, .death = { .how = EXITED(1) }, .said_done = true },
	  "preempted",
	  "" },
	{ { .stop = STOP_PREEMPT }, "preempted", "" },
	{ { .stop = STOP_CANCEL, .was_started = true, .death = { .how = EXITED(0) }, .said_done = true },
	  "cancelled",
	  "cancelled" },
	{ { .stop = STOP_TIMEOUT, .was_started = true, .death = { .how = SIGNALED(9) } }, "timeout", "it ran longer" },
	{ { .stop = STOP_STALLED, .was_started = true, .death = { .how = SIGNALED(9) } },
	  "stalled",
	  "nothing was heard" },
	{ { .stop = STOP_CORRUPTED, .why = "loss", .was_started = true, .death = { .how = EXITED(0) } },
	  "corrupted",
	  "loss" },
	{ { .stop = STOP_PARTITION, .was_started = true, .death = { .how = SIGNALED(9) } },
	  "lost",
	  "redis could not be reached" },
	/* said by the program */
	{ { .was_started = true, .death = { .how = EXITED(0) }, .said_corrupted = true, .why = "bad" },
	  "corrupted",
	  "bad" },
	{ { .was_started = true, .death = { .how = EXITED(1) }, .said_corrupted = true, .why = "bad" },
	  "corrupted",
	  "bad" },
	/* not started */
	{ { .failure = "no such program" }, "error", "no such program" },
	{ { .failure = "bad spec", .is_permanent = true }, "permanent", "bad spec" },
};

static void test_outcomes_by_the_rules_of_the_spec(void **state)
{
	static char two[] = "2", sixty_five[] = "65", *never[] = { two }, *wanted[] = { sixty_five };
	static const struct {
		struct child_exit how;
		enum stop_reason stop;
		const char *cause, *error;
		bool is_own_fault;
	} rows[] = {
		{ EXITED(2), STOP_NONE, "permanent",
		  "exit 2, without a word; not tried again: retry.never_on_exit names it", true },
		{ EXITED(65), STOP_NONE, "error", "exit 65: the program says that its input is wrong", true },
		{ EXITED(78), STOP_NONE, "permanent",
		  "exit 78: the program says that it cannot run like this; not tried again: retry.on_exit does not "
		  "have it",
		  false },
		{ EXITED(2), STOP_TIMEOUT, "timeout", "it ran longer than its timeout", false },
		{ EXITED(2), STOP_CANCEL, "cancelled", "cancelled", false },
		{ EXITED(0), STOP_NONE, "succeeded", "", false },
	};
	(void)state;
	struct spec spec = { .retry = { .never_on_exit = { never, 1 }, .on_exit = { wanted, 1 } } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct outcome out;
		struct outcome_input in = { .stop = rows[i].stop,
					    .why = "",
					    .was_started = true,
					    .death = { .how = rows[i].how, .tail = "" },
					    .failure = "",
					    .spec = &spec };
		outcome_of(&in, &out);
		assert_string_equal(out.cause, rows[i].cause);
		assert_string_equal(out.error, rows[i].error);
		assert_int_equal(out.is_own_fault, rows[i].is_own_fault);
	}
}

static void test_outcomes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
		struct outcome_input in = outcomes[i].in;
		struct outcome out;
		in.why = in.why ? in.why : "";
		in.failure = in.failure ? in.failure : "";
		outcome_of(&in, &out);
		if (strcmp(out.cause, outcomes[i].cause) != 0 ||
		    strncmp(out.error, outcomes[i].error, strlen(outcomes[i].error)) != 0)
			fail_msg("row %zu: got %s: %s", i, out.cause, out.error);
		assert_int_equal(out.exit_code, in.was_started && in.death.how.is_known && !in.death.how.signal
							? in.death.how.code
							: -1);
		assert_int_equal(out.signal, in.was_started ? in.death.how.signal : 0);
	}
}

/* ---- slots ---- */

static void test_slots(void **state)
{
	(void)state;
	struct slots slots = { .total = { .cpus = 4, .memory_bytes = 1000, .gpus = slots_gpu_mask(3) } };
	struct grant a, b, c;
	char text[64];
	assert_true(slots_take(&slots, 1, 100, 2, &a));
	slots_gpu_text(a.gpus, text, sizeof text);
	assert_string_equal(text, "0,1");
	assert_false(slots_take(&slots, 1, 100, 2, &b)); /* one GPU is left */
	assert_false(slots_take(&slots, 4, 100, 0, &b));
	assert_false(slots_take(&slots, 1, 901, 0, &b));
	assert_true(slots_take(&slots, 3, 900, 1, &b));
	assert_int_equal(a.gpus & b.gpus, 0);
	slots_give(&slots, &a);
	assert_true(slots_take(&slots, 1, 100, 1, &c));
	assert_int_equal(b.gpus & c.gpus, 0);
	/* adopted: more than there is now */
	struct grant held = { .cpus = 8, .memory_bytes = 5000, .gpus = slots_gpu_mask(3) };
	slots_hold(&slots, &held);
	struct grant left = slots_free(&slots);
	assert_int_equal(left.cpus, 0);
	assert_int_equal(left.memory_bytes, 0);
	assert_int_equal(left.gpus, 0);
	assert_int_equal(slots_gpu_mask(64), UINT64_MAX);
	assert_int_equal(slots_gpu_count(UINT64_MAX), 64);
}

static void test_capacity(void **state)
{
	(void)state;
	struct error err = { 0 };
	struct grant total;
	struct worker_settings s = { .gpus = (char *)"2" };
	assert_true(capacity_find(&s, &total, &err));
	assert_int_equal(total.gpus, 3);
	assert_true(total.cpus >= 1 && total.memory_bytes > 1024 * 1024);
	s = (struct worker_settings){ .gpus = (char *)"0", .cpus = 7, .memory_bytes = 99 };
	assert_true(capacity_find(&s, &total, &err));
	assert_int_equal(total.cpus, 7);
	assert_int_equal(total.memory_bytes, 99);
	s.gpus = (char *)"many";
	assert_false(capacity_find(&s, &total, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	CLEANUP(free_p) char *labels = capacity_labels("zone=b,gpu=a100", &err);
	assert_string_equal(labels, "{\"gpu\":\"a100\",\"zone\":\"b\"}");
	CLEANUP(free_p) char *none = capacity_labels(NULL, &err);
	assert_string_equal(none, "{}");
	assert_null(capacity_labels("zone", &err));
	assert_null(capacity_labels("=b", &err));
}

/* ---- the run folder ---- */

static const struct claim gpu_claim = { .ref = { .queue = "gpu", .n = 42, .uid = "00ff", .token = "123" },
					.id = "gpu-42",
					.attempt = 2,
					.lease_ms = 5000,
					.installation = "abc",
					.spec_json = "{\"name\":\"\xc3\xa4\"}xx",
					.spec_len = 13,
					.resume = "1-1",
					.checkpoint = "{}",
					.scheduled_ms = 1795647454356,
					.corrupted = 2 };

/* Made in a fresh state folder (*top); the caller removes it. */
static char *run_make(char **top, struct run_record *record, int *lock)
{
	struct error err = { 0 };
	char *folder = NULL;
	*top = folder_make();
	run_record_from_claim(record, &gpu_claim, 777);
	record->grant = (struct grant){ .cpus = 2, .memory_bytes = 5, .gpus = 0x8000000000000005 };
	assert_true(run_folders_make(*top, &err));
	assert_true(run_folder_make(*top, record, &folder, lock, &err));
	assert_string_equal(strrchr(folder, '/'), "/gpu-42-123");
	return folder;
}

static void test_run_record(void **state)
{
	(void)state;
	struct error err = { 0 };
	char *top;
	int lock = -1;
	CLEANUP(run_record) struct run_record record = { 0 };
	CLEANUP(run_record) struct run_record back = { 0 };
	CLEANUP(free_p) char *folder = run_make(&top, &record, &lock);
	assert_true(run_folder_read(folder, &back, &err));
	assert_memory_equal(&back.ref, &record.ref, sizeof back.ref);
	assert_string_equal(back.id, "gpu-42");
	assert_string_equal(back.spec_json, "{\"name\":\"\xc3\xa4\"}");
	assert_string_equal(back.resume, "1-1");
	assert_string_equal(back.boot, record.boot);
	assert_int_equal(back.grant.gpus, record.grant.gpus);
	assert_int_equal(back.claimed_boot_ms, 777);
	assert_int_equal(back.scheduled_ms, 1795647454356);
	assert_int_equal(back.corrupted, 2);

	struct run_pid runner = { 100, 5 }, program = { 101, 6 }, r, p;
	run_pids_read(folder, &r, &p);
	assert_int_equal(r.pid, 0);
	assert_true(run_pid_note(folder, "runner", &runner, &err));
	run_pids_read(folder, &r, &p);
	assert_int_equal(r.pid, 100);
	assert_int_equal(p.pid, 0);
	assert_true(run_pid_note(folder, "program", &program, &err));
	run_pids_read(folder, &r, &p);
	assert_int_equal(r.pid, 100);
	assert_int_equal(p.start, 6);
	assert_int_equal(run_lease_read(folder), 0);
	assert_true(run_lease_write(folder, 123456789012, &err));
	assert_int_equal(run_lease_read(folder), 123456789012);
	close(lock);
	folder_remove(top);
}

static void test_run_folder(void **state)
{
	(void)state;
	struct error err = { 0 };
	char *top;
	int lock = -1, other = -1;
	CLEANUP(run_record) struct run_record record = { 0 };
	CLEANUP(free_p) char *again = NULL;
	CLEANUP(free_p) char *finished = NULL;
	CLEANUP(free_p) char *folder = run_make(&top, &record, &lock);
	assert_int_equal(run_folder_lock(folder, &other, &err), RUN_LOCK_HELD);
	assert_false(run_folder_make(top, &record, &again, &other, &err));
	assert_int_equal(err.kind, ERR_CONFLICT);
	close(lock);
	assert_int_equal(run_folder_lock(folder, &other, &err), RUN_LOCK_TAKEN);
	close(other);
	assert_true(run_folder_retire(folder, RUN_FINISHED, &finished, &err));
	assert_false(folder_has(top, "runs/gpu-42-123"));
	assert_true(folder_has(top, "finished/gpu-42-123/run.json"));
	assert_true(folder_has(top, "finished/gpu-42-123/output"));
	assert_true(folder_has(top, "finished/gpu-42-123/work"));
	folder_text(top, "finished/gpu-42-123/work/left", "x");
	run_folder_trim(finished);
	assert_true(folder_has(top, "finished/gpu-42-123/work"));
	assert_false(folder_has(top, "finished/gpu-42-123/work/left"));
	run_folders_prune(top, 1);
	assert_true(folder_has(top, "finished/gpu-42-123"));
	run_folders_prune(top, 0);
	assert_false(folder_has(top, "finished/gpu-42-123"));
	folder_remove(top);
}

/* ---- the program ---- */

static const char *value_of(const struct environment *e, const char *name)
{
	for (size_t i = 0; i < e->count; i++)
		if (!strncmp(e->items[i], name, strlen(name)) && e->items[i][strlen(name)] == '=')
			return e->items[i] + strlen(name) + 1;
	return NULL;
}

static void test_environment(void **state)
{
	static const char *const from[] = { "PATH=/bin", "STOKER_REDIS_URL=redis://:secret@h", "NOTIFY_SOCKET=/x",
					    "A=1", NULL };
	(void)state;
	CLEANUP(environment) struct environment e = { 0 };
	environment_inherit(&e, from);
	environment_set(&e, "A", "2");
	environment_set_default(&e, "A", "3");
	environment_set_default(&e, "B", "4");
	assert_int_equal(e.count, 3);
	assert_string_equal(value_of(&e, "A"), "2");
	assert_string_equal(value_of(&e, "B"), "4");
	assert_null(value_of(&e, "STOKER_REDIS_URL"));
	assert_null(e.items[e.count]);
}

static void check_command(const char *const *command, size_t count, const char *resume, const char *expected)
{
	struct error err = { 0 };
	struct spec spec = { .command = { (char **)command, count } };
	struct backend_run run = { .spec = &spec, .resume = resume };
	struct launch launch = { 0 };
	CLEANUP(buf) struct buf b;
	buf_init(&b, 4096);
	assert_true(backend_of(BACKEND_COMMAND)->validate(&run, &err));
	assert_true(backend_of(BACKEND_COMMAND)->launch(&run, &launch, &err));
	for (size_t i = 0; i < launch.argv.count; i++)
		buf_printf(&b, "%s[%s]", i ? " " : "", launch.argv.items[i]);
	assert_string_equal(buf_text(&b), expected);
	assert_null(launch.argv.items[launch.argv.count]);
	launch_done(&launch);
}

static void test_command(void **state)
{
	(void)state;
	const char *const plain[] = { "python3", "train.py" };
	const char *const resuming[] = { "train", "{{resume}}", "--from={{resume}}", "{{resume}}{{resume}}" };
	check_command(plain, 2, NULL, "[python3] [train.py]");
	check_command(resuming, 4, NULL, "[train] [--from=] []");
	check_command(resuming, 4, "/c k", "[train] [/c k] [--from=/c k] [/c k/c k]");
	struct error err = { 0 };
	struct spec empty = { 0 };
	struct backend_run run = { .spec = &empty };
	assert_false(backend_of(BACKEND_COMMAND)->validate(&run, &err));
	assert_int_equal(err.kind, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcomes),    cmocka_unit_test(test_outcomes_by_the_rules_of_the_spec),
		cmocka_unit_test(test_slots),       cmocka_unit_test(test_capacity),
		cmocka_unit_test(test_run_record),  cmocka_unit_test(test_run_folder),
		cmocka_unit_test(test_environment), cmocka_unit_test(test_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
