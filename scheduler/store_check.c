#include "scheduler/store_check.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/fields.h"
#include "lib/gzip.h"
#include "queue/transcript.h"
#include "scheduler/archive_store.h"

enum { CHECK_PIECE = 65536 };

/* ---- a transcript ---- */

/* One of its two objects, on the way through it. */
struct check_stream {
	const struct transcript_stream *stream;
	int64_t attempt;
	int64_t next;    /* number that the next entry must have; -1: it is the first */
	int64_t wanted;  /* number with which the piece that begins here must begin; -1: it has begun */
	struct buf line; /* that is not whole yet */
};

static bool check_entry(struct check_stream *c, struct error *err)
{
	json_auto_t *entry = fields_parse(buf_text(&c->line), c->line.len);
	struct entry_place at;
	if (!entry || !entry_place_parse(fields_text(entry, "id"), &at) || at.attempt != c->attempt)
		return error_set(err, ERR_DAMAGED, NULL, "what follows %" PRId64 " is no entry of attempt %" PRId64,
				 c->next - 1, c->attempt);
	if (c->next >= 0 && at.number != c->next)
		return error_set(err, ERR_DAMAGED, NULL, "entry %" PRId64 " follows, and not %" PRId64, at.number,
				 c->next);
	if (c->wanted >= 0 && at.number != c->wanted)
		return error_set(err, ERR_DAMAGED, NULL, "entry %" PRId64 " stands where its index has entry %" PRId64,
				 at.number, c->wanted);
	c->wanted = -1;
	c->next = at.number + entry_lines(entry);
	return true;
}

/* A gunzip_fn. */
static bool check_take(void *arg, const char *data, size_t len, struct error *err)
{
	struct check_stream *c = arg;
	while (len > 0) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) : len;
		if (!buf_add(&c->line, data, part))
			return error_set(err, ERR_DAMAGED, NULL, "a line of it is longer than %d bytes",
					 TRANSCRIPT_LINE_MAX);
		if (!newline)
			return true;
		if (!check_entry(c, err))
			return false;
		buf_clear(&c->line);
		data += part + 1;
		len -= part + 1;
	}
	return true;
}

/* From one place of the index to the next: whole members. */
static bool check_piece(struct check_stream *c, struct store_get *get, int64_t size, struct error *err)
{
	CLEANUP(gunzip) struct gunzip *gunzip = gunzip_new();
	CLEANUP(free_p) char *data = mem_alloc(CHECK_PIECE);
	while (size > 0) {
		size_t len, most = size < CHECK_PIECE ? (size_t)size : CHECK_PIECE;
		if (!store_read(get, data, most, &len, err))
			return false;
		if (!len)
			return error_set(err, ERR_DAMAGED, NULL, "it is cut off");
		if (!gunzip_next(gunzip, data, len, check_take, c, err))
			return false;
		size -= (int64_t)len;
	}
	return (gunzip_is_whole(gunzip) && !c->line.len) ||
	       error_set(err, ERR_DAMAGED, NULL, "no piece of it ends where its index has the end of one");
}

static bool check_pieces(struct check_stream *c, struct store_get *get, struct error *err)
{
	const struct transcript_stream *stream = c->stream;
	if (get->size != stream->size)
		return error_set(err, ERR_DAMAGED, NULL, "it has %" PRId64 " bytes, its index says %" PRId64, get->size,
				 stream->size);
	if (stream->pieces[0].offset != 0)
		return error_set(err, ERR_DAMAGED, NULL, "its index does not begin where it does");
	for (size_t i = 0; i < stream->count; i++) {
		int64_t end = i + 1 < stream->count ? stream->pieces[i + 1].offset : stream->size;
		c->wanted = stream->pieces[i].first;
		if (!check_piece(c, get, end - stream->pieces[i].offset, err))
			return error_wrap(err, "from entry %" PRId64 " on", stream->pieces[i].first);
	}
	return c->next == stream->next ||
	       error_set(err, ERR_DAMAGED, NULL, "it ends before %" PRId64 ", its index says before %" PRId64, c->next,
			 stream->next);
}

