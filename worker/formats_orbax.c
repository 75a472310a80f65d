/*
 * Orbax (JAX): a folder a step, made as <name>.orbax-checkpoint-tmp (older versions add -<time>), with a folder of such
 * a name for each item in it; at the end everything is renamed. _CHECKPOINT_METADATA says when it was committed, and
 * commit_success.txt is written where a rename proves nothing. The arrays are tensorstore's, which are not looked into.
 */
#include "worker/formats_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define UNFINISHED "*.orbax-checkpoint-tmp*"
#define METADATA   "_CHECKPOINT_METADATA"

/* Keys of the saved tree: "('opt_state', '0', 'mu')". -1: it does not say. */
static int orbax_optimizer_in(const struct listing *list)
{
	json_auto_t *metadata = listing_json(list, "_METADATA");
	json_t *tree = json_object_get(metadata, "tree_metadata"), *ignored;
	const char *key;
	if (!json_is_object(tree))
		return -1;
	json_object_foreach(tree, key, ignored)
	{
		if (strstr(key, "opt_state") || strstr(key, "optimizer"))
			return 1;
	}
	return 0;
}

/* What an item of it, or it itself, lacks; NULL: nothing. */
static const char *orbax_lack(const struct listing *list)
{
	if (listing_find(list, UNFINISHED) || listing_find(list, "*.__lock"))
		return "is not finished yet";
	if (listing_find(list, "manifest.ocdbt") && listing_size(list, "manifest.ocdbt") == 0)
		return "has an empty manifest.ocdbt";
	if (listing_find(list, "ocdbt.process_*") && !listing_find(list, "manifest.ocdbt"))
		return "has no manifest.ocdbt yet";
	return NULL;
}

static bool orbax_items_are_right(const struct listing *list, int *optimizer, struct format_verdict *torn)
{
	for (size_t i = 0; i < list->count; i++) {
		if (!listing_is_folder(list, list->names[i]))
			continue;
		CLEANUP(free_p) char *path = listing_path(list, list->names[i]);
		CLEANUP(listing) struct listing item;
		const char *lack = listing_read(&item, list->root, path) ? orbax_lack(&item) : "cannot be opened";
		if (lack) {
			*torn = format_torn("orbax", lack, list->names[i]);
			return false;
		}
		int found = strstr(list->names[i], "opt_state") || strstr(list->names[i], "optimizer")
				    ? 1
				    : orbax_optimizer_in(&item);
		if (found > *optimizer)
			*optimizer = found;
	}
	return true;
}

/* Written when the save begins, with null, and again when it ends. 1, 0, or -1: an old version that does not say. */
static int orbax_is_committed(const struct listing *list)
{
	json_auto_t *metadata = listing_json(list, METADATA);
	if (!json_is_object(metadata))
		return listing_find(list, METADATA) ? 0 : -1;
	const json_t *time = json_object_get(metadata, "commit_timestamp_nsecs");
	return time ? json_is_integer(time) : -1;
}

/* "7": CheckpointManager names its folders by the step alone. */
static int64_t orbax_step(const struct listing *list)
{
	const char *name = listing_name(list);
	size_t digits = strspn(name, "0123456789");
	return digits > 0 && digits <= 18 && !name[digits] ? strtoll(name, NULL, 10) : -1;
}

static struct format_verdict orbax_check(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	const char *name = listing_name(list), *lack = orbax_lack(list);
	struct format_verdict torn, verdict = format_verdict_of(FORMAT_SOUND, "orbax", "Orbax folder; file hashes");
	if (strstr(name, ".orbax-checkpoint-tmp"))
		return format_torn("orbax", "is the name of one that is not finished", name);
	if (lack)
		return format_torn("orbax", lack, name);
	verdict.optimizer = orbax_optimizer_in(list);
	if (!orbax_items_are_right(list, &verdict.optimizer, &torn))
		return torn;
	verdict.step = orbax_step(list);
	int committed = orbax_is_committed(list);
	bool has_mark = listing_find(list, "commit_success.txt") != NULL;
	if (committed == 0)
		return format_torn("orbax", "does not say that it was committed", METADATA);
	if (committed == 1 || has_mark) {
		verdict.proof = FORMAT_WHOLE;
		str_format(verdict.words, sizeof verdict.words, "Orbax %s; file hashes",
			   committed == 1 ? "commit time" : "commit_success.txt");
	}
	return verdict;
}

static bool orbax_is(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	return listing_find(list, METADATA) || listing_find(list, UNFINISHED) ||
	       (listing_find(list, "_METADATA") && listing_find(list, "manifest.ocdbt"));
}

const struct format_folder_row format_row_orbax = { "orbax", orbax_is, orbax_check };
