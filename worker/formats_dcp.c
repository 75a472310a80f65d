/* PyTorch's distributed checkpoint: every rank writes its shards, then one writes .metadata, a pickle, as the last. */
#include "worker/formats_internal.h"

#include <fcntl.h>
#include <fnmatch.h>

#include "lib/beneath.h"
#include "lib/cleanup.h"
#include "worker/pickle.h"

#define SHARDS "__*_*.distcp"

/* Older versions write it in place: it has to be a pickle up to its last byte. */
static enum pickle_state dcp_metadata(const struct listing *list, int64_t size)
{
	CLEANUP(free_p) char *path = listing_path(list, ".metadata");
	CLEANUP(close_fd) int fd = beneath_open(list->root, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return PICKLE_TORN;
	struct pickle_facts facts = pickle_scan(fd, 0, size);
	return facts.state == PICKLE_READ && facts.end != size ? PICKLE_TORN : facts.state;
}

static struct format_verdict dcp_check(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	int64_t size = listing_size(list, ".metadata");
	struct format_verdict torn;
	if (size <= 0)
		return format_torn("dcp", "is not there yet", ".metadata");
	enum pickle_state state = dcp_metadata(list, size);
	if (state == PICKLE_TORN)
		return format_torn("dcp", "ends in the middle", ".metadata");
	for (size_t i = 0; i < list->count; i++)
		if (fnmatch(SHARDS, list->names[i], 0) == 0 && listing_size(list, list->names[i]) <= 0)
			return format_torn("dcp", "is empty", list->names[i]);
	if (!listing_find(list, SHARDS))
		return format_torn("dcp", "are not there", "the shards");
	/* Several files in one, which the formats of single files would not know. */
	if (!format_parts_are_right(folder, SHARDS, &torn))
		return torn;
	if (!format_is_last(folder, ".metadata"))
		return format_verdict_of(FORMAT_SOUND, "dcp", "DCP shards; a file is newer than its .metadata");
	if (state == PICKLE_STRANGE)
		return format_verdict_of(FORMAT_SOUND, "dcp", "DCP shards; its .metadata cannot be read");
	return format_verdict_of(FORMAT_WHOLE, "dcp", "DCP .metadata and shards; file hashes");
}

static bool dcp_is(const struct format_folder *folder)
{
	return listing_find(&folder->list, SHARDS) != NULL;
}

const struct format_folder_row format_row_dcp = { "dcp", dcp_is, dcp_check };
