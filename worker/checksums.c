#include "worker/checksums.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "lib/buf.h"

struct checksums_span {
	int64_t at;
	int64_t len;
	int64_t passed;
	uint32_t expected;
	uint32_t seen;
	bool is_deflated, has_ended, is_broken;
	int64_t whole, unpacked; /* bytes, of one that is deflated */
	z_stream *z;             /* while it passes */
};

struct checksums_file {
	char *path;
	struct checksums_span *spans; /* in the order of their places once the first byte passes */
	size_t count;
	size_t room;
	size_t next; /* the first that has not passed yet */
};

enum { CHECKSUMS_UNPACK = 64 * 1024 };

struct checksums {
	unsigned char unpacked[CHECKSUMS_UNPACK];
	struct checksums_file *files;
	size_t count;
	struct checksums_file *passing; /* NULL: the file that passes has none */
};

struct checksums *checksums_new(void)
{
	return mem_alloc(sizeof(struct checksums));
}

static void checksums_close(struct checksums_span *span)
{
	if (span->z)
		inflateEnd(span->z);
	free(span->z);
	span->z = NULL;
}

void checksums_free(struct checksums *sums)
{
	if (!sums)
		return;
	for (size_t i = 0; i < sums->count; i++) {
		for (size_t k = 0; k < sums->files[i].count; k++)
			checksums_close(&sums->files[i].spans[k]);
		free(sums->files[i].path);
		free(sums->files[i].spans);
	}
	free(sums->files);
	free(sums);
}

void checksums_file(struct checksums *sums, const char *path)
{
	if (!sums)
		return;
	sums->files = mem_realloc(sums->files, (sums->count + 1) * sizeof *sums->files);
	sums->files[sums->count++] = (struct checksums_file){ .path = mem_strdup(path) };
}

static void checksums_expect_span(struct checksums *sums, const struct checksums_span *span)
{
	if (!sums || span->len == 0) /* the CRC of nothing is 0, whoever computes it */
		return;
	struct checksums_file *file = &sums->files[sums->count - 1];
	if (file->count == file->room) {
		file->room = file->room ? file->room * 2 : 64;
		file->spans = mem_realloc(file->spans, file->room * sizeof *file->spans);
	}
	file->spans[file->count++] = *span;
}

void checksums_expect(struct checksums *sums, int64_t at, int64_t len, uint32_t crc)
{
	const struct checksums_span span = { .at = at, .len = len, .expected = crc };
	checksums_expect_span(sums, &span);
}

void checksums_expect_deflated(struct checksums *sums, int64_t at, int64_t len, int64_t whole, uint32_t crc)
{
	const struct checksums_span span = {
		.at = at, .len = len, .expected = crc, .is_deflated = true, .whole = whole
	};
	checksums_expect_span(sums, &span);
}

static int checksums_by_place(const void *a, const void *b)
{
	const struct checksums_span *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

static struct checksums_file *checksums_find(struct checksums *sums, const char *path)
{
	for (size_t i = 0; i < sums->count; i++)
		if (strcmp(sums->files[i].path, path) == 0)
			return &sums->files[i];
	return NULL;
}

void checksums_known(struct checksums *sums, const char *path)
{
	struct checksums_file *file = checksums_find(sums, path);
	if (file)
		file->count = 0;
}

static bool checksums_open(struct checksums_span *span)
{
	if (span->z)
		return true;
	span->z = mem_alloc(sizeof *span->z);
	return inflateInit2(span->z, -MAX_WBITS) == Z_OK; /* no header: the ZIP has it */
}

/* Nothing may be left over, and it may not become more than the directory says. */
static void checksums_unpack(struct checksums *sums, struct checksums_span *span, const unsigned char *data, size_t len)
{
	if (span->is_broken || span->has_ended || !checksums_open(span)) {
		span->is_broken = true;
		return;
	}
	z_stream *z = span->z;
	z->next_in = (unsigned char *)data;
	z->avail_in = (uInt)len; /* a chunk of the tar */
	int state = Z_OK;
	do {
		z->next_out = sums->unpacked;
		z->avail_out = sizeof sums->unpacked;
		state = inflate(z, Z_NO_FLUSH);
		size_t got = sizeof sums->unpacked - z->avail_out;
		span->seen = (uint32_t)crc32_z(span->seen, sums->unpacked, got);
		span->unpacked += (int64_t)got;
	} while (state == Z_OK && span->unpacked <= span->whole && (z->avail_in || !z->avail_out));
	span->has_ended = state == Z_STREAM_END;
	span->is_broken = (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) || z->avail_in ||
			  span->unpacked > span->whole;
	if (span->has_ended || span->is_broken)
		checksums_close(span);
}

/* What of the chunk belongs to the span. */
static void checksums_add(struct checksums *sums, struct checksums_span *span, int64_t at, const unsigned char *data,
			  int64_t len)
{
	int64_t begin = span->at > at ? span->at : at;
	int64_t end = span->at + span->len < at + len ? span->at + span->len : at + len;
	if (end <= begin)
		return;
	if (span->is_deflated)
		checksums_unpack(sums, span, data + (begin - at), (size_t)(end - begin));
	else
		span->seen = (uint32_t)crc32_z(span->seen, data + (begin - at), (size_t)(end - begin));
	span->passed += end - begin;
}

void checksums_pass(void *arg, const char *path, int64_t at, const void *data, size_t len)
{
	struct checksums *sums = arg;
	if (at == 0) {
		sums->passing = checksums_find(sums, path);
		if (sums->passing && sums->passing->count)
			qsort(sums->passing->spans, sums->passing->count, sizeof *sums->passing->spans,
			      checksums_by_place);
	}
	struct checksums_file *file = sums->passing;
	if (!file)
		return;
	int64_t end = at + (int64_t)len;
	for (; file->next < file->count && file->spans[file->next].at < end; file->next++) {
		struct checksums_span *span = &file->spans[file->next];
		checksums_add(sums, span, at, data, (int64_t)len);
		if (span->at + span->len > end)
			break; /* the rest of it comes with the next chunk */
	}
}

static bool checksums_is_right(const struct checksums_span *span)
{
	bool is_unpacked = !span->is_deflated || (span->has_ended && !span->is_broken && span->unpacked == span->whole);
	return span->passed == span->len && span->seen == span->expected && is_unpacked;
}

static bool checksums_finish_file(const struct checksums_file *file, size_t *right, size_t *unknown, struct error *err)
{
	size_t same = 0;
	const struct checksums_span *wrong = NULL;
	for (size_t i = 0; i < file->count; i++) {
		const struct checksums_span *span = &file->spans[i];
		if (checksums_is_right(span))
			same++;
		else if (!wrong || span->is_deflated)
			wrong = span;
	}
	if (wrong && (same || wrong->is_deflated))
		return error_set(err, ERR_DAMAGED, NULL,
				 "it is not complete: %s: the entry at byte %" PRId64
				 " does not have the CRC that its ZIP directory says",
				 file->path, wrong->at);
	*right += same;
	*unknown += wrong ? file->count : 0;
	return true;
}

bool checksums_finish(const struct checksums *sums, size_t *right, size_t *unknown, struct error *err)
{
	*right = *unknown = 0;
	for (size_t i = 0; i < sums->count; i++)
		if (!checksums_finish_file(&sums->files[i], right, unknown, err))
			return false;
	return true;
}
