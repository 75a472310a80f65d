#include "scheduler/transcript_read.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lib/fields.h"
#include "lib/gzip.h"
#include "lib/store.h"

enum { PAGE_BYTES = 1024 * 1024 }; /* of entries: the scheduler and its reader parse them at a time */

/* ---- which there are ---- */

struct found {
	int64_t attempt, token;
	char *folder; /* its key, with a slash at its end */
};

struct founds {
	struct found *all;
	size_t count;
};

static void founds_done(struct founds *founds)
{
	for (size_t i = 0; i < founds->count; i++)
		free(founds->all[i].folder);
	free(founds->all);
}

static bool founds_add(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	struct founds *founds = arg;
	struct found one = { 0 };
	const char *name = strrchr(key, '/');
	const char *folder = name ? memrchr(key, '/', (size_t)(name - key)) : NULL;
	(void)st;
	(void)err;
	if (!folder || strcmp(name, "/transcript.json") != 0 ||
	    sscanf(folder, "/%" SCNd64 "-%" SCNd64 "/", &one.attempt, &one.token) != 2)
		return true;
	one.folder = mem_strndup(key, (size_t)(name + 1 - key));
	founds->all = mem_realloc(founds->all, (founds->count + 1) * sizeof *founds->all);
	founds->all[founds->count++] = one;
	return true;
}

/* Of two with one number (a Redis had lost the first) the later counts. */
static int founds_order(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	if (x->attempt != y->attempt)
		return x->attempt < y->attempt ? -1 : 1;
	return (y->token > x->token) - (y->token < x->token);
}

/* ---- a page ---- */

struct page {
	const struct transcript_query *query;
	struct buf *text;
	size_t start; /* of its list in text */
	int64_t attempt, wanted;
	int64_t next; /* after the last line or point that was read */
	int64_t count;
	struct buf line; /* that is not whole yet */
	bool is_full;
};

static const char *page_log_text(const json_t *entry, const char **stream)
{
	static const char *const streams[] = { "stdout", "stderr", "stoker", "gap" };
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		*stream = streams[i];
		if (json_object_get(entry, streams[i]))
			return fields_text(entry, streams[i]);
	}
	return NULL;
}

static const char *page_skip_lines(const char *text, int64_t lines)
{
	for (; lines > 0; lines--) {
		const char *newline = strchr(text, '\n');
		if (!newline)
			return text + strlen(text);
		text = newline + 1;
	}
	return text;
}

/* Less the first and the last lines of it. */
static void page_cut(json_t *entry, int64_t attempt, int64_t number, int64_t first, int64_t lines)
{
	const char *stream, *text = page_log_text(entry, &stream);
	json_object_set_new(entry, "id", json_sprintf("%" PRId64 "-%" PRId64, attempt, number + first));
	json_object_set_new(entry, "lines", json_sprintf("%" PRId64, lines));
	if (!text || strcmp(stream, "gap") == 0)
		return;
	const char *from = page_skip_lines(text, first), *to = page_skip_lines(from, lines);
	size_t len = (size_t)(to - from);
	if (*to && len > 0)
		len--; /* the newline before what was cut off */
	json_object_set_new(entry, stream, json_stringn(from, len));
}

/* One entry; those before what is wanted are passed over. */
static bool page_add(struct page *page, const char *line, size_t len, struct error *err)
{
	const struct entry_place *before = &page->query->before;
	json_auto_t *entry = fields_parse(line, len);
	struct entry_place at;
	if (!entry || !entry_place_parse(fields_text(entry, "id"), &at) || at.attempt != page->attempt)
		return error_set(err, ERR_DAMAGED, NULL, "a line of it is no entry of attempt %" PRId64, page->attempt);
	int64_t lines = entry_lines(entry), last = at.number + lines - 1;
	page->next = last + 1;
	int64_t end = before->attempt == page->attempt ? before->number - 1 : INT64_MAX;
	if (last < page->wanted)
		return true;
	if (at.number > end || page->count == page->query->limit || page->text->len - page->start >= PAGE_BYTES) {
		page->is_full = true;
		return false;
	}
	buf_str(page->text, page->count++ ? "," : "");
	if (at.number >= page->wanted && last <= end)
		return buf_add(page->text, line, len);
	int64_t first = page->wanted > at.number ? page->wanted - at.number : 0;
	page_cut(entry, at.attempt, at.number, first, (last < end ? last : end) - at.number - first + 1);
	CLEANUP(free_p) char *text = json_dumps(entry, JSON_COMPACT);
	return buf_str(page->text, text);
}

/* A gunzip_fn. */
static bool page_take(void *arg, const char *data, size_t len, struct error *err)
{
	struct page *page = arg;
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) : len;
		if (!buf_add(&page->line, data, part))
			return error_set(err, ERR_DAMAGED, NULL, "a line of it is longer than %d bytes",
					 TRANSCRIPT_LINE_MAX);
		if (!newline)
			return true;
		if (!page_add(page, buf_text(&page->line), page->line.len, err))
			return false;
		buf_clear(&page->line);
		data += part + 1;
		len -= part + 1;
	}
	return true;
}