static bool check_stream(struct store *store, const char *folder, const struct transcript *t, int part,
			 struct error *err)
{
	struct check_stream c = { .stream = &t->streams[part], .attempt = t->attempt, .next = -1, .wanted = -1 };
	CLEANUP(free_p) char *key = mem_printf("%s%s.gz", folder, transcript_names[part]);
	CLEANUP(store_get) struct store_get *get = NULL;
	if (!c.stream->count)
		return true;
	if (!store_get(store, key, &get, err)) {
		if (err->kind == ERR_NOT_FOUND)
			err->kind = ERR_DAMAGED; /* its index is there */
		return false;
	}
	buf_init(&c.line, TRANSCRIPT_LINE_MAX);
	bool ok = check_pieces(&c, get, err) || error_wrap(err, "%s.gz", transcript_names[part]);
	buf_done(&c.line);
	return ok;
}

bool store_check_transcript(struct store *store, const char *folder, struct error *err)
{
	CLEANUP(transcript) struct transcript t = { 0 };
	CLEANUP(free_p) char *key = mem_printf("%stranscript.json", folder);
	CLEANUP(free_p) char *json = NULL;
	struct store_stat st;
	struct error gone;
	int64_t attempt = 0;
	size_t len;
	const char *slash = memrchr(folder, '/', strlen(folder) - 1);
	if (!store_get_text(store, key, TRANSCRIPT_MAX, &json, &len, err))
		return false;
	if (!transcript_from_json(json, len, &t, err))
		return error_wrap(err, "transcript.json");
	if (!slash || sscanf(slash, "/%" SCNd64 "-", &attempt) != 1 || attempt != t.attempt)
		return error_set(err, ERR_DAMAGED, NULL, "transcript.json: it is that of attempt %" PRId64, t.attempt);
	for (int part = 0; part < TRANSCRIPT_PARTS; part++) {
		if (check_stream(store, folder, &t, part, err))
			continue;
		/* Or was it deleted meanwhile? The index goes first. */
		if (!store_stat(store, key, &st, &gone) && gone.kind == ERR_NOT_FOUND)
			*err = gone;
		return false;
	}
	return true;
}

/* ---- an object of the archive ---- */

struct check_lines {
	struct store_get *get;
	char *piece;
	size_t at, len; /* of what is left in it */
	struct buf line;
};

/* The next line, without its end; false with err ERR_NONE: there is none. */
static bool check_line(struct check_lines *c, struct error *err)
{
	*err = (struct error){ .kind = ERR_NONE };
	buf_clear(&c->line);
	for (;;) {
		if (c->at == c->len) {
			c->at = 0;
			if (!store_read(c->get, c->piece, CHECK_PIECE, &c->len, err))
				return false;
			if (!c->len)
				return c->line.len && error_set(err, ERR_DAMAGED, NULL, "it is cut off");
		}
		const char *from = c->piece + c->at, *newline = memchr(from, '\n', c->len - c->at);
		size_t part = newline ? (size_t)(newline - from) : c->len - c->at;
		if (!buf_add(&c->line, from, part))
			return error_set(err, ERR_DAMAGED, NULL, "a part of it is larger than %d bytes",
					 ARCHIVE_PART_MAX);
		c->at += part + (newline ? 1 : 0);
		if (newline)
			return true;
	}
}

static bool check_record(const json_t *row, const json_t *record)
{
	json_auto_t *job = json_copy((json_t *)json_object_get(row, "job"));
	json_object_del(job, "n");
	return json_equal(job, json_object_get(record, "job"));
}

static bool check_entries(const json_t *entries)
{
	size_t i;
	const json_t *entry;
	struct entry_place at;
	json_array_foreach(entries, i, entry)
	{
		const char *id = fields_text(entry, "id");
		if (!*id || !entry_place_parse(id, &at))
			return false;
	}
	return json_is_array(entries);
}

