/* What folders prove: which file is written last, and what must stand beside it. */
#include "worker/formats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"
#include "tests/unit/zips.h"

struct fixture {
	char *folder;
	int root;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	f->root = beneath_root(f->folder);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close(f->root);
	folder_remove(f->folder);
	free(f);
	return 0;
}

/* The same once more: it is newer than all others then, whatever the clock's tick. */
static void rewrite(struct fixture *f, const char *name)
{
	size_t len;
	struct stat probe, now;
	CLEANUP(free_p) char *bytes = folder_read(f->folder, name, &len);
	CLEANUP(free_p) char *path = folder_path(f->folder, name);
	CLEANUP(free_p) char *other = folder_path(f->folder, "probe");
	folder_text(f->folder, "probe", "the newest so far");
	assert_int_equal(stat(other, &probe), 0);
	do {
		folder_write(f->folder, name, bytes, len);
		assert_int_equal(stat(path, &now), 0);
	} while (now.st_mtim.tv_sec == probe.st_mtim.tv_sec && now.st_mtim.tv_nsec == probe.st_mtim.tv_nsec);
}

/* A folder that is saved over again has the last file of the save before. */
static void test_saved_over_again(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "own/a.pt", PICKLE_ALL);
	folder_text(f->folder, "own/_SUCCESS", "");
	torch_make(f->folder, "iter_0000003/mp_rank_00/a.pt", PICKLE_ALL);
	folder_text(f->folder, "latest_checkpointed_iteration.txt", "3");
	folder_text(f->folder, "dcp/__0_0.distcp", "shard");
	folder_write(f->folder, "dcp/.metadata", PICKLE_ALL, sizeof PICKLE_ALL - 1);
	static const struct {
		const char *folder, *data, *last;
	} rows[] = {
		{ "own", "own/a.pt", "own/_SUCCESS" },
		{ "iter_0000003", "iter_0000003/mp_rank_00/a.pt", "latest_checkpointed_iteration.txt" },
		{ "dcp", "dcp/__0_0.distcp", "dcp/.metadata" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(format_check(f->root, rows[i].folder, NULL).proof, FORMAT_WHOLE);
		rewrite(f, rows[i].data);
		if (format_check(f->root, rows[i].folder, NULL).proof >= FORMAT_WHOLE)
			fail_msg("%s is whole while it is saved again", rows[i].folder);
		rewrite(f, rows[i].last);
		assert_int_equal(format_check(f->root, rows[i].folder, NULL).proof, FORMAT_WHOLE);
	}
}

static void test_huggingface_folders(void **state)
{
	struct fixture *f = *state;
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("w", 10, NULL, &len);
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len);
	folder_text(f->folder, "checkpoint-5/config.json", "{}");
	assert_int_equal(format_check(f->root, "checkpoint-5", NULL).proof, FORMAT_OPAQUE);
	torch_make(f->folder, "checkpoint-5/optimizer.pt", PICKLE_ALL);
	torch_make(f->folder, "checkpoint-5/scheduler.pt", PICKLE_WEIGHTS);
	assert_int_equal(format_check(f->root, "checkpoint-5", NULL).proof, FORMAT_TORN);
	folder_text(f->folder, "checkpoint-5/trainer_state.json", "{\"global_step\": 5, \"epo");
	assert_int_equal(format_check(f->root, "checkpoint-5", NULL).proof, FORMAT_TORN);
	folder_text(
		f->folder, "checkpoint-5/trainer_state.json",
		"{\"global_step\": 5, \"epoch\": 1.5, \"log_history\": [{\"step\": 3, \"loss\": 2.5}, {\"step\": 5, "
		"\"loss\": 0.75}, {\"step\": 5, \"eval_loss\": 9}]}");
	/* Old versions write the state of chance last. */
	assert_int_equal(format_check(f->root, "checkpoint-5", NULL).proof, FORMAT_SOUND);
	torch_make(f->folder, "checkpoint-5/rng_state.pth", PICKLE_WEIGHTS);
	rewrite(f, "checkpoint-5/trainer_state.json");
	struct format_verdict v = format_check(f->root, "checkpoint-5", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.step, 5);
	assert_int_equal(v.epoch, 1);
	assert_int_equal(v.optimizer, 1);
	assert_true(v.loss == 0.75);
	assert_string_equal(v.framework, "huggingface");
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len - 1);
	assert_int_equal(format_check(f->root, "checkpoint-5", NULL).proof, FORMAT_TORN);
	folder_write(f->folder, "checkpoint-5/model.safetensors", bytes, len);
	folder_text(f->folder, "checkpoint-5/model.safetensors.index.json",
		    "{\"weight_map\":{\"a\":\"model.safetensors\",\"b\":\"model-2.safetensors\"}}");
	v = format_check(f->root, "checkpoint-5", NULL);
	assert_int_equal(v.proof, FORMAT_TORN);
	assert_non_null(strstr(v.words, "model-2.safetensors"));
}