static bool page_read_object(struct page *page, struct store_get *get, int64_t next, struct error *err)
{
	CLEANUP(gunzip) struct gunzip *gunzip = gunzip_new();
	CLEANUP(free_p) char *piece = mem_alloc(65536);
	for (;;) {
		size_t len;
		if (!store_read(get, piece, 65536, &len, err))
			return false;
		if (len == 0)
			return (gunzip_is_whole(gunzip) && !page->line.len && page->next == next) ||
			       error_set(err, ERR_DAMAGED, NULL, "it is cut off");
		if (!gunzip_next(gunzip, piece, len, page_take, page, err))
			return page->is_full;
	}
}

/* From the last piece on that begins at or before what is wanted. */
static int64_t page_offset(const struct page *page, const struct transcript_stream *stream)
{
	size_t at = 0;
	for (size_t i = 1; i < stream->count && stream->pieces[i].first <= page->wanted; i++)
		at = i;
	return stream->pieces[at].offset;
}

static bool page_read(struct page *page, struct store *store, const struct found *found, struct error *err)
{
	const struct transcript_query *query = page->query;
	CLEANUP(transcript) struct transcript t = { 0 };
	CLEANUP(free_p) char *key = mem_printf("%stranscript.json", found->folder);
	CLEANUP(free_p) char *data = mem_printf("%s%s.gz", found->folder, transcript_names[query->part]);
	CLEANUP(free_p) char *json = NULL;
	CLEANUP(store_get) struct store_get *get = NULL;
	size_t len;
	if (!store_get_text(store, key, TRANSCRIPT_MAX, &json, &len, err))
		return false;
	if (!transcript_from_json(json, len, &t, err))
		return error_wrap(err, "%s", key);
	const struct transcript_stream *stream = &t.streams[query->part];
	page->attempt = found->attempt;
	page->wanted = found->attempt == query->after.attempt ? query->after.number + 1 : 0;
	if (stream->next <= page->wanted || !stream->count)
		return true;
	if (!store_get_range(store, data, page_offset(page, stream), -1, &get, err))
		return false;
	page->next = 1; /* a mark has no number of its own */
	return page_read_object(page, get, stream->next, err) || error_wrap(err, "%s", data);
}

static bool page_of_all(struct page *page, struct store *store, const struct founds *founds, struct error *err)
{
	const struct transcript_query *query = page->query;
	bool ok = true;
	for (size_t i = 0; ok && !page->count && i < founds->count; i++) {
		const struct found *found = &founds->all[i];
		bool is_older = i > 0 && found->attempt == founds->all[i - 1].attempt;
		bool is_behind = query->before.attempt && found->attempt > query->before.attempt;
		if (is_older || is_behind || found->attempt < query->after.attempt)
			continue;
		ok = page_read(page, store, found, err);
	}
	return ok;
}

/* ---- the job ---- */

static bool page_find_uid(const struct archive_place *place, struct transcript_query *query, struct error *err)
{
	CLEANUP(buf) struct buf record;
	buf_init(&record, ARCHIVE_PART_MAX);
	if (*query->uid)
		return true;
	if (!archive_get(place, query->n, ARCHIVE_RECORD, &record, err))
		return false;
	json_auto_t *json = fields_parse(buf_text(&record), record.len);
	const char *uid = fields_text(json_object_get(json, "job"), "uid");
	return (*uid && str_copy(query->uid, sizeof query->uid, uid)) ||
	       error_set(err, ERR_DAMAGED, NULL, "the record of job %s-%" PRId64 " has no uid", place->queue, query->n);
}

bool transcript_page(const struct archive_place *place, const struct transcript_query *query, struct buf *text,
		     struct error *err)
{
	struct transcript_query known = *query;
	struct page page = { .query = &known, .text = text };
	struct founds founds = { 0 };
	char job[96];
	if (!page_find_uid(place, &known, err))
		return false;
	CLEANUP(store) struct store *store = NULL;
	str_format(job, sizeof job, "%s-%" PRId64, place->queue, query->n);
	CLEANUP(free_p) char *prefix = transcript_prefix(place->installation, job, known.uid);
	buf_init(&page.line, TRANSCRIPT_LINE_MAX);
	buf_byte(text, '[');
	page.start = text->len;
	bool ok = store_open(place->store, &store, err) && store_list(store, prefix, founds_add, &founds, err);
	if (ok && founds.count)
		qsort(founds.all, founds.count, sizeof *founds.all, founds_order);
	ok = ok && page_of_all(&page, store, &founds, err);
	buf_byte(text, ']');
	founds_done(&founds);
	buf_done(&page.line);
	return ok;
}

/* ---- of the archive ---- */

