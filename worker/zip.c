#include "worker/zip.h"

#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define EOCD_BYTES    22
#define EOCD64_BYTES  56
#define LOCATOR_BYTES 20
#define ENTRY_BYTES   46
#define LOCAL_BYTES   30
#define DIRECTORY_MAX (64 * 1024 * 1024)

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

/* The 64-bit record, when the classic one says "too large for me". dir changes only when it is right. */
static bool zip_locate64(int fd, int64_t eocd, struct zip_directory *dir)
{
	unsigned char locator[LOCATOR_BYTES], record[EOCD64_BYTES];
	if (!zip_read(fd, locator, sizeof locator, eocd - LOCATOR_BYTES) || memcmp(locator, "PK\6\7", 4) != 0)
		return false;
	uint64_t at = zip_number(locator + 8, 8);
	if (at > (uint64_t)eocd || !zip_read(fd, record, sizeof record, (int64_t)at) ||
	    memcmp(record, "PK\6\6", 4) != 0)
		return false;
	struct zip_directory full = { .count = (int64_t)zip_number(record + 32, 8),
				      .size = (int64_t)zip_number(record + 40, 8),
				      .at = (int64_t)zip_number(record + 48, 8) };
	if (full.at < 0 || full.size < 0 || full.at > (int64_t)at || full.size != (int64_t)at - full.at)
		return false;
	*dir = full;
	return true;
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

/* Sizes and offset of an entry, from its 64-bit extra field where the short ones are full. */
static bool zip_entry_place(const unsigned char *entry, size_t name_len, size_t extra_len, int64_t *at,
			    struct zip_entry *sizes)
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
	sizes->size = (int64_t)packed;
	sizes->whole = (int64_t)whole;
	return *at >= 0 && sizes->size >= 0 && sizes->whole >= 0;
}

/* The bytes of an entry lie behind its own header, whose extra field may have another length than the directory's. */
static bool zip_entry_data(int fd, const struct zip_directory *dir, int64_t header, struct zip_entry *entry)
{
	unsigned char local[LOCAL_BYTES];
	if (header > dir->at - LOCAL_BYTES || !zip_read(fd, local, sizeof local, header) ||
	    memcmp(local, "PK\3\4", 4) != 0)
		return false;
	entry->at = header + LOCAL_BYTES + (int64_t)(zip_number(local + 26, 2) + zip_number(local + 28, 2));
	return entry->at <= dir->at && entry->size <= dir->at - entry->at;
}

static bool zip_entries(int fd, const struct zip_directory *dir, const unsigned char *bytes, zip_entry_fn *fn,
			void *arg)
{
	const unsigned char *at = bytes, *end = bytes + dir->size;
	int64_t seen = 0, header;
	for (; end - at >= ENTRY_BYTES && memcmp(at, "PK\1\2", 4) == 0; seen++) {
		size_t name_len = zip_number(at + 28, 2), extra_len = zip_number(at + 30, 2);
		size_t len = ENTRY_BYTES + name_len + extra_len + zip_number(at + 32, 2);
		struct zip_entry entry = { .crc = (uint32_t)zip_number(at + 16, 4),
					   .is_stored = zip_number(at + 10, 2) == 0,
					   .is_deflated = zip_number(at + 10, 2) == 8 };
		if (len > (size_t)(end - at) || !zip_entry_place(at, name_len, extra_len, &header, &entry) ||
		    !zip_entry_data(fd, dir, header, &entry))
			return false;
		CLEANUP(free_p) char *name = mem_strndup((const char *)at + ENTRY_BYTES, name_len);
		entry.name = name;
		fn(arg, &entry);
		at += len;
	}
	return at == end && seen == dir->count;
}

enum zip_state zip_walk(int fd, int64_t size, zip_entry_fn *fn, void *arg)
{
	struct zip_directory dir;
	if (!zip_locate(fd, size, &dir))
		return ZIP_NO_END;
	if (dir.size > DIRECTORY_MAX)
		return ZIP_TOO_LARGE;
	CLEANUP(free_p) unsigned char *bytes = mem_alloc((size_t)dir.size + 1);
	if (!zip_read(fd, bytes, (size_t)dir.size, dir.at) || !zip_entries(fd, &dir, bytes, fn, arg))
		return ZIP_UNFIT;
	return ZIP_RIGHT;
}