static void test_dcp_and_marked_folders(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "dcp/__0_0.distcp", "PK\3\4 and more");
	folder_write(f->folder, "dcp/.metadata.tmp", PICKLE_ALL, sizeof PICKLE_ALL - 1);
	assert_int_equal(format_check(f->root, "dcp", NULL).proof, FORMAT_TORN);
	for (size_t cut = 0; cut < sizeof PICKLE_ALL - 1; cut++) {
		folder_write(f->folder, "dcp/.metadata", PICKLE_ALL, cut);
		assert_int_equal(format_check(f->root, "dcp", NULL).proof, FORMAT_TORN);
	}
	folder_write(f->folder, "dcp/.metadata", PICKLE_ALL, sizeof PICKLE_ALL - 1);
	struct format_verdict v = format_check(f->root, "dcp", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "dcp");
	folder_text(f->folder, "dcp/__1_0.distcp", "");
	assert_int_equal(format_check(f->root, "dcp", NULL).proof, FORMAT_TORN);
	folder_text(f->folder, "own/weights.npy", "data");
	assert_int_equal(format_check(f->root, "own", NULL).proof, FORMAT_OPAQUE);
	folder_text(f->folder, "own/_SUCCESS", "");
	assert_int_equal(format_check(f->root, "own", NULL).proof, FORMAT_WHOLE);
	size_t len;
	CLEANUP(free_p) unsigned char *bytes = safetensors_make("optim.w", 10, "{\"step\":\"9\"}", &len);
	folder_write(f->folder, "two/model/a.safetensors", bytes, len);
	folder_write(f->folder, "two/optim/b.safetensors", bytes, len);
	v = format_check(f->root, "two", NULL);
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_int_equal(v.step, 9);
	assert_int_equal(v.optimizer, 1);
	folder_write(f->folder, "two/optim/b.safetensors", bytes, len - 3);
	assert_int_equal(format_check(f->root, "two", NULL).proof, FORMAT_TORN);
}

static enum format_proof proof_of(struct fixture *f, const char *name)
{
	return format_check(f->root, name, NULL).proof;
}

/* What looks like a Trainer's folder but is somebody's own. */
static void test_own_folders(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "step-5/model.pt", PICKLE_WEIGHTS);
	torch_make(f->folder, "step-5/optimizer.pt", PICKLE_ALL);
	struct format_verdict v = format_check(f->root, "step-5", NULL);
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_int_equal(v.optimizer, 1);
	assert_int_equal(v.step, 5);
	torch_make(f->folder, "runs/checkpoint-5/rng_state.pth", PICKLE_WEIGHTS);
	assert_int_equal(proof_of(f, "runs"), FORMAT_TORN); /* a Trainer at work below */
	assert_non_null(strstr(format_check(f->root, "runs", NULL).words, "checkpoint-5"));
}

