/*
 * ZIP: torch.save, numpy.savez and every other one. The directory is written last, so one that is there, ends
 * where the file ends and fits the entries proves that the save came to its end. The CRCs of the entries are checked
 * by whoever reads the bytes (checksums.h).
 */
#include "worker/formats_internal.h"

#include <string.h>

#include "worker/pickle.h"
#include "worker/zip.h"

struct zip_look {
	struct checksums *sums;
	int64_t pickle_at, pickle_size; /* of the data.pkl that torch writes; -1: none that can be read */
	bool is_torch;
	size_t arrays, entries;
};

static void zip_look_at(void *arg, const struct zip_entry *entry)
{
	struct zip_look *look = arg;
	const char *slash = strrchr(entry->name, '/');
	look->entries++;
	look->arrays += format_has_suffix(entry->name, ".npy");
	if (entry->is_stored)
		checksums_expect(look->sums, entry->at, entry->size, entry->crc);
	else if (entry->is_deflated)
		checksums_expect_deflated(look->sums, entry->at, entry->size, entry->whole, entry->crc);
	if (strcmp(slash ? slash + 1 : entry->name, "data.pkl") != 0)
		return;
	look->is_torch = true;
	look->pickle_at = entry->is_stored ? entry->at : -1;
	look->pickle_size = entry->size;
}

static struct format_verdict zip_torch(const struct format_file *file, const struct zip_look *look)
{
	struct format_verdict verdict =
		format_verdict_of(FORMAT_WHOLE, "torch", "torch ZIP directory and entries; file hashes");
	if (look->pickle_at < 0)
		return verdict;
	/* It is read for what it says only: that it is whole the directory and its CRC tell. */
	struct pickle_facts facts = pickle_scan(file->fd, look->pickle_at, look->pickle_size);
	verdict.step = facts.step;
	verdict.epoch = facts.epoch;
	verdict.optimizer = facts.optimizer;
	return verdict;
}

bool format_torch_facts(int fd, int64_t size, struct pickle_facts *facts)
{
	struct zip_look look = { .pickle_at = -1 };
	if (zip_walk(fd, size, zip_look_at, &look) != ZIP_RIGHT || look.pickle_at < 0)
		return false;
	*facts = pickle_scan(fd, look.pickle_at, look.pickle_size);
	return facts->state == PICKLE_READ;
}

static struct format_verdict zip_check(const struct format_file *file)
{
	bool is_numpy = format_has_suffix(file->path, ".npz");
	const char *framework = is_numpy ? "numpy" : "torch"; /* as long as the directory does not say */
	struct zip_look look = { .sums = file->sums, .pickle_at = -1 };
	checksums_file(file->sums, file->path);
	switch (zip_walk(file->fd, file->size, zip_look_at, &look)) {
	case ZIP_NO_END:
		return format_verdict_of(FORMAT_TORN, framework, "the ZIP directory at its end is not there");
	case ZIP_UNFIT:
		return format_verdict_of(FORMAT_TORN, framework, "the ZIP directory does not fit the file");
	case ZIP_TOO_LARGE:
		return format_verdict_of(FORMAT_OPAQUE, framework,
					 "hash only: the ZIP directory is too large to check");
	case ZIP_RIGHT:
		break;
	}
	if (look.is_torch)
		return zip_torch(file, &look);
	if (is_numpy || (look.entries > 0 && look.arrays == look.entries))
		return format_verdict_of(FORMAT_WHOLE, "numpy", "numpy ZIP directory and entries; file hashes");
	return format_verdict_of(FORMAT_WHOLE, "zip", "ZIP directory and entries; file hashes");
}

static bool zip_is(const struct format_file *file)
{
	return memcmp(file->start, "PK\3\4", 4) == 0;
}

const struct format_file_row format_row_zip = { "zip", zip_is, zip_check };
