/*
 * Checkpoints end to end: real files, real helper processes, a real store; only Redis is
 * played by the test, which answers on_shipped.
 */
#include "worker/checkpoints.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"

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

static void on_shipped(void *arg, const char *id, const char *summary)
{
	struct run *run = arg;
	run->shipped++;
	str_copy(run->id, sizeof run->id, id);
	free(run->summary);
	run->summary = mem_strdup(summary);
	if (run->hold)
		return;
	if (run->refuse)
		checkpoints_refused(run->c, id);
	else
		checkpoints_committed(run->c, id);
}

static void on_problem(void *arg, const char *what, const struct error *err)
{
	struct run *run = arg;
	(void)what;
	run->problems++;
	run->problem = *err;
}

static void on_idle(void *arg)
{
	((struct run *)arg)->is_idle = true;
}

static void on_deleted(void *arg, const char *id)
{
	(void)id;
	((struct run *)arg)->deleted++;
}

static void on_restored(void *arg, bool ok, const char *resume, int64_t step, const struct error *err)
{
	struct run *run = arg;
	run->is_restored = true;
	run->restored_ok = ok;
	free(run->resume);
	run->resume = mem_strdup(resume);
	run->resume_step = step;
	if (err)
		run->restore_error = *err;
}

static void run_begin(struct run *run)
{
	struct error err;
	run->options.work_dir = run->work;
	run->options.checkpoint_dir = run->checkpoints;
	run->options.run_dir = run->runs;
	run->c = checkpoints_new(&run->options, &err);
	if (!run->c)
		fail_msg("%s", err.message);
}

static struct run *run_new(void)
{
	struct run *run = mem_alloc(sizeof *run);
	run->folder = folder_make();
	folder_mkdir(run->folder, "store");
	folder_mkdir(run->folder, "run");
	folder_mkdir(run->folder, "run/work");
	folder_mkdir(run->folder, "run/checkpoints");
	run->store = mem_printf("file://%s/store", run->folder);
	run->runs = folder_path(run->folder, "run");
	run->work = folder_path(run->folder, "run/work");
	run->checkpoints = folder_path(run->folder, "run/checkpoints");
	run->base = event_base_new();
	run->options = (struct checkpoints_options){
		.base = run->base,
		.spec = &run->spec,
		.store = run->store,
		.installation = "0123456789ab",
		.job = "gpu-42",
		.uid = "00112233445566778",
		.token = "1795329305800",
		.attempt = 2,
		.on_shipped = on_shipped,
		.on_problem = on_problem,
		.on_idle = on_idle,
		.on_deleted = on_deleted,
		.arg = run,
	};
	return run;
}

static void run_free(struct run *run)
{
	checkpoints_free(run->c);
	event_base_free(run->base);
	free(run->store);
	free(run->work);
	free(run->checkpoints);
	free(run->runs);
	free(run->summary);
	free(run->resume);
	folder_remove(run->folder);
	free(run);
}

static int setup(void **state)
{
	*state = run_new();
	return 0;
}

static int teardown(void **state)
{
	run_free(*state);
	return 0;
}

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

static void run_turn(struct run *run)
{
	struct timeval at_most = { .tv_usec = 20000 };
	event_base_loopexit(run->base, &at_most);
	event_base_dispatch(run->base);
}

static void run_for(struct run *run, int64_t ms)
{
	for (int64_t end_ms = clock_boot_ms() + ms; clock_boot_ms() < end_ms;)
		run_turn(run);
}

/* The run is over and a new one begins, with fresh folders. */
static void run_restore(struct run *run)
{
	struct error err;
	checkpoints_free(STEAL(run->c));
	free(run->runs);
	free(run->work);
	free(run->checkpoints);
	folder_mkdir(run->folder, "next");
	folder_mkdir(run->folder, "next/work");
	folder_mkdir(run->folder, "next/checkpoints");
	run->runs = folder_path(run->folder, "next");
	run->work = folder_path(run->folder, "next/work");
	run->checkpoints = folder_path(run->folder, "next/checkpoints");
	run->options.work_dir = run->work;
	run->options.checkpoint_dir = run->checkpoints;
	run->options.run_dir = run->runs;
	run->options.token = "1795329999999";
	run->options.attempt++;
	run->is_restored = false;
	if (!checkpoint_restore_start(&run->options, run->id, run->summary, on_restored, run, &err))
		fail_msg("%s", err.message);
	RUN_UNTIL(run, run->is_restored);
}

static void assert_same(const char *folder, const char *name, const void *data, size_t len)
{
	size_t got;
	CLEANUP(free_p) char *bytes = folder_read(folder, name, &got);
	assert_int_equal(got, len);
	assert_memory_equal(bytes, data, len);
}

static int64_t summary_number(const struct run *run, const char *key)
{
	json_t *root = json_loads(run->summary, 0, NULL);
	assert_non_null(root);
	const json_t *value = json_object_get(root, key);
	int64_t number = json_is_integer(value) ? json_integer_value(value) : json_is_true(value);
	json_decref(root);
	return number;
}

/* ---- tests ---- */

static void test_announced_file_goes_there_and_back(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("opt.w", 5000, "{\"step\":\"200\"}", &len);
	run_begin(run);
	folder_put(run->checkpoints, "step-200.safetensors", bytes, len);
	CLEANUP(free_p) char *path = folder_path(run->checkpoints, "step-200.safetensors");
	int64_t before_ms = clock_boot_ms();
	checkpoints_announce(run->c, path, 200, 1, NULL);
	RUN_UNTIL(run, run->shipped == 1);
	assert_true(clock_boot_ms() - before_ms < 2000);
	assert_string_equal(run->id, "2-1");
	assert_int_equal(summary_number(run, "step"), 200);
	assert_int_equal(summary_number(run, "optimizer"), 1);
	assert_int_equal(summary_number(run, "files"), 1);
	assert_true(folder_has(run->folder, "store/0123456789ab/checkpoints/gpu-42-00112233445566778/1795329305800/1/"
					    "manifest.json"));
	run_restore(run);
	assert_true(run->restored_ok);
	assert_int_equal(run->resume_step, 200);
	CLEANUP(free_p) char *resume = folder_path(run->checkpoints, "step-200.safetensors");
	assert_string_equal(run->resume, resume);
	assert_same(run->checkpoints, "step-200.safetensors", bytes, len);

	/* What was restored is nothing new. */
	run->shipped = 0;
	run_begin(run);
	checkpoints_ended(run->c, true);
	checkpoints_flush(run->c);
	RUN_UNTIL(run, run->is_idle);
	assert_int_equal(run->shipped, 0);
}

static void test_quiet_file_is_found(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 100, NULL, &len);
	run_begin(run);
	folder_write(run->checkpoints, "model.safetensors", bytes, len / 2);
	run_for(run, 300);
	assert_int_equal(run->shipped, 0);
	folder_write(run->checkpoints, "model.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 1);
	assert_int_equal(run->problems, 0);
	run_for(run, 1500);
	assert_int_equal(run->shipped, 1);
	folder_put(run->checkpoints, "model.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 2);
	assert_string_equal(run->id, "2-2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_announced_file_goes_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_file_is_found, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
