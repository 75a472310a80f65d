/*
 * What torch.save wrote before 1.6, and writes with _use_new_zipfile_serialization=False: a pickle of a magic number,
 * one of the version, one of the machine, one of the object, one of the tensors' names, then their bytes, whose sizes
 * do not stand anywhere that can be read without running the pickle. So only a file that ends before is known to be
 * torn.
 */
#include "worker/formats_internal.h"

#include <string.h>

#include "worker/pickle.h"

/* Protocol 2, and a whole number of ten bytes. */
static const unsigned char legacy_start[] = { 0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
					      0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };

enum { LEGACY_OBJECT = 3, LEGACY_PICKLES = 5 };

static struct format_verdict legacy_check(const struct format_file *file)
{
	struct format_verdict verdict =
		format_verdict_of(FORMAT_OPAQUE, "torch", "hash only: torch's old format does not say where it ends");
	int64_t at = 0;
	for (int i = 0; i < LEGACY_PICKLES; i++) {
		struct pickle_facts facts = pickle_scan(file->fd, at, file->size - at);
		if (facts.state == PICKLE_TORN)
			return format_verdict_of(FORMAT_TORN, "torch", "it ends before its tensors");
		if (facts.state == PICKLE_STRANGE)
			return verdict;
		if (i == LEGACY_OBJECT) {
			verdict.step = facts.step;
			verdict.epoch = facts.epoch;
			verdict.optimizer = facts.optimizer;
		}
		at = facts.end;
	}
	return verdict;
}

static bool legacy_is(const struct format_file *file)
{
	return memcmp(file->start, legacy_start, sizeof legacy_start) == 0;
}

const struct format_file_row format_row_torch_legacy = { "torch (old)", legacy_is, legacy_check };
