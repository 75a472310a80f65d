/* What the keys of checkpoints that frameworks write mean. */
#ifndef STOKER_WORKER_PICKLE_KEYS_H
#define STOKER_WORKER_PICKLE_KEYS_H

#include <stddef.h>

#define PICKLE_KEY_MAX 32 /* bytes; longer texts mean nothing */

enum pickle_key {
	KEY_NONE,
	KEY_STEP, /* the better name comes first: a dict may have several */
	KEY_STEP_LATER,
	KEY_STEP_LAST,
	KEY_EPOCH,
	KEY_DATA_RANKS, /* DeepSpeed: how many processes saved */
	KEY_MODEL_RANKS,
	KEY_OPTIMIZER,
	KEY_STATE, /* these two: torch's Optimizer.state_dict() */
	KEY_PARAM_GROUPS,
	KEY_MOMENTS,    /* what only an optimizer has */
	KEY_PRIVATE,    /* holds what belongs to somebody else: a "step" in it is not the training's */
	KEY_DICT_CLASS, /* name of a class whose objects are dicts */
};

enum pickle_key pickle_key_of(const char *text, size_t len);

#endif
