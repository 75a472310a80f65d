#include "scheduler/archive_store.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "lib/fields.h"
#include "lib/store.h"
#include "queue/code.h"
#include "scheduler/archive_index.h"

enum {
	INDEX_MAX = 4 * 1024 * 1024,
	LIST_BLOCKS = 100, /* empty ones that a page passes over */
	SCAN_OBJECTS = 10, /* read in one go */
};

const char *const archive_part_names[ARCHIVE_PARTS] = { "record", "log", "metrics" };

/* ---- names ---- */

struct object {
	int64_t least, most, ms;
	char *key;
};

struct objects {
	struct object *all;
	size_t count, capacity;
};

static void objects_done(struct objects *objects)
{
	for (size_t i = 0; i < objects->count; i++)
		free(objects->all[i].key);
	free(objects->all);
}

static char *archive_prefix(const struct archive_place *place, int64_t block)
{
	return mem_printf("%s/archive/%s/%" PRId64 "/", place->installation, place->queue, block);
}

/* What is not named like ours is somebody else's, and nothing to us. */
static bool objects_add(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	struct objects *objects = arg;
	struct object one = { 0 };
	const char *name = strrchr(key, '/');
	int used = 0;
	(void)st;
	(void)err;
	if (!name ||
	    sscanf(name, "/%" SCNd64 "-%" SCNd64 "-%" SCNd64 ".%*8[0-9a-f]%n", &one.least, &one.most, &one.ms, &used) !=
		    3 ||
	    used == 0 || name[used])
		return true;
	if (objects->count == objects->capacity) {
		objects->capacity = objects->capacity * 2 + 16;
		objects->all = mem_realloc(objects->all, objects->capacity * sizeof *objects->all);
	}
	one.key = mem_strdup(key);
	objects->all[objects->count++] = one;
	return true;
}

static bool objects_read(struct store *store, const struct archive_place *place, int64_t block, struct objects *objects,
			 struct error *err)
{
	CLEANUP(free_p) char *prefix = archive_prefix(place, block);
	return store_list(store, prefix, objects_add, objects, err);
}

static int objects_latest_first(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	return (y->ms > x->ms) - (y->ms < x->ms);
}

static int objects_largest_first(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	return y->most != x->most ? (y->most > x->most) - (y->most < x->most) : objects_latest_first(a, b);
}

/* ---- writing ---- */

static bool archive_write_line(struct store_put *put, const char *text, struct error *err)
{
	return store_write(put, text, strlen(text), err) && store_write(put, "\n", 1, err);
}

static bool archive_write(struct store_put *put, const char *index, const struct archive_job *jobs, size_t count,
			  struct error *err)
{
	bool ok = archive_write_line(put, index, err);
	for (size_t i = 0; ok && i < count; i++)
		for (int part = 0; ok && part < ARCHIVE_PARTS; part++)
			ok = !jobs[i].parts[part] || archive_write_line(put, jobs[i].parts[part], err);
	return ok;
}

bool archive_put(const struct archive_place *place, int64_t now_ms, const struct archive_job *jobs, size_t count,
		 struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	struct store_put *put;
	uint32_t noise;
	int64_t least = jobs[0].n, most = jobs[0].n;
	for (size_t i = 1; i < count; i++) {
		least = jobs[i].n < least ? jobs[i].n : least;
		most = jobs[i].n > most ? jobs[i].n : most;
	}
	if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
		return error_errno(err, ERR_SYSTEM, NULL, "no random number for the name of an object");
	CLEANUP(free_p) char *index = archive_index_make(jobs, count, err);
	CLEANUP(free_p) char *prefix = archive_prefix(place, least / ARCHIVE_BLOCK);
	CLEANUP(free_p)
	char *key = mem_printf("%s%" PRId64 "-%" PRId64 "-%" PRId64 ".%08" PRIx32, prefix, least, most, now_ms, noise);
	if (!index || !store_open(place->store, &store, err) || !store_begin(store, key, &put, err))
		return false;
	if (archive_write(put, index, jobs, count, err))
		return store_finish(put, NULL, err);
	store_abort(put);
	return false;
}

/* ---- reading ---- */

struct reader {
	struct store_get *get;
	const char *key;
	char piece[65536];
	size_t at, len; /* of what is left in piece */
};

