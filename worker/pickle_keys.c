#include "worker/pickle_keys.h"

#include <string.h>

#include "lib/cleanup.h"

static const struct {
	const char *text;
	enum pickle_key key;
} pickle_keys[] = {
	{ "global_step", KEY_STEP },
	{ "global_steps", KEY_STEP }, /* DeepSpeed */
	{ "step", KEY_STEP_LATER },
	{ "iteration", KEY_STEP_LATER }, /* Megatron */
	{ "iter", KEY_STEP_LAST },
	{ "iter_num", KEY_STEP_LAST },
	{ "epoch", KEY_EPOCH },
	{ "dp_world_size", KEY_DATA_RANKS },
	{ "mp_world_size", KEY_MODEL_RANKS },
	{ "optimizer", KEY_OPTIMIZER },
	{ "optimizers", KEY_OPTIMIZER },
	{ "optimizer_state", KEY_OPTIMIZER },
	{ "optimizer_states", KEY_OPTIMIZER }, /* Lightning */
	{ "optimizer_state_dict", KEY_OPTIMIZER },
	{ "optim", KEY_OPTIMIZER },
	{ "optim_state", KEY_OPTIMIZER },
	{ "optim_state_dict", KEY_OPTIMIZER },
	{ "opt", KEY_OPTIMIZER },
	{ "opt_state", KEY_OPTIMIZER },
	{ "state", KEY_STATE },
	{ "param_groups", KEY_PARAM_GROUPS },
	{ "exp_avg", KEY_MOMENTS },
	{ "exp_avg_sq", KEY_MOMENTS },
	{ "momentum_buffer", KEY_MOMENTS },
	{ "square_avg", KEY_MOMENTS },
	{ "args", KEY_PRIVATE },
	{ "callbacks", KEY_PRIVATE },
	{ "cfg", KEY_PRIVATE },
	{ "config", KEY_PRIVATE },
	{ "hparams", KEY_PRIVATE },
	{ "hyper_parameters", KEY_PRIVATE },
	{ "loops", KEY_PRIVATE },
	{ "lr_scheduler", KEY_PRIVATE },
	{ "lr_schedulers", KEY_PRIVATE },
	{ "opt_param_scheduler", KEY_PRIVATE },
	{ "scheduler", KEY_PRIVATE },
	{ "model", KEY_PRIVATE },
	{ "model_state_dict", KEY_PRIVATE },
	{ "state_dict", KEY_PRIVATE },
	{ "OrderedDict", KEY_DICT_CLASS },
	{ "defaultdict", KEY_DICT_CLASS },
};

enum pickle_key pickle_key_of(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(pickle_keys); i++)
		if (strlen(pickle_keys[i].text) == len && memcmp(pickle_keys[i].text, text, len) == 0)
			return pickle_keys[i].key;
	return KEY_NONE;
}