bool transcript_is_next(const struct entry_place *after, const struct entry_place *first)
{
	if (first->attempt == after->attempt)
		return first->number <= after->number + 1;
	return first->attempt == 1 && first->number <= 1;
}

size_t transcript_whole(const json_t *entries)
{
	size_t count = json_array_size(entries);
	for (size_t i = 1; i < count; i++)
		if (json_object_get(json_array_get(entries, i), "gap"))
			return i;
	return count;
}

json_t *transcript_gap(const struct transcript_query *query, const json_t *next, const struct error *why)
{
	struct entry_place at;
	if (query->part != TRANSCRIPT_LOG || json_object_get(next, "gap") ||
	    !entry_place_parse(fields_text(next, "id"), &at))
		return NULL;
	int64_t first = at.attempt == query->after.attempt ? query->after.number + 1 : 1;
	if (at.number <= first)
		return NULL;
	return json_pack("[{s:o, s:s, s:o, s:o}]", "id", json_sprintf("%" PRId64 "-%" PRId64, at.attempt, first),
			 "time_ms", fields_text(next, "time_ms"), "gap",
			 json_sprintf("they are in the store, which cannot be read now: %s", why->message), "lines",
			 json_sprintf("%" PRId64, at.number - first));
}

/* Those behind the place; *is_hole: in front of the first of them something is missing. */
static json_t *archived_slice(const json_t *all, struct transcript_query *query, bool *is_hole)
{
	json_t *page = json_array();
	struct entry_place at;
	size_t i;
	json_t *entry;
	json_array_foreach(all, i, entry)
	{
		if (entry_place_parse(fields_text(entry, "id"), &at) && json_array_size(page) < (size_t)query->limit &&
		    entry_place_compare(&at, &query->after) > 0)
			json_array_append(page, entry);
	}
	const json_t *first = json_array_get(page, 0);
	bool is_gap = first && json_object_get(first, "gap");
	entry_place_parse(fields_text(first, "id"), &query->before);
	*is_hole = first &&
		   (is_gap || (first == json_array_get(all, 0) && !transcript_is_next(&query->after, &query->before)));
	if (is_gap)
		query->before.number += entry_lines(first);
	return page;
}

/* Nothing is left of what was archived: is that the end, or does only the transcript have it? */
static bool archived_is_cut(const struct archive_place *place, const json_t *all, struct transcript_query *query,
			    bool *is_cut, struct error *err)
{
	CLEANUP(buf) struct buf record;
	struct entry_place last;
	const json_t *entry = json_array_get(all, json_array_size(all) - 1);
	buf_init(&record, ARCHIVE_PART_MAX);
	if (!archive_get(place, query->n, ARCHIVE_RECORD, &record, err))
		return false;
	json_auto_t *json = fields_parse(buf_text(&record), record.len);
	*is_cut = json_object_get(json_object_get(json, "job"), "is_cut") != NULL;
	entry_place_parse(fields_text(entry, "id"), &last);
	last.number += entry_lines(entry) - 1;
	if (entry && entry_place_compare(&last, &query->after) > 0)
		query->after = last; /* what was asked with is the beginning of the last entry */
	return true;
}

bool transcript_archived_page(const struct archive_place *place, const struct transcript_query *query, struct buf *text,
			      struct error *err)
{
	static const enum archive_part parts[] = {
		[TRANSCRIPT_LOG] = ARCHIVE_LOG, [TRANSCRIPT_METRICS] = ARCHIVE_METRICS
	};
	struct transcript_query asked = *query;
	CLEANUP(buf) struct buf kept;
	bool is_hole;
	buf_init(&kept, ARCHIVE_PART_MAX);
	if (!archive_get(place, query->n, parts[query->part], &kept, err))
		return false;
	json_auto_t *all = kept.len ? fields_parse(buf_text(&kept), kept.len) : json_array();
	if (!all)
		return error_set(err, ERR_DAMAGED, "its object in the store is not as it was written",
				 "what the archive has of job %s-%" PRId64 " is no JSON", place->queue, query->n);
	json_auto_t *page = archived_slice(all, &asked, &is_hole), *gap = NULL;
	if (!json_array_size(page) && !archived_is_cut(place, all, &asked, &is_hole, err))
		return false;
	if (is_hole && !transcript_page(place, &asked, text, err)) {
		buf_clear(text);
		gap = transcript_gap(&asked, json_array_get(page, 0), err);
	}
	if (text->len > strlen("[]"))
		return true;
	buf_clear(text);
	while (json_array_size(page) > transcript_whole(page))
		json_array_remove(page, json_array_size(page) - 1);
	CLEANUP(free_p) char *whole = json_dumps(gap ? gap : page, JSON_COMPACT);
	return buf_str(text, whole) ||
	       error_set(err, ERR_FULL, "ask for fewer at a time", "the page is larger than %zu bytes", text->max);
}