static bool reader_damaged(const struct reader *r, struct error *err)
{
	return error_set(err, ERR_DAMAGED, "it was not written by stoker, or is cut off",
			 "the object %s of the archive is damaged", r->key);
}

static bool reader_fill(struct reader *r, struct error *err)
{
	if (r->at < r->len)
		return true;
	r->at = r->len = 0;
	if (!store_read(r->get, r->piece, sizeof r->piece, &r->len, err))
		return false;
	return r->len > 0 || reader_damaged(r, err);
}

/* The index, parsed; NULL: err says why. */
static json_t *reader_index(struct reader *r, struct error *err)
{
	CLEANUP(buf) struct buf line;
	buf_init(&line, INDEX_MAX);
	const char *end = NULL;
	while (!end) {
		if (!reader_fill(r, err))
			return NULL;
		const char *start = r->piece + r->at;
		end = memchr(start, '\n', r->len - r->at);
		size_t len = end ? (size_t)(end - start) : r->len - r->at;
		if (!buf_add(&line, start, len)) {
			reader_damaged(r, err);
			return NULL;
		}
		r->at += len + (end ? 1 : 0);
	}
	json_t *index = fields_parse(buf_text(&line), line.len);
	if (!archive_index_is_right(index)) {
		json_decref(index);
		reader_damaged(r, err);
		return NULL;
	}
	return index;
}

/* Adds len bytes of what stands skip bytes on. */
static bool reader_copy(struct reader *r, int64_t skip, int64_t len, struct buf *text, struct error *err)
{
	while (len > 0) {
		if (!reader_fill(r, err))
			return false;
		int64_t there = (int64_t)(r->len - r->at);
		int64_t step = skip > 0 ? skip : len;
		step = step < there ? step : there;
		if (skip == 0 && !buf_add(text, r->piece + r->at, (size_t)step))
			return error_set(err, ERR_FULL, NULL, "a part of an archived job is larger than %zu bytes",
					 text->max);
		*(skip > 0 ? &skip : &len) -= step;
		r->at += (size_t)step;
	}
	return true;
}

static bool reader_open(struct reader *r, struct store *store, const char *key, json_t **index, struct error *err)
{
	r->key = key;
	r->at = r->len = 0;
	if (!store_get(store, key, &r->get, err))
		return false;
	*index = reader_index(r, err);
	if (!*index)
		store_get_close(STEAL(r->get));
	return *index != NULL;
}

static bool archive_get_from(struct store *store, const char *key, int64_t n, enum archive_part part, struct buf *text,
			     bool *is_there, struct error *err)
{
	json_auto_t *index = NULL;
	CLEANUP(free_p) struct reader *r = mem_alloc(sizeof *r);
	if (!reader_open(r, store, key, &index, err))
		return false;
	CLEANUP(store_get) struct store_get *get = r->get;
	const json_t *row = archive_index_find(index, n);
	const json_t *place = json_object_get(row, archive_part_names[part]);
	*is_there = row != NULL;
	if (!place)
		return true;
	return reader_copy(r, json_integer_value(json_array_get(place, 0)),
			   json_integer_value(json_array_get(place, 1)), text, err);
}

bool archive_get(const struct archive_place *place, int64_t n, enum archive_part part, struct buf *text,
		 struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	struct objects objects = { 0 };
	bool is_there = false;
	bool ok = store_open(place->store, &store, err) && objects_read(store, place, n / ARCHIVE_BLOCK, &objects, err);
	if (objects.count)
		qsort(objects.all, objects.count, sizeof *objects.all, objects_latest_first);
	for (size_t i = 0; ok && !is_there && i < objects.count; i++)
		if (objects.all[i].least <= n && n <= objects.all[i].most)
			ok = archive_get_from(store, objects.all[i].key, n, part, text, &is_there, err);
	objects_done(&objects);
	if (ok && !is_there)
		return error_set(err, ERR_NOT_FOUND, NULL, "job %s-%" PRId64 " is not in the archive", place->queue, n);
	return ok;
}

/* ---- listing ---- */

struct page_job {
	json_t *job;
	int64_t n;
	int64_t ms; /* of its object: a later one counts */
};

struct page {
	const struct archive_query *query;
	struct page_job *jobs; /* the largest numbers first; each once */
	size_t count;
};

