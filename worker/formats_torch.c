/*
 * torch.save (and every other ZIP): the central directory is written last, so a directory that is
 * there, ends where the file ends and fits the entries proves that the save came to its end.
 */
#include "worker/formats.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define EOCD_BYTES        22
#define EOCD64_BYTES      56
#define LOCATOR_BYTES     20
#define ENTRY_BYTES       46
#define LOCAL_BYTES       30
#define DIRECTORY_MAX     (64 * 1024 * 1024)
#define PICKLE_SCAN_BYTES (4 * 1024 * 1024)

struct zip_directory {
	int64_t at;    /* where it begins */
	int64_t size;  /* in bytes */
	int64_t count; /* entries */
};

static uint64_t zip_number(const unsigned char *at, int bytes)
{
	uint64_t value = 0;
	while (bytes-- > 0)
		value = value << 8 | at[bytes];
	return value;
}

static bool zip_read(int fd, void *into, size_t len, int64_t at)
{
	return at >= 0 && pread(fd, into, len, at) == (ssize_t)len;
}

/* The 64-bit record, when the classic one says "too large for me". */
static bool zip_locate64(int fd, int64_t eocd, struct zip_directory *dir)
{
	unsigned char locator[LOCATOR_BYTES], record[EOCD64_BYTES];
	if (!zip_read(fd, locator, sizeof locator, eocd - LOCATOR_BYTES) || memcmp(locator, "PK\6\7", 4) != 0)
		return false;
	uint64_t at = zip_number(locator + 8, 8);
	if (at > (uint64_t)eocd || !zip_read(fd, record, sizeof record, (int64_t)at) ||
	    memcmp(record, "PK\6\6", 4) != 0)
		return false;
	dir->count = (int64_t)zip_number(record + 32, 8);
	dir->size = (int64_t)zip_number(record + 40, 8);
	dir->at = (int64_t)zip_number(record + 48, 8);
	return dir->at >= 0 && dir->size >= 0 && dir->at <= (int64_t)at && dir->size == (int64_t)at - dir->at;
}

/* The end record must be the last thing in the file (torch writes no comment). */
static bool zip_locate(int fd, int64_t size, struct zip_directory *dir)
{
	unsigned char end[EOCD_BYTES];
	int64_t eocd = size - EOCD_BYTES;
	if (!zip_read(fd, end, sizeof end, eocd) || memcmp(end, "PK\5\6", 4) != 0 || zip_number(end + 20, 2) != 0)
		return false;
	dir->count = (int64_t)zip_number(end + 10, 2);
	dir->size = (int64_t)zip_number(end + 12, 4);
	dir->at = (int64_t)zip_number(end + 16, 4);
	if (zip_locate64(fd, eocd, dir))
		return true;
	return dir->at + dir->size == eocd;
}

struct zip_found {
	int64_t pickle_at; /* local header of the data.pkl that torch writes; -1: none */
	int64_t pickle_size;
};

/* Sizes and offset of an entry, from its 64-bit extra field where the short ones are full. */
static bool zip_entry_place(const unsigned char *entry, size_t name_len, size_t extra_len, int64_t *at, int64_t *size)
{
	uint64_t packed = zip_number(entry + 20, 4), whole = zip_number(entry + 24, 4),
		 offset = zip_number(entry + 42, 4);
	const unsigned char *extra = entry + ENTRY_BYTES + name_len, *end = extra + extra_len;
	while (end - extra >= 4) {
		size_t len = zip_number(extra + 2, 2);
		const unsigned char *value = extra + 4;
		if (len > (size_t)(end - value))
			return false;
		const unsigned char *stop = value + len;
		if (zip_number(extra, 2) == 1) {
			uint64_t *full[] = { &whole, &packed, &offset };
			for (size_t i = 0; i < ARRAY_LEN(full) && stop - value >= 8; i++)
				if (*full[i] == 0xffffffff) {
					*full[i] = zip_number(value, 8);
					value += 8;
				}
		}
		extra = stop;
	}
	*at = (int64_t)offset;
	*size = (int64_t)packed;
	return *at >= 0 && *size >= 0;
}

static bool zip_walk(int fd, const struct zip_directory *dir, const unsigned char *bytes, struct zip_found *found)
{
	const unsigned char *at = bytes, *end = bytes + dir->size;
	int64_t seen = 0;
	for (; end - at >= ENTRY_BYTES && memcmp(at, "PK\1\2", 4) == 0; seen++) {
		size_t name_len = zip_number(at + 28, 2), extra_len = zip_number(at + 30, 2);
		size_t len = ENTRY_BYTES + name_len + extra_len + zip_number(at + 32, 2);
		int64_t offset, size;
		if (len > (size_t)(end - at) || !zip_entry_place(at, name_len, extra_len, &offset, &size))
			return false;
		unsigned char local[4];
		if (offset > dir->at - LOCAL_BYTES || size > dir->at - LOCAL_BYTES - offset ||
		    !zip_read(fd, local, sizeof local, offset) || memcmp(local, "PK\3\4", 4) != 0)
			return false;
		CLEANUP(free_p) char *name = mem_strndup(at + ENTRY_BYTES, name_len);
		const char *last = strrchr(name, '/');
		if (strcmp(last ? last + 1 : name, "data.pkl") == 0) {
			found->pickle_at = offset;
			found->pickle_size = size;
		}
		at += len;
	}
	return at == end && seen == dir->count;
}

/* The pickle is stored as it is: the names of its keys can be seen without running it. */
static int zip_has_optimizer(int fd, const struct zip_found *found)
{
	unsigned char local[LOCAL_BYTES];
	if (!zip_read(fd, local, sizeof local, found->pickle_at) || zip_number(local + 8, 2) != 0)
		return -1;
	int64_t at = found->pickle_at + LOCAL_BYTES + (int64_t)(zip_number(local + 26, 2) + zip_number(local + 28, 2));
	int64_t len = found->pickle_size < PICKLE_SCAN_BYTES ? found->pickle_size : PICKLE_SCAN_BYTES;
	CLEANUP(free_p) char *text = mem_alloc((size_t)len + 1);
	ssize_t got = pread(fd, text, (size_t)len, at);
	if (got <= 0)
		return -1;
	static const char *const signs[] = { "optimizer", "exp_avg", "momentum_buffer" };
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (memmem(text, (size_t)got, signs[i], strlen(signs[i])))
			return 1;
	return 0;
}

struct format_verdict format_torch(int fd, int64_t size)
{
	struct zip_directory dir;
	if (!zip_locate(fd, size, &dir))
		return format_verdict_of(FORMAT_TORN, "torch", "the ZIP directory at its end is not there");
	if (dir.size > DIRECTORY_MAX)
		return format_verdict_of(FORMAT_OPAQUE, "torch", "hash only: the ZIP directory is too large to check");
	CLEANUP(free_p) unsigned char *bytes = mem_alloc((size_t)dir.size + 1);
	struct zip_found found = { .pickle_at = -1 };
	if (!zip_read(fd, bytes, (size_t)dir.size, dir.at) || !zip_walk(fd, &dir, bytes, &found))
		return format_verdict_of(FORMAT_TORN, "torch", "the ZIP directory does not fit the file");
	if (found.pickle_at < 0)
		return format_verdict_of(FORMAT_WHOLE, "zip", "ZIP directory and entries; file hashes");
	struct format_verdict verdict =
		format_verdict_of(FORMAT_WHOLE, "torch", "torch ZIP directory and entries; file hashes");
	verdict.optimizer = zip_has_optimizer(fd, &found);
	return verdict;
}
