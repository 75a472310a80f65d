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
};

struct checksums_file {
	char *path;
	struct checksums_span *spans; /* in the order of their places once the first byte passes */
	size_t count;
	size_t room;
	size_t next; /* the first that has not passed yet */
};

struct checksums {
	struct checksums_file *files;
	size_t count;
	struct checksums_file *passing; /* NULL: the file that passes has none */
};

struct checksums *checksums_new(void)
{
	return mem_alloc(sizeof(struct checksums));
}

void checksums_free(struct checksums *sums)
{
	if (!sums)
		return;
	for (size_t i = 0; i < sums->count; i++) {
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

void checksums_expect(struct checksums *sums, int64_t at, int64_t len, uint32_t crc)
{
	if (!sums || len == 0) /* the CRC of nothing is 0, whoever computes it */
		return;
	struct checksums_file *file = &sums->files[sums->count - 1];
	if (file->count == file->room) {
		file->room = file->room ? file->room * 2 : 64;
		file->spans = mem_realloc(file->spans, file->room * sizeof *file->spans);
	}
	file->spans[file->count++] = (struct checksums_span){ .at = at, .len = len, .expected = crc };
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

/* What of the chunk belongs to the span. */
static void checksums_add(struct checksums_span *span, int64_t at, const unsigned char *data, int64_t len)
{
	int64_t begin = span->at > at ? span->at : at;
	int64_t end = span->at + span->len < at + len ? span->at + span->len : at + len;
	if (end <= begin)
		return;
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
		checksums_add(span, at, data, (int64_t)len);
		if (span->at + span->len > end)
			break; /* the rest of it comes with the next chunk */
	}
}

static bool checksums_finish_file(const struct checksums_file *file, size_t *right, size_t *unknown, struct error *err)
{
	size_t same = 0;
	const struct checksums_span *wrong = NULL;
	for (size_t i = 0; i < file->count; i++) {
		const struct checksums_span *span = &file->spans[i];
		if (span->passed == span->len && span->seen == span->expected)
			same++;
		else
			wrong = span;
	}
	if (wrong && same)
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
