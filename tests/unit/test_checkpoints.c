/* What is found, when it is believed, and that it comes back as it was. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "tests/unit/attempt.h"
#include "tests/unit/folder.h"

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
	assert_file(run->checkpoints, "step-200.safetensors", bytes, len);

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
	run_for(run, 500);
	assert_int_equal(run->shipped, 1);
	folder_put(run->checkpoints, "model.safetensors", bytes, len);
	RUN_UNTIL(run, run->shipped == 2);
	assert_string_equal(run->id, "2-2");
}

/* Name of the file, steps before and after it: an in-place saver whose save returned. */
static void test_a_later_step_ends_the_waiting(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 100, NULL, &len);
	run_begin(run);
	struct marks marks = { .count = 0 };
	marks_add(&marks, "loss", 0.5);
	marks_add(&marks, "eval/acc", 0.75);
	marks_add(&marks, "perplexity", NAN);
	checkpoints_step(run->c, 70, &marks);
	folder_write(run->checkpoints, "model.safetensors", bytes, len);
	int64_t before_ms = clock_boot_ms();
	run_for(run, 150);
	marks_note(&marks, "LOSS", 0.4);
	checkpoints_step(run->c, 71, &marks);
	RUN_UNTIL(run, run->shipped == 1);
	assert_true(clock_boot_ms() - before_ms < 1500);
	assert_int_equal(summary_number(run, "step"), 70);
	assert_non_null(strstr(run->summary, "\"loss\":0.5,\"metrics\":{\"loss\":0.5,\"eval/acc\":0.75}"));
}

/* A folder as Hugging Face writes it: in place, trainer_state.json last, in pieces. */
static void test_folder_checkpoint(void **state)
{
	struct run *run = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 3000, NULL, &len);
	run_begin(run);
	folder_write(run->checkpoints, "checkpoint-30/model.safetensors", bytes, len);
	folder_write(run->checkpoints, "checkpoint-30/empty", "", 0);
	folder_write(run->checkpoints, "checkpoint-30/a/b/c.txt", "deep", 4);
	folder_mkdir(run->checkpoints, "checkpoint-30/hollow");
	folder_text(run->checkpoints, "checkpoint-30/optimizer.pt", "not a zip");
	CLEANUP(free_p) char *script = folder_path(run->checkpoints, "checkpoint-30/a/b/c.txt");
	assert_int_equal(chmod(script, 0751), 0);
	run_for(run, 500);
	folder_text(run->checkpoints, "checkpoint-30/trainer_state.json", "{\"global_step\": 31}");
	RUN_UNTIL(run, run->shipped == 1);
	assert_int_equal(summary_number(run, "step"), 31);
	assert_int_equal(summary_number(run, "optimizer"), 1);
	assert_int_equal(summary_number(run, "files"), 5);
	run_restore(run);
	assert_true(run->restored_ok);
	CLEANUP(free_p) char *folder = folder_path(run->checkpoints, "checkpoint-30");
	assert_string_equal(run->resume, folder);
	assert_file(folder, "model.safetensors", bytes, len);
	assert_file(folder, "a/b/c.txt", "deep", 4);
	assert_file(folder, "empty", "", 0);
	assert_true(folder_has(folder, "hollow"));
	CLEANUP(free_p) char *restored = folder_path(folder, "a/b/c.txt");
	struct stat st;
	assert_int_equal(stat(restored, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0751);
}

/* An unchanged script that rewrites out/model.pt and out/optimizer.pt: both or nothing. */
static void test_patterns(void **state)
{
	struct run *run = *state;
	char *patterns[] = { mem_strdup("out/*.pt"), mem_strdup("runs/*/checkpoint-*") };
	run->spec.checkpoint.paths = (struct spec_list){ .items = patterns, .count = 2 };
	folder_text(run->work, "train.py", "import torch");
	run_begin(run);
	folder_text(run->work, "out/model.pt", "the model");
	folder_text(run->work, "out/optimizer.pt", "the optimizer");
	folder_text(run->work, "out/notes.txt", "not a checkpoint");
	run_for(run, 150);
	checkpoints_step(run->c, 10, NULL);
	RUN_UNTIL(run, run->shipped == 1);
	assert_int_equal(summary_number(run, "files"), 2);
	CLEANUP(free_p) char *id = mem_strdup(run->id);
	CLEANUP(free_p) char *summary = mem_strdup(run->summary);

	folder_text(run->work, "runs/a/checkpoint-7/weights.bin", "weights");
	run_for(run, 150);
	checkpoints_step(run->c, 11, NULL);
	RUN_UNTIL(run, run->shipped == 2);
	assert_int_equal(summary_number(run, "step"), 7);
	run_restore(run);
	assert_true(run->restored_ok);
	CLEANUP(free_p) char *folder = folder_path(run->work, "runs/a/checkpoint-7");
	assert_string_equal(run->resume, folder);

	str_copy(run->id, sizeof run->id, id);
	free(run->summary);
	run->summary = STEAL(summary);
	folder_text(run->work, "out/model.pt", "torn, from a run that was killed");
	run_restore_again(run);
	assert_true(run->restored_ok);
	CLEANUP(free_p) char *out = folder_path(run->work, "out");
	assert_string_equal(run->resume, out);
	assert_file(run->work, "out/model.pt", "the model", 9);
	assert_file(run->work, "out/optimizer.pt", "the optimizer", 13);
	assert_false(folder_has(run->work, "out/notes.txt"));
	free(patterns[0]);
	free(patterns[1]);
}

static void test_bad_patterns_are_refused(void **state)
{
	struct run *run = *state;
	static const char *const bad[] = { "/etc/*", "../x", "a/../b", "" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *pattern = mem_strdup(bad[i]);
		struct error err;
		run->spec.checkpoint.paths = (struct spec_list){ .items = &pattern, .count = 1 };
		run->options.work_dir = run->work;
		run->options.checkpoint_dir = run->checkpoints;
		run->options.run_dir = run->runs;
		assert_null(checkpoints_new(&run->options, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		free(pattern);
	}
	run->spec.checkpoint.paths.count = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_announced_file_goes_there_and_back, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_quiet_file_is_found, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_a_later_step_ends_the_waiting, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_folder_checkpoint, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_patterns, run_setup, run_teardown),
		cmocka_unit_test_setup_teardown(test_bad_patterns_are_refused, run_setup, run_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