/* As orbax-checkpoint 0.12 lays it out. */
static void test_orbax(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "7/_CHECKPOINT_METADATA", "{\"item_handlers\": {}, \"commit_timestamp_nsecs\": null}");
	assert_int_equal(proof_of(f, "7"), FORMAT_TORN);
	folder_text(f->folder, "7/_CHECKPOINT_METADATA", "{\"item_hand");
	assert_int_equal(proof_of(f, "7"), FORMAT_TORN);
	folder_text(f->folder, "7/_CHECKPOINT_METADATA", "{\"commit_timestamp_nsecs\": 1795721650785968369}");
	folder_text(f->folder, "7/state/_METADATA", "{\"tree_metadata\": {\"('params', 'w')\": {}}}");
	folder_text(f->folder, "7/state/manifest.ocdbt", "manifest");
	folder_text(f->folder, "7/state/ocdbt.process_0/manifest.ocdbt", "manifest");
	struct format_verdict v = format_check(f->root, "7", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "orbax");
	assert_int_equal(v.step, 7);
	assert_int_equal(v.optimizer, 0);
	folder_text(f->folder, "7/state/_METADATA", "{\"tree_metadata\": {\"('opt_state', '0', 'mu')\": {}}}");
	assert_int_equal(format_check(f->root, "7", NULL).optimizer, 1);
	folder_text(f->folder, "7/state/manifest.ocdbt", "");
	assert_int_equal(proof_of(f, "7"), FORMAT_TORN);
	folder_text(f->folder, "7/state/manifest.ocdbt", "manifest");
	folder_text(f->folder, "7/meta.orbax-checkpoint-tmp/metadata", "{}");
	assert_int_equal(proof_of(f, "7"), FORMAT_TORN);
	folder_text(f->folder, "8.orbax-checkpoint-tmp-17/_CHECKPOINT_METADATA", "{\"commit_timestamp_nsecs\": 1}");
	assert_int_equal(proof_of(f, "8.orbax-checkpoint-tmp-17"), FORMAT_TORN);
	/* An old version says nothing of the time; the mark does. */
	folder_text(f->folder, "old_9/_CHECKPOINT_METADATA", "{}");
	assert_int_equal(proof_of(f, "old_9"), FORMAT_SOUND);
	folder_text(f->folder, "old_9/commit_success.txt", "yes");
	assert_int_equal(proof_of(f, "old_9"), FORMAT_WHOLE);
}

static void test_megatron(void **state)
{
	struct fixture *f = *state;
	torch_make(f->folder, "out/iter_0000100/mp_rank_00/model_optim_rng.pt", PICKLE_ALL);
	assert_int_equal(proof_of(f, "out/iter_0000100"), FORMAT_TORN);
	folder_text(f->folder, "out/latest_checkpointed_iteration.txt", "50");
	assert_int_equal(proof_of(f, "out/iter_0000100"), FORMAT_TORN);
	folder_text(f->folder, "out/latest_checkpointed_iteration.txt", "100\n");
	struct format_verdict v = format_check(f->root, "out/iter_0000100", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "megatron");
	assert_string_equal(v.beside, "latest_checkpointed_iteration.txt");
	assert_int_equal(v.step, 100);
	assert_int_equal(v.optimizer, 1);
	folder_text(f->folder, "out/latest_checkpointed_iteration.txt", "200");
	v = format_check(f->root, "out/iter_0000100", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.beside, "");
	folder_text(f->folder, "out/latest_checkpointed_iteration.txt", "release");
	assert_int_equal(proof_of(f, "out/iter_0000100"), FORMAT_TORN);
	folder_text(f->folder, "out/latest_checkpointed_iteration.txt", "100");
	folder_text(f->folder, "out/iter_0000100/__0_0.distcp", "shard");
	assert_int_equal(proof_of(f, "out/iter_0000100"), FORMAT_TORN); /* .metadata is missing */
	folder_text(f->folder, "iter_7/weights", "no Megatron: no mp_rank, and nothing beside it");
	assert_int_equal(proof_of(f, "iter_7"), FORMAT_OPAQUE);
}

/* pickle.dumps({"module": 1.0, "global_steps": 5, "dp_world_size": 2, "mp_world_size": 1}) */
#define DEEPSPEED_WEIGHTS                                                                                              \
	"\200\002}q\000(X\006\000\000\000moduleq\001G?\360\000\000\000\000\000\000X\014\000\000\000"                   \
	"global_stepsq\002K\005X\015\000\000\000dp_world_sizeq\003K\002X\015\000\000\000mp_world_sizeq\004K\001u."

static void deepspeed_make(struct fixture *f, const char *folder, size_t shares)
{
	CLEANUP(free_p) char *weights = mem_printf("%s/mp_rank_00_model_states.pt", folder);
	torch_make(f->folder, weights, DEEPSPEED_WEIGHTS);
	for (size_t i = 0; i < shares; i++) {
		CLEANUP(free_p) char *name = mem_printf("%s/zero_pp_rank_%zu_mp_rank_00_optim_states.pt", folder, i);
		torch_make(f->folder, name, PICKLE_ALL);
	}
}

