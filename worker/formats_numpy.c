/*
 * numpy's .npy: magic, version, the length of a header, the header (a Python dict as text), then the numbers. The
 * header comes first and open_memmap sets the final size at once: as with safetensors, a right size proves nothing
 * about the last number.
 */
#include "worker/formats_internal.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define HEADER_MAX (64 * 1024) /* what numpy itself accepts is 10,000 */

static const char numpy_magic[] = "\x93NUMPY";

static struct format_verdict numpy_torn(const char *why)
{
	return format_verdict_of(FORMAT_TORN, "numpy", why);
}

/* Behind "'<key>':" and spaces; NULL: no such key. */
static const char *numpy_value(const char *header, const char *key)
{
	CLEANUP(free_p) char *quoted = mem_printf("'%s':", key);
	const char *at = strstr(header, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	return at + strspn(at, " ");
}

static const char *numpy_number(const char *at, int64_t *number)
{
	size_t digits = strspn(at, "0123456789");
	*number = 0;
	for (size_t i = 0; i < digits; i++)
		if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, at[i] - '0', number))
			return NULL;
	return digits ? at + digits : NULL;
}

/* "'<f4'": kind and bytes of one number. 0: Python objects, or a record, whose size does not stand there. */
static int64_t numpy_item_bytes(const char *descr)
{
	int64_t bytes;
	if (descr[0] != '\'' || !descr[1] || !strchr("<>|=", descr[1]) || !descr[2] ||
	    !strchr("biufcSVU", descr[2])) /* in this order: a search for 0 finds the end of the set */
		return 0;
	const char *end = numpy_number(descr + 3, &bytes);
	if (!end || *end != '\'' || bytes > INT32_MAX)
		return 0;
	return descr[2] == 'U' ? bytes * 4 : bytes;
}

/* "(3, 4)": bytes of all numbers; -1: it cannot be. */
static int64_t numpy_data_bytes(const char *shape, int64_t bytes)
{
	if (*shape++ != '(')
		return -1;
	while (*shape != ')') {
		int64_t dimension;
		shape = numpy_number(shape, &dimension);
		if (!shape || __builtin_mul_overflow(bytes, dimension, &bytes))
			return -1;
		shape += strspn(shape, "L"); /* Python 2 wrote them */
		shape += strspn(shape, ", ");
	}
	return bytes;
}

static struct format_verdict numpy_judge(const struct format_file *file, const char *header, int64_t data)
{
	const char *descr = numpy_value(header, "descr"), *shape = numpy_value(header, "shape");
	if (!descr || !shape)
		return numpy_torn("its header does not say descr and shape");
	int64_t item = numpy_item_bytes(descr);
	if (item == 0)
		return format_verdict_of(FORMAT_OPAQUE, "numpy", "hash only: numpy objects or records");
	int64_t bytes = numpy_data_bytes(shape, item);
	if (bytes < 0)
		return numpy_torn("its header has no shape that can be");
	if (bytes != file->size - data)
		return numpy_torn("another size than its header says");
	if (format_has_hole(file, data))
		return format_verdict_of(FORMAT_OPAQUE, "numpy",
					 "hash only: numpy header and size fit, but the file has holes");
	return format_verdict_of(FORMAT_SOUND, "numpy", "numpy header and exact size; file hashes");
}

static struct format_verdict numpy_check(const struct format_file *file)
{
	const unsigned char *start = file->start;
	int64_t len = start[8] | start[9] << 8, at = 10;
	if (start[6] > 1) { /* from version 2 on the length has four bytes */
		len |= (int64_t)start[10] << 16 | (int64_t)start[11] << 24;
		at = 12;
	}
	if (len > HEADER_MAX)
		return numpy_torn("the length of its header cannot be");
	CLEANUP(free_p) char *header = mem_alloc((size_t)len + 1);
	if (file->size < at + len || !format_read(file->fd, header, (size_t)len, at))
		return numpy_torn("shorter than its header");
	return numpy_judge(file, header, at + len);
}

static bool numpy_is(const struct format_file *file)
{
	return memcmp(file->start, numpy_magic, sizeof numpy_magic - 1) == 0;
}

const struct format_file_row format_row_numpy = { "numpy", numpy_is, numpy_check };