/* The line that was just read, as the index has it. */
static bool check_part(const struct check_lines *c, const json_t *row, int part, int64_t at, struct error *err)
{
	const json_t *place = json_object_get(row, archive_part_names[part]);
	const char *hash = json_string_value(json_array_get(place, 2)); /* older ones have none */
	json_auto_t *json = fields_parse(buf_text(&c->line), c->line.len);
	if (json_integer_value(json_array_get(place, 0)) != at ||
	    json_integer_value(json_array_get(place, 1)) != (int64_t)c->line.len)
		return error_set(err, ERR_DAMAGED, NULL, "it is not where the index has it");
	if (hash && strcmp(hash, digest_of(buf_text(&c->line), c->line.len).text) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "its SHA-256 is not the one in the index");
	if (!json)
		return error_set(err, ERR_DAMAGED, NULL, "it is no JSON");
	if (part == ARCHIVE_RECORD && !check_record(row, json))
		return error_set(err, ERR_DAMAGED, NULL, "it is not the job that the index has");
	if (part != ARCHIVE_RECORD && !check_entries(json))
		return error_set(err, ERR_DAMAGED, NULL, "it is no list of entries");
	return true;
}

static bool check_row(struct check_lines *c, const json_t *row, int64_t *at, struct error *err)
{
	for (int part = 0; part < ARCHIVE_PARTS; part++) {
		if (part != ARCHIVE_RECORD && !json_object_get(row, archive_part_names[part]))
			continue;
		bool ok = check_line(c, err);
		if (!ok && err->kind == ERR_NONE)
			error_set(err, ERR_DAMAGED, NULL, "it is cut off");
		if (!ok || !check_part(c, row, part, *at, err))
			return error_wrap(err, "%s of job %" PRId64, archive_part_names[part],
					  fields_int(json_object_get(row, "job"), "n", 0));
		*at += (int64_t)c->line.len + 1;
	}
	return true;
}

static bool check_rows(struct check_lines *c, const char *key, struct error *err)
{
	int64_t least = 0, most = 0, at = 0;
	size_t i;
	const json_t *row;
	const char *name = strrchr(key, '/');
	bool ok = name && sscanf(name, "/%" SCNd64 "-%" SCNd64 "-", &least, &most) == 2 && check_line(c, err);
	json_auto_t *index = ok ? fields_parse(buf_text(&c->line), c->line.len) : NULL;
	if (!ok && err->kind != ERR_NONE)
		return false;
	if (!fields_is(index, "stoker", "archive") || !json_array_size(json_object_get(index, "jobs")))
		return error_set(err, ERR_DAMAGED, NULL, "it has no index");
	json_array_foreach(json_object_get(index, "jobs"), i, row)
	{
		int64_t n = fields_int(json_object_get(row, "job"), "n", 0);
		if (n < least || n > most)
			return error_set(err, ERR_DAMAGED, NULL,
					 "its index has job %" PRId64 ", its name says %" PRId64 " to %" PRId64, n,
					 least, most);
		if (!check_row(c, row, &at, err))
			return false;
	}
	if (check_line(c, err))
		return error_set(err, ERR_DAMAGED, NULL, "there is more in it than its index has");
	return err->kind == ERR_NONE;
}

bool store_check_archived(struct store *store, const char *key, struct error *err)
{
	CLEANUP(store_get) struct store_get *get = NULL;
	CLEANUP(free_p) char *piece = mem_alloc(CHECK_PIECE);
	struct check_lines c = { .piece = piece };
	if (!store_get(store, key, &get, err))
		return false;
	c.get = get;
	*err = (struct error){ .kind = ERR_NONE };
	buf_init(&c.line, ARCHIVE_PART_MAX);
	bool ok = check_rows(&c, key, err);
	buf_done(&c.line);
	return ok;
}
