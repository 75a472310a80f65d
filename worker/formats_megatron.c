/*
 * Megatron-LM: iter_<n>/ for each save, and beside them latest_checkpointed_iteration.txt, which is written last and
 * names the one to load: without it nothing is loaded, and the training begins anew without a word. So both belong
 * together.
 */
#include "worker/formats_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "worker/names.h"

/* "100"; -1: no such file, or no number ("release": no training). */
static int64_t megatron_named(const struct listing *list)
{
	char text[32], *end;
	CLEANUP(free_p) char *path = listing_path_beside(list, NAME_MEGATRON_LATEST);
	if (!listing_line(list, path, text, sizeof text))
		return -1;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	return end == text || end[strspn(end, " ")] || errno || value < 0 ? -1 : value;
}

/* "iter_0000100" → 100. */
static int64_t megatron_iteration(const struct listing *list)
{
	const char *name = listing_name(list);
	size_t digits = strncmp(name, "iter_", 5) == 0 ? strspn(name + 5, "0123456789") : 0;
	return digits > 0 && digits <= 18 && !name[5 + digits] ? strtoll(name + 5, NULL, 10) : -1;
}

static struct format_verdict megatron_check(const struct format_folder *folder)
{
	const int64_t own = megatron_iteration(&folder->list), named = megatron_named(&folder->list);
	CLEANUP(free_p) char *latest = listing_path_beside(&folder->list, NAME_MEGATRON_LATEST);
	struct format_verdict verdict = format_row_dcp.is(folder) ? format_row_dcp.check(folder) : format_sum(folder);
	if (verdict.proof == FORMAT_TORN)
		return verdict;
	if (named < own)
		return format_torn("megatron", "does not name it yet", NAME_MEGATRON_LATEST);
	str_copy(verdict.framework, sizeof verdict.framework, "megatron");
	str_copy(verdict.words, sizeof verdict.words, "named by latest_checkpointed_iteration.txt; file hashes");
	verdict.proof = listing_is_older_than(&folder->list, latest) ? FORMAT_WHOLE : FORMAT_SOUND;
	verdict.step = own;
	/* When a newer one is named, this one was whole before; but the file is not its own any more. */
	if (named == own)
		str_copy(verdict.beside, sizeof verdict.beside, NAME_MEGATRON_LATEST);
	return verdict;
}

static bool megatron_is(const struct format_folder *folder)
{
	const struct listing *list = &folder->list;
	return megatron_iteration(list) >= 0 && (listing_find(list, "mp_rank_*") || megatron_named(list) >= 0);
}

const struct format_folder_row format_row_megatron = { "megatron", megatron_is, megatron_check };