/* Which ranks there are the weights say; which tag is whole `latest` does. */
static void test_deepspeed(void **state)
{
	struct fixture *f = *state;
	deepspeed_make(f, "out/global_step100", 1);
	assert_int_equal(proof_of(f, "out/global_step100"), FORMAT_TORN);
	folder_text(f->folder, "out/latest", "global_step100");
	struct format_verdict v = format_check(f->root, "out/global_step100", NULL);
	assert_int_equal(v.proof, FORMAT_TORN); /* the second rank's share is missing */
	assert_non_null(strstr(v.words, "of some ranks"));
	deepspeed_make(f, "out/global_step100", 2);
	assert_int_equal(proof_of(f, "out/global_step100"), FORMAT_SOUND); /* perhaps `latest` is of the save before */
	rewrite(f, "out/latest");
	v = format_check(f->root, "out/global_step100", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "deepspeed");
	assert_string_equal(v.beside, "latest");
	assert_int_equal(v.step, 100);
	assert_int_equal(v.optimizer, 1);
	deepspeed_make(f, "out/global_step200", 2);
	assert_int_equal(proof_of(f, "out/global_step200"), FORMAT_TORN);
	folder_text(f->folder, "out/latest", "global_step200\n");
	rewrite(f, "out/latest");
	assert_int_equal(proof_of(f, "out/global_step200"), FORMAT_WHOLE);
	v = format_check(f->root, "out/global_step100", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.beside, "");
	folder_text(f->folder, "out/global_step200/zero_pp_rank_1_mp_rank_00_optim_states.pt", "PK\3\4 cut");
	rewrite(f, "out/latest");
	assert_int_equal(proof_of(f, "out/global_step200"), FORMAT_TORN);
}

/* Tags that say no step, ranks that the weights do not tell, and folders that have both in them. */
static void test_deepspeed_otherwise(void **state)
{
	struct fixture *f = *state;
	deepspeed_make(f, "out/best", 2);
	folder_text(f->folder, "out/latest", "global_step100");
	struct format_verdict v = format_check(f->root, "out/best", NULL); /* save_latest=False */
	assert_int_equal(v.proof, FORMAT_SOUND);
	assert_string_equal(v.beside, "");
	assert_int_equal(v.step, 5);
	deepspeed_make(f, "x.ckpt/checkpoint", 1); /* as Lightning does */
	folder_text(f->folder, "x.ckpt/zero_to_fp32.py", "print()");
	folder_text(f->folder, "x.ckpt/latest", "checkpoint");
	rewrite(f, "x.ckpt/latest");
	assert_int_equal(proof_of(f, "x.ckpt"), FORMAT_TORN);
	deepspeed_make(f, "x.ckpt/checkpoint", 2);
	rewrite(f, "x.ckpt/latest");
	v = format_check(f->root, "x.ckpt", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_string_equal(v.framework, "deepspeed");
	assert_string_equal(v.beside, "");
	folder_text(f->folder, "x.ckpt/scheduler.bin", "PK\3\4 cut");
	assert_int_equal(proof_of(f, "x.ckpt"), FORMAT_TORN);
	folder_text(f->folder, "x.ckpt/scheduler.bin", "written after it, as Accelerate does");
	rewrite(f, "x.ckpt/scheduler.bin");
	assert_int_equal(proof_of(f, "x.ckpt"), FORMAT_SOUND);
	torch_make(f->folder, "old/global_step5/mp_rank_00_model_states.pt", PICKLE_WEIGHTS);
	folder_text(f->folder, "old/latest", "global_step5");
	rewrite(f, "old/latest");
	assert_int_equal(proof_of(f, "old/global_step5"), FORMAT_SOUND);
	/* A Trainer's, without gathered weights. */
	deepspeed_make(f, "checkpoint-5/global_step5", 2);
	torch_make(f->folder, "checkpoint-5/rng_state_0.pth", PICKLE_WEIGHTS);
	folder_text(f->folder, "checkpoint-5/latest", "global_step5");
	assert_int_equal(proof_of(f, "checkpoint-5"), FORMAT_TORN);
	folder_text(f->folder, "checkpoint-5/trainer_state.json", "{\"global_step\": 5}");
	rewrite(f, "checkpoint-5/trainer_state.json");
	v = format_check(f->root, "checkpoint-5", NULL);
	assert_int_equal(v.proof, FORMAT_WHOLE);
	assert_int_equal(v.optimizer, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_huggingface_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dcp_and_marked_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_saved_over_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_orbax, setup, teardown),
		cmocka_unit_test_setup_teardown(test_megatron, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deepspeed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deepspeed_otherwise, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