static void page_add(struct page *page, json_t *job, int64_t ms)
{
	const struct page_job one = { .job = job, .n = fields_int(job, "n", 0), .ms = ms };
	int64_t past = page->query->ended_before_ms;
	size_t at = page->count;
	if (one.n >= page->query->before || (past && fields_int(job, "ended_ms", 0) >= past))
		return;
	while (at > 0 && page->jobs[at - 1].n <= one.n)
		at--;
	if (at == (size_t)page->query->limit)
		return;
	if (at < page->count && page->jobs[at].n == one.n) {
		if (ms <= page->jobs[at].ms)
			return;
		json_decref(page->jobs[at].job);
	} else {
		if (page->count == (size_t)page->query->limit)
			json_decref(page->jobs[--page->count].job);
		memmove(page->jobs + at + 1, page->jobs + at, (page->count - at) * sizeof *page->jobs);
		page->count++;
	}
	page->jobs[at] = one;
	json_incref(job);
}

static bool page_is_full(const struct page *page, int64_t most)
{
	return page->count == (size_t)page->query->limit && page->jobs[page->count - 1].n > most;
}

static bool page_read_object(struct page *page, struct store *store, const struct object *object, struct error *err)
{
	json_auto_t *index = NULL;
	CLEANUP(free_p) struct reader *r = mem_alloc(sizeof *r);
	if (!reader_open(r, store, object->key, &index, err))
		return false;
	store_get_close(r->get);
	size_t i;
	json_t *row;
	json_array_foreach(json_object_get(index, "jobs"), i, row)
	{
		page_add(page, json_object_get(row, "job"), object->ms);
	}
	return true;
}

static bool page_read_block(struct page *page, struct store *store, const struct archive_place *place, int64_t block,
			    struct error *err)
{
	struct objects objects = { 0 };
	bool ok = objects_read(store, place, block, &objects, err);
	if (objects.count)
		qsort(objects.all, objects.count, sizeof *objects.all, objects_largest_first);
	for (size_t i = 0; ok && i < objects.count && !page_is_full(page, objects.all[i].most); i++)
		if (objects.all[i].least < page->query->before)
			ok = page_read_object(page, store, &objects.all[i], err);
	objects_done(&objects);
	return ok;
}

/* next: where the page after this one begins; 0: there is none. */
static bool page_write(const struct page *page, const char *queue, int64_t next, struct buf *text)
{
	json_t *jobs = json_array();
	char cursor[24] = "";
	if (page->count == (size_t)page->query->limit)
		next = page->jobs[page->count - 1].n;
	if (next > 0)
		str_format(cursor, sizeof cursor, "%" PRId64, next);
	for (size_t i = 0; i < page->count; i++) {
		json_t *job = page->jobs[i].job;
		json_object_set_new(job, "id", json_sprintf("%s-%" PRId64, queue, page->jobs[i].n));
		json_object_del(job, "n");
		json_array_append(jobs, job);
	}
	json_auto_t *all = json_pack("{s:o, s:s}", "jobs", jobs, "cursor", cursor);
	CLEANUP(free_p) char *whole = json_dumps(all, JSON_COMPACT);
	return whole && buf_str(text, whole);
}

bool archive_list(const struct archive_place *place, const struct archive_query *query, struct buf *text,
		  struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	struct page page = { .query = query, .jobs = mem_alloc(((size_t)query->limit + 1) * sizeof *page.jobs) };
	int64_t block = (query->before - 1) / ARCHIVE_BLOCK, last = block - LIST_BLOCKS;
	bool ok = store_open(place->store, &store, err);
	while (ok && block >= 0 && block > last && page.count < (size_t)query->limit)
		ok = page_read_block(&page, store, place, block--, err);
	if (ok && !page_write(&page, place->queue, block >= 0 ? (block + 1) * ARCHIVE_BLOCK : 0, text))
		ok = error_set(err, ERR_FULL, "ask for fewer at a time", "the page is larger than %zu bytes",
			       text->max);
	for (size_t i = 0; i < page.count; i++)
		json_decref(page.jobs[i].job);
	free(page.jobs);
	return ok;
}

/* ---- all of it ---- */

