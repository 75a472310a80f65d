/* An object of the archive, and a transcript with its index, as anybody may have left them in the store: what is read
 * of them is JSON, or it is refused; whoever pages through a log comes to an end of it. The input is the object, the
 * index and the log as it is before it is packed, with lines of "====" between them. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/fields.h"
#include "lib/gzip.h"
#include "scheduler/transcript_read.h"
#include "tests/fuzz/fuzz.h"

#define OBJECT     "i/archive/q/0/1-9-5.00000000"
#define TRANSCRIPT "i/runs/q-1-u/1-7/"
#define BETWEEN    "\n====\n"

static int fuzz_root = -1;

static void fuzz_clean(void)
{
	beneath_remove(fuzz_root, "i");
	close(fuzz_root);
}

static void fuzz_put(const char *path, const void *data, size_t size)
{
	const char *name;
	CLEANUP(close_fd) int at = beneath_parent_make(fuzz_root, path, &name, false);
	CLEANUP(close_fd) int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FUZZ_CHECK(fd >= 0 && write(fd, data, size) == (ssize_t)size);
}

/* What stands before the next line between; *data goes behind it. */
static size_t fuzz_cut(const uint8_t **data, size_t *size)
{
	const uint8_t *end = memmem(*data, *size, BETWEEN, strlen(BETWEEN));
	size_t len = end ? (size_t)(end - *data) : *size, skip = end ? len + strlen(BETWEEN) : len;
	*data += skip;
	*size -= skip;
	return len;
}

static void fuzz_store(const uint8_t *data, size_t size)
{
	CLEANUP(buf) struct buf packed;
	struct error err;
	const uint8_t *at = data;
	size_t len = fuzz_cut(&data, &size);
	fuzz_put(OBJECT, at, len);
	at = data;
	len = fuzz_cut(&data, &size);
	fuzz_put(TRANSCRIPT "transcript.json", at, len);
	buf_init(&packed, 4 * size + 1024);
	FUZZ_CHECK(!size || gzip_add(&packed, data, size, &err));
	fuzz_put(TRANSCRIPT "log.gz", buf_text(&packed), packed.len);
}

/* The list or object that was answered (a new reference); NULL: it was refused. */
static json_t *fuzz_answer(bool ok, const struct buf *text, const struct error *err)
{
	if (!ok) {
		FUZZ_CHECK(err->kind == ERR_DAMAGED || err->kind == ERR_NOT_FOUND || err->kind == ERR_FULL);
		return NULL;
	}
	json_t *json = fields_parse(buf_text(text), text->len);
	FUZZ_CHECK(json);
	return json;
}

typedef bool page_fn(const struct archive_place *place, const struct transcript_query *query, struct buf *text,
		     struct error *err);

/* As a reader does it: what it asks for next stands behind what it was given. */
static void fuzz_pages(const struct archive_place *place, page_fn *page, enum transcript_part part,
		       struct entry_place before)
{
	struct transcript_query query = { .n = 1, .uid = "u", .part = part, .before = before, .limit = 2 };
	for (int pages = 0; pages < 4; pages++) {
		CLEANUP(buf) struct buf text;
		struct error err = { .kind = ERR_NONE };
		struct entry_place last;
		buf_init(&text, ARCHIVE_PART_MAX);
		json_auto_t *list = fuzz_answer(page(place, &query, &text, &err), &text, &err);
		size_t count = json_array_size(list);
		FUZZ_CHECK(count <= 2 && (!list || json_is_array(list)));
		if (!count)
			return;
		FUZZ_CHECK(entry_place_parse(fields_text(json_array_get(list, count - 1), "id"), &last));
		FUZZ_CHECK(entry_place_compare(&last, &query.after) > 0);
		query.after = last;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (fuzz_root < 0) {
		fuzz_root = beneath_root(fuzz_folder());
		FUZZ_CHECK(fuzz_root >= 0);
		atexit(fuzz_clean);
	}
	const size_t whole = size;
	fuzz_store(data, size);
	CLEANUP(free_p) char *url = mem_printf("file://%s", fuzz_folder());
	const struct archive_place place = { .store = url, .installation = "i", .queue = "q" };
	for (int n = 1; n < 3; n++)
		for (int part = 0; part < ARCHIVE_PARTS; part++) {
			CLEANUP(buf) struct buf text;
			struct error err = { .kind = ERR_NONE };
			buf_init(&text, ARCHIVE_PART_MAX);
			bool ok = archive_get(&place, n, (enum archive_part)part, &text, &err);
			FUZZ_CHECK(ok || err.kind == ERR_DAMAGED || err.kind == ERR_NOT_FOUND);
		}
	for (int limit = 1; limit < 4; limit += 2) {
		CLEANUP(buf) struct buf text;
		struct error err = { .kind = ERR_NONE };
		const struct archive_query query = { .before = 100, .limit = limit, .ended_before_ms = limit == 1 };
		buf_init(&text, ARCHIVE_PART_MAX);
		json_auto_t *list = fuzz_answer(archive_list(&place, &query, &text, &err), &text, &err);
		FUZZ_CHECK(json_array_size(json_object_get(list, "jobs")) <= (size_t)limit);
	}
	CLEANUP(buf) struct buf text;
	struct error err = { .kind = ERR_NONE };
	buf_init(&text, ARCHIVE_PART_MAX);
	json_auto_t *all = fuzz_answer(archive_scan(&place, "", &text, &err), &text, &err);
	FUZZ_CHECK(all && !*fields_text(all, "cursor"));
	static const struct entry_place befores[] = { { 0, 0 }, { 1, 3 }, { 2, 1 } };
	fuzz_pages(&place, transcript_page, TRANSCRIPT_LOG, befores[whole % ARRAY_LEN(befores)]);
	fuzz_pages(&place, transcript_archived_page, TRANSCRIPT_LOG, befores[0]);
	fuzz_pages(&place, transcript_archived_page, TRANSCRIPT_METRICS, befores[0]);
	return 0;
}
