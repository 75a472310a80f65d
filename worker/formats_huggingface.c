/*
 * What Hugging Face's Trainer saves: checkpoint-<step>/ with the weights, optimizer.pt, scheduler.pt, rng_state*.pth,
 * and trainer_state.json, which comes last (in old versions rng_state did).
 */
#include "worker/formats_internal.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

/* Shards that an index names must all be there. */
static bool huggingface_has_shards(const struct listing *list, struct format_verdict *torn)
{
	const char *name = listing_find(list, "*.index.json");
	json_auto_t *index = name ? listing_json(list, name) : NULL;
	const char *tensor;
	json_t *shard;
	if (name && !index) {
		*torn = format_torn("huggingface", "is not JSON", name);
		return false;
	}
	json_object_foreach(json_object_get(index, "weight_map"), tensor, shard)
	{
		const char *file = json_string_value(shard);
		if (file && !strchr(file, '/') && listing_size(list, file) > 0)
			continue;
		*torn = format_torn("huggingface", "is named by its index but not there", file ? file : "a shard");
		return false;
	}
	return true;
}

/* The newest entry of log_history that has one: what is being trained says more than what is evaluated. */
static double huggingface_loss(const json_t *state)
{
	static const char *const names[] = { "loss", "eval_loss" };
	const json_t *history = json_object_get(state, "log_history");
	for (size_t n = 0; n < ARRAY_LEN(names); n++)
		for (size_t i = json_array_size(history); i > 0; i--) {
			const json_t *loss = json_object_get(json_array_get(history, i - 1), names[n]);
			if (json_is_number(loss))
				return json_number_value(loss);
		}
	return NAN;
}

static bool huggingface_read_state(const struct listing *list, struct format_verdict *verdict)
{
	json_auto_t *state = listing_json(list, "trainer_state.json");
	if (!json_is_object(state))
		return false;
	const json_t *step = json_object_get(state, "global_step"), *epoch = json_object_get(state, "epoch");
	if (json_is_integer(step))
		verdict->step = json_integer_value(step);
	if (json_is_number(epoch))
		verdict->epoch = (int64_t)floor(json_number_value(epoch));
	verdict->loss = huggingface_loss(state);
	return true;
}

static struct format_verdict huggingface_check(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	struct format_verdict torn,
		verdict = format_verdict_of(FORMAT_WHOLE, "huggingface",
					    "trainer_state.json, weights, optimizer and shards; file hashes");
	if (!listing_find(list, "trainer_state.json"))
		return format_torn("huggingface", "is not there yet", "trainer_state.json");
	if (!huggingface_read_state(list, &verdict))
		return format_torn("huggingface", "is not a JSON object", "trainer_state.json");
	if (!format_parts_are_right(folder, NULL, &torn) || !huggingface_has_shards(list, &torn))
		return torn;
	/* DeepSpeed's are the weights, too, where they are not gathered (stage3_gather_16bit_weights_on_model_save). */
	bool has_deepspeed = listing_find(list, "global_step*");
	if (!listing_find(list, "*.safetensors") && !listing_find(list, "*.bin") && !has_deepspeed)
		return format_torn("huggingface", "are not there", "the weights");
	verdict.optimizer = listing_find(list, "optimizer*") || has_deepspeed;
	/* Trainer writes them with optimizer.pt: one that is missing is still to come. */
	const char *doubt = NULL;
	if (listing_find(list, "optimizer.pt") &&
	    (!listing_find(list, "scheduler.pt") || !listing_find(list, "rng_state*.pth")))
		doubt = "trainer_state.json and weights; scheduler or rng_state is not there";
	else if (!format_is_last(folder, "trainer_state.json"))
		doubt = "trainer_state.json and weights; a file in it is newer than trainer_state.json";
	if (doubt) {
		verdict.proof = FORMAT_SOUND;
		str_copy(verdict.words, sizeof verdict.words, doubt);
	}
	return verdict;
}

/* trainer_state.json says it; until it comes, the name and what only Trainer writes. */
static bool huggingface_is(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	if (listing_find(list, "trainer_state.json"))
		return true;
	const char *name = listing_name(list);
	size_t digits = strncmp(name, "checkpoint-", 11) == 0 ? strspn(name + 11, "0123456789") : 0;
	bool is_named = digits > 0 && !name[11 + digits];
	return is_named && (listing_find(list, "training_args.bin") || listing_find(list, "rng_state*.pth") ||
			    (listing_find(list, "optimizer.pt") && listing_find(list, "*config.json")));
}

const struct format_folder_row format_row_huggingface = { "huggingface", huggingface_is, huggingface_check };
