#include "tests/unit/attempt.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "tests/unit/folder.h"

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
		checkpoints_refused(run->c, id, false);
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

void run_begin_young(struct run *run)
{
	struct error err;
	run->options.work_dir = run->work;
	run->options.checkpoint_dir = run->checkpoints;
	run->options.run_dir = run->runs;
	run->c = checkpoints_new(&run->options, &err);
	if (!run->c)
		fail_msg("%s", err.message);
}

void run_begin(struct run *run)
{
	run_begin_young(run);
	RUN_UNTIL(run, has_inotify());
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

int run_setup(void **state)
{
	*state = run_new();
	return 0;
}

int run_teardown(void **state)
{
	run_free(*state);
	return 0;
}

void run_turn(struct run *run)
{
	struct timeval at_most = { .tv_usec = 20000 };
	event_base_loopexit(run->base, &at_most);
	event_base_loop(run->base, EVLOOP_ONCE); /* not longer: a test may want to see what lives for a moment */
}

void run_for(struct run *run, int64_t ms)
{
	for (int64_t end_ms = clock_boot_ms() + ms; clock_boot_ms() < end_ms;)
		run_turn(run);
}

void run_restore_again(struct run *run)
{
	struct error err;
	run->is_restored = false;
	if (!checkpoint_restore_start(&run->options, run->id, run->summary, on_restored, run, &err))
		fail_msg("%s", err.message);
	RUN_UNTIL(run, run->is_restored);
}

void run_restore(struct run *run)
{
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
	run_restore_again(run);
}

void assert_file(const char *folder, const char *name, const void *data, size_t len)
{
	size_t got;
	CLEANUP(free_p) char *bytes = folder_read(folder, name, &got);
	assert_int_equal(got, len);
	assert_memory_equal(bytes, data, len);
}

int64_t summary_number(const struct run *run, const char *key)
{
	json_t *root = json_loads(run->summary, 0, NULL);
	assert_non_null(root);
	const json_t *value = json_object_get(root, key);
	int64_t number = json_is_integer(value) ? json_integer_value(value) : json_is_true(value);
	json_decref(root);
	return number;
}
