/*
 * What the name of a checkpoint file or folder says: its step or epoch, whether it
 * is still being written, and which files belong together. Pure functions.
 */
#ifndef STOKER_WORKER_NAMES_H
#define STOKER_WORKER_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* Beside Megatron's iter_<n>/ and DeepSpeed's global_step<n>/: it goes with the one that it names, and is no checkpoint
 * by itself. */
#define NAME_MEGATRON_LATEST  "latest_checkpointed_iteration.txt"
#define NAME_DEEPSPEED_LATEST "latest"

struct name_info {
	int64_t step;  /* "step-200", "checkpoint_200", "epoch=3-step=200", "iter_0000200"; -1: none */
	int64_t epoch; /* "epoch=3"; -1: none */
	/* Files with the same one form one checkpoint: "step 200", "epoch 3", "number 7" (model_7.pt),
	 * or "" for names that stay the same over all saves (model.pt, last.ckpt). */
	char group[32];
};

/* path may have several parts: the last one that says a step or an epoch counts. */
struct name_info name_parse(const char *path);

/* A name that writers use until a file is whole (x.tmp, .x, tmp-checkpoint-5, x.part, …), or no checkpoint at
 * all (logs, locks, event files). name is one part of a path. */
bool name_is_ignored(const char *name, bool is_folder);

#endif
