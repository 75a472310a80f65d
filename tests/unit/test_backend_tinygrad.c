/* worker/backend_tinygrad: what it refuses, what it writes for the trainer, where it looks for it. */
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

#define TRAIN "\"train\":{\"task\":\"classifier\",\"data\":\"/x.csv\",\"steps\":10}"

struct fixture {
	char *folder;
	char *trainer;
	struct spec spec;
	struct backend_settings settings;
	struct backend_run run;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	folder_text(f->folder, "train.py", "");
	f->trainer = folder_path(f->folder, "train.py");
	f->settings = (struct backend_settings){ .python = "/bin/sh", .trainer = f->trainer, .cache_dir = "/cache" };
	f->run = (struct backend_run){ .spec = &f->spec, .settings = &f->settings, .run_dir = f->folder };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	spec_done(&f->spec);
	free(f->trainer);
	folder_remove(f->folder);
	free(f);
	return 0;
}

static void decode(struct fixture *f, const char *rest)
{
	struct error err = { 0 };
	CLEANUP(free_p) char *text = mem_printf("{\"backend\":\"tinygrad\",%s%s}", TRAIN, rest);
	spec_done(&f->spec);
	if (!spec_from_json(text, strlen(text), &f->spec, &err))
		fail_msg("%s", err.message);
}

/* The train.json that a launch leaves behind. */
static char *launched(struct fixture *f)
{
	struct error err = { 0 };
	struct launch launch = { 0 };
	assert_true(backend_tinygrad.launch(&f->run, &launch, &err));
	assert_int_equal(launch.argv.count, 3);
	assert_string_equal(launch.argv.items[0], "/bin/sh");
	assert_string_equal(launch.argv.items[1], f->trainer);
	size_t len;
	CLEANUP(free_p) char *path = folder_path(f->folder, "train.json");
	assert_string_equal(launch.argv.items[2], path);
	launch_done(&launch);
	return folder_read(f->folder, "train.json", &len);
}

static void test_what_the_trainer_is_told(void **state)
{
	struct fixture *f = *state;
	decode(f, ",\"checkpoint\":{\"every\":\"200 steps\"}");
	CLEANUP(free_p) char *steps = launched(f);
	assert_non_null(strstr(steps, "\"steps\":10"));
	assert_non_null(strstr(steps, "\"optimize\":false")); /* every default is in place */
	assert_non_null(strstr(steps, "\"checkpoint\":{\"every_steps\":200,\"every_ms\":0}"));
	decode(f, ",\"checkpoint\":{\"every\":\"5s\"}");
	CLEANUP(free_p) char *time = launched(f);
	assert_non_null(strstr(time, "\"checkpoint\":{\"every_steps\":0,\"every_ms\":5000}"));
	decode(f, "");
	CLEANUP(free_p) char *unsaid = launched(f);
	assert_non_null(strstr(unsaid, "\"checkpoint\":{\"every_steps\":0,\"every_ms\":30000}"));
}

static void test_kernels_are_kept_from_run_to_run(void **state)
{
	struct fixture *f = *state;
	struct launch launch = { 0 };
	decode(f, "");
	assert_true(backend_tinygrad.launch(&f->run, &launch, NULL));
	const char *cache = NULL;
	for (size_t i = 0; i < launch.env.count; i++)
		if (strcmp(launch.env.items[i].key, "CACHEDB") == 0)
			cache = launch.env.items[i].value;
	assert_non_null(cache);
	assert_string_equal(cache, "/cache/tinygrad.db");
	launch_done(&launch);
}

static void test_what_is_missing_is_said(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	decode(f, "");
	assert_true(backend_tinygrad.validate(&f->run, &err));
	f->settings.python = "/nowhere/python";
	assert_false(backend_tinygrad.validate(&f->run, &err));
	assert_int_equal(err.kind, ERR_SYSTEM);
	assert_non_null(strstr(err.message, "/nowhere/python: No such file"));
	assert_non_null(strstr(err.hint, "scripts/bootstrap.sh"));
	f->settings.python = "/bin/sh";
	f->settings.trainer = "/nowhere/train.py";
	assert_false(backend_tinygrad.validate(&f->run, &err));
	assert_non_null(strstr(err.message, "/nowhere/train.py"));
	f->settings.trainer = f->trainer;
	free(STEAL(f->spec.train_json));
	assert_false(backend_tinygrad.validate(&f->run, &err));
	assert_int_equal(err.kind, ERR_INPUT);
}

static void test_where_it_looks(void **state)
{
	(void)state;
	CLEANUP(free_p) char *python = backend_find_python();
	CLEANUP(free_p) char *trainer = backend_find_trainer();
	assert_non_null(strstr(python, "stoker/venv/bin/python"));
	/* Beside this program there is none: where make install puts it. */
	assert_non_null(strstr(trainer, "/tests/unit/../share/stoker/trainer/train.py"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_the_trainer_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernels_are_kept_from_run_to_run, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_missing_is_said, setup, teardown),
		cmocka_unit_test(test_where_it_looks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
