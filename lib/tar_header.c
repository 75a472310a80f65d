#include "lib/tar_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TAR_NAME_MAX = 100 };

/* POSIX.1-1988 (ustar): texts end with NUL where there is room, numbers are octal. */
struct tar_fields {
	char name[TAR_NAME_MAX];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[6], version[2];
	char user[32], group[32];
	char major[8], minor[8];
	char prefix[155];
	char rest[12];
};
_Static_assert(sizeof(struct tar_fields) == TAR_BLOCK, "a header is one block");

static void tar_octal(char *into, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i-- > 0; value >>= 3)
		into[i] = (char)('0' + (value & 7));
	into[size - 1] = '\0';
}

static bool tar_one(struct buf *out, const char *name, char type, mode_t mode, int64_t size)
{
	struct tar_fields f = { .type = type, .magic = "ustar", .version = { '0', '0' } };
	memcpy(f.name, name, strnlen(name, sizeof f.name));
	tar_octal(f.mode, sizeof f.mode, mode & 0777);
	tar_octal(f.uid, sizeof f.uid, 0);
	tar_octal(f.gid, sizeof f.gid, 0);
	tar_octal(f.size, sizeof f.size, (uint64_t)size);
	tar_octal(f.mtime, sizeof f.mtime, 0);
	tar_octal(f.major, sizeof f.major, 0);
	tar_octal(f.minor, sizeof f.minor, 0);
	memset(f.checksum, ' ', sizeof f.checksum);
	unsigned sum = 0;
	for (size_t i = 0; i < sizeof f; i++)
		sum += ((const unsigned char *)&f)[i];
	tar_octal(f.checksum, sizeof f.checksum - 1, sum);
	return buf_add(out, &f, sizeof f);
}

/* "<len> path=<path>\n", where len counts its own digits, too. */
static bool tar_long_path(struct buf *out, const char *path)
{
	static const char charset[] = "21 hdrcharset=BINARY\n"; /* the path is bytes, whatever the reader's locale */
	size_t plain = strlen(" path=\n") + strlen(path);
	size_t len = plain + 1;
	for (char digits[24]; snprintf(digits, sizeof digits, "%zu", len) + plain != len;)
		len++;
	int64_t size = (int64_t)(strlen(charset) + len);
	return tar_one(out, "pax", 'x', 0644, size) && buf_str(out, charset) &&
	       buf_printf(out, "%zu path=%s\n", len, path) && tar_padding(out, size);
}

bool tar_header(struct buf *out, const char *path, mode_t mode, int64_t size)
{
	if (strlen(path) > TAR_NAME_MAX && !tar_long_path(out, path))
		return false;
	return tar_one(out, path, '0', mode, size);
}

bool tar_padding(struct buf *out, int64_t size)
{
	static const char zeros[TAR_BLOCK];
	size_t over = (size_t)(size % TAR_BLOCK);
	return !over || buf_add(out, zeros, TAR_BLOCK - over);
}

bool tar_end(struct buf *out)
{
	static const char zeros[2 * TAR_BLOCK];
	return buf_add(out, zeros, sizeof zeros);
}
