#include "worker/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_steps_and_groups(void **state)
{
	static const struct {
		const char *name;
		int64_t step, epoch;
		const char *group;
	} rows[] = {
		{ "step-00000200.safetensors", 200, -1, "step 200" },
		{ "step200.pt", 200, -1, "step 200" },
		{ "step_200", 200, -1, "step 200" },
		{ "checkpoint-500", 500, -1, "step 500" },
		{ "checkpoint_500.pt", 500, -1, "step 500" },
		{ "ckpt-7.bin", 7, -1, "step 7" },
		{ "epoch=3-step=200.ckpt", 200, 3, "step 200" },
		{ "iter_0000100", 100, -1, "step 100" },
		{ "global_step250", 250, -1, "step 250" },
		{ "Model-Step-12.pt", 12, -1, "step 12" },
		{ "checkpoint-3-step-40.pt", 40, -1, "step 40" },
		{ "epoch_5.pt", -1, 5, "epoch 5" },
		{ "epoch=2-loss=0.5.ckpt", -1, 2, "epoch 2" },
		{ "model_7.pt", -1, -1, "number 7" },
		{ "model.7.pt", -1, -1, "number 7" },
		{ "0000100.pt", -1, -1, "number 100" },
		{ "out/step-40/model.pt", 40, -1, "step 40" },
		{ "run-3/model.pt", -1, -1, "number 3" },
		{ "step-40/model_9.pt", 40, -1, "step 40" },
		{ "step-200-00001-of-00004.safetensors", 200, -1, "step 200" },
		{ "model-00001-of-00004.safetensors", -1, -1, "" },
		{ "optim_rank_3.pt", -1, -1, "" },
		{ "last.ckpt", -1, -1, "" },
		{ "last-v1.ckpt", -1, -1, "" },
		{ "model.pt", -1, -1, "" },
		{ "resnet50.pt", -1, -1, "" },
		{ "footstep9.pt", -1, -1, "" },
		{ "step.pt", -1, -1, "" },
		{ "step-", -1, -1, "" },
		{ "step-99999999999999999999.pt", -1, -1, "" },
		{ "step5k.pt", -1, -1, "" },
		{ "", -1, -1, "" },
		{ "/", -1, -1, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct name_info info = name_parse(rows[i].name);
		if (info.step != rows[i].step || info.epoch != rows[i].epoch || strcmp(info.group, rows[i].group) != 0)
			fail_msg("%s: step %lld, epoch %lld, group \"%s\"", rows[i].name, (long long)info.step,
				 (long long)info.epoch, info.group);
	}
}

static void test_names_of_unfinished_files(void **state)
{
	static const char *const ignored[] = { "x.tmp",
					       ".x",
					       "x.pt.tmp123",
					       "x.pt.tmp.55",
					       "x~",
					       "tmp-checkpoint-5",
					       "x.part",
					       "x.safetensors.incomplete",
					       "tmpab12_cd8",
					       "5.orbax-checkpoint-tmp-17",
					       "5.orbax-checkpoint-tmp",
					       "train.log",
					       "x.lock",
					       "events.out.tfevents.1",
					       "x.pt.tmp-77" };
	static const char *const files[] = { "latest_checkpointed_iteration.txt", "latest", "zero_to_fp32.py" };
	static const char *const kept[] = { "x.pt",       "checkpoint-5", "model.safetensors", "tmpl.pt",
					    "attempt.pt", "prompt.tmpl",  "catalog",           "x" };
	(void)state;
	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		if (!name_is_ignored(ignored[i], false) || !name_is_ignored(ignored[i], true))
			fail_msg("%s is not ignored", ignored[i]);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		if (!name_is_ignored(files[i], false) || name_is_ignored(files[i], true))
			fail_msg("%s is ignored where it is a folder only", files[i]);
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (name_is_ignored(kept[i], false) || name_is_ignored(kept[i], true))
			fail_msg("%s is ignored", kept[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps_and_groups),
		cmocka_unit_test(test_names_of_unfinished_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