/* The blocks one after the other; in each the latest objects first, since those count. */
static int objects_scan_order(const void *a, const void *b)
{
	const struct object *x = a, *y = b;
	int64_t block = x->least / ARCHIVE_BLOCK, other = y->least / ARCHIVE_BLOCK;
	if (block != other)
		return block < other ? -1 : 1;
	if (x->ms != y->ms)
		return x->ms > y->ms ? -1 : 1;
	return (x->least > y->least) - (x->least < y->least);
}

static bool scan_damaged(const struct object *object, json_t *damaged, const struct error *why)
{
	if (why->kind == ERR_DAMAGED)
		json_array_append_new(damaged, json_string(object->key));
	return why->kind == ERR_DAMAGED;
}

/* What code the job of a row has, into its fields: an older index leaves it to the record, which is *at bytes on. */
static bool scan_code(struct reader *r, const json_t *row, int64_t *at, struct error *err)
{
	json_t *job = json_object_get(row, "job"), *code = json_object_get(row, "code");
	const json_t *place = json_object_get(row, archive_part_names[ARCHIVE_RECORD]);
	if (code || !place)
		return json_object_set(job, "code", code) == 0 || !code;
	CLEANUP(buf) struct buf text;
	buf_init(&text, ARCHIVE_PART_MAX);
	int64_t from = json_integer_value(json_array_get(place, 0)), len = json_integer_value(json_array_get(place, 1));
	if (from < *at)
		return reader_damaged(r, err);
	if (!reader_copy(r, from - *at, len, &text, err))
		return false;
	*at = from + len;
	json_auto_t *record = fields_parse(buf_text(&text), text.len);
	CLEANUP(free_p) char *named = code_named(fields_text(record, "spec"));
	return json_object_set_new(job, "code", json_string(named)) == 0 || reader_damaged(r, err);
}

static bool scan_object(struct store *store, const struct object *object, json_t *jobs, json_t *damaged,
			struct error *err)
{
	json_auto_t *index = NULL;
	CLEANUP(free_p) struct reader *r = mem_alloc(sizeof *r);
	struct error why;
	int64_t at = 0;
	size_t i;
	json_t *row;
	if (!reader_open(r, store, object->key, &index, &why)) {
		*err = why;
		return why.kind == ERR_NOT_FOUND || scan_damaged(object, damaged, err);
	}
	CLEANUP(store_get) struct store_get *get = r->get;
	json_array_foreach(json_object_get(index, "jobs"), i, row)
	{
		if (!scan_code(r, row, &at, err))
			return scan_damaged(object, damaged, err);
		json_array_append(jobs, json_object_get(row, "job"));
	}
	return true;
}

bool archive_scan(const struct archive_place *place, const char *cursor, struct buf *text, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(free_p) char *prefix = mem_printf("%s/archive/%s/", place->installation, place->queue);
	json_t *jobs = json_array(), *damaged = json_array();
	json_auto_t *all = json_pack("{s:o, s:o}", "jobs", jobs, "damaged", damaged);
	struct objects objects = { 0 };
	struct object last = { .least = -1 };
	char next[80] = "";
	if (*cursor && sscanf(cursor, "%" SCNd64 ":%" SCNd64, &last.least, &last.ms) != 2)
		return error_set(err, ERR_INPUT, "give back what the last answer said",
				 "cursor: this is none of a scan");
	bool ok = store_open(place->store, &store, err) && store_list(store, prefix, objects_add, &objects, err);
	if (objects.count)
		qsort(objects.all, objects.count, sizeof *objects.all, objects_scan_order);
	size_t at = 0, read = 0;
	while (*cursor && at < objects.count && objects_scan_order(&objects.all[at], &last) <= 0)
		at++;
	for (; ok && at < objects.count && read < SCAN_OBJECTS; at++, read++) {
		ok = scan_object(store, &objects.all[at], jobs, damaged, err);
		str_format(next, sizeof next, "%" PRId64 ":%" PRId64, objects.all[at].least, objects.all[at].ms);
	}
	json_object_set_new(all, "cursor", json_string(at < objects.count ? next : ""));
	objects_done(&objects);
	CLEANUP(free_p) char *whole = json_dumps(all, JSON_COMPACT);
	return ok && (buf_str(text, whole) ||
		      error_set(err, ERR_FULL, NULL, "a part of the archive has more than %zu bytes", text->max));
}
