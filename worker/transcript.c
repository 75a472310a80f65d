#include "worker/transcript.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "lib/gzip.h"
#include "lib/json.h"
#include "lib/store.h"
#include "queue/transcript.h"
#include "worker/run_folder.h"
#include "worker/spool.h"

enum {
	PIECE_BYTES = 256 * 1024,
	ENTRY_LINES = 100, /* of one stream and one reading, that share an entry */
	ENTRY_BYTES = 16 * 1024,
};

/* One object on its way: lines are gathered to pieces, each a member of its own. */
struct scribe {
	const struct run_record *record;
	struct transcript_stream *stream;
	struct store_put *put;
	struct buf piece, packed;
	int64_t piece_first;
	int64_t pieces, every; /* each so many pieces stand in the index: it is bounded */
	/* an entry of the log that may go on */
	struct buf text;
	int64_t first, lines, time_ms;
	char letter;
};

/* ---- pieces ---- */

static void scribe_index(struct scribe *s)
{
	struct transcript_stream *stream = s->stream;
	if (s->pieces++ % s->every != 0)
		return;
	if (stream->count == TRANSCRIPT_PIECES_MAX) {
		for (size_t i = 0; i < stream->count / 2; i++)
			stream->pieces[i] = stream->pieces[2 * i];
		stream->count /= 2;
		s->every *= 2;
	}
	transcript_add_piece(stream, s->piece_first, stream->size);
}

static bool scribe_flush(struct scribe *s, struct error *err)
{
	if (!s->piece.len)
		return true;
	buf_clear(&s->packed);
	if (!gzip_add(&s->packed, s->piece.data, s->piece.len, err) ||
	    !store_write(s->put, s->packed.data, s->packed.len, err))
		return false;
	scribe_index(s);
	s->stream->size += (int64_t)s->packed.len;
	buf_clear(&s->piece);
	return true;
}

static void scribe_begin_line(struct scribe *s, int64_t number, int64_t time_ms)
{
	if (!s->piece.len)
		s->piece_first = number;
	buf_printf(&s->piece, "{\"id\":\"%" PRId64 "-%" PRId64 "\",\"time_ms\":\"%" PRId64 "\"", s->record->attempt,
		   number, time_ms);
}

static bool scribe_end_line(struct scribe *s, struct error *err)
{
	buf_str(&s->piece, "}\n");
	return s->piece.len < PIECE_BYTES || scribe_flush(s, err);
}

/* ---- the log ---- */

static bool scribe_end_entry(struct scribe *s, struct error *err)
{
	if (!s->lines)
		return true;
	scribe_begin_line(s, s->first, s->time_ms);
	buf_printf(&s->piece, ",\"%s\":", spool_stream_name(s->letter));
	json_add_text(&s->piece, buf_text(&s->text), s->text.len);
	buf_printf(&s->piece, ",\"lines\":\"%" PRId64 "\"", s->lines);
	buf_clear(&s->text);
	s->lines = 0;
	return scribe_end_line(s, err);
}

static bool scribe_log(struct scribe *s, const char *line, size_t len, struct error *err)
{
	struct spool_record record;
	if (!spool_parse(line, len, &record)) /* a stranger's hand: said as it stands */
		record = (struct spool_record){ .stream = 's', .count = 1, .text = line, .len = len };
	bool joins = s->lines && s->letter == record.stream && s->time_ms == record.time_ms && record.stream != 'g' &&
		     s->lines < ENTRY_LINES && s->text.len + record.len < ENTRY_BYTES;
	if (joins) {
		buf_byte(&s->text, '\n');
	} else {
		if (!scribe_end_entry(s, err))
			return false;
		s->first = s->stream->next;
		s->time_ms = record.time_ms;
		s->letter = record.stream;
	}
	buf_add(&s->text, record.text, record.len);
	s->lines += record.count;
	s->stream->next += record.count;
	return true;
}

/* ---- metrics ---- */

/* Of an attempt that did not begin at the beginning: where it did (docs/protocol.md, Metrics). */
static bool scribe_mark(struct scribe *s, const char *folder, int64_t time_ms, struct error *err)
{
	if (s->record->attempt == 1 && !s->record->resume)
		return true;
	scribe_begin_line(s, 0, time_ms);
	buf_printf(&s->piece, ",\"resumed_at\":\"%" PRId64 "\"", run_resumed_read(folder));
	return scribe_end_line(s, err);
}

static bool scribe_point(struct scribe *s, const char *folder, const char *line, size_t len, struct error *err)
{
	json_auto_t *point = json_loadb(line, len, 0, NULL);
	json_int_t time_ms = json_integer_value(json_object_get(point, "time_ms"));
	const char *name;
	json_t *value;
	if (s->stream->next == 1 && !scribe_mark(s, folder, time_ms, err))
		return false;
	scribe_begin_line(s, s->stream->next++, time_ms);
	json_object_foreach(point, name, value)
	{
		char number[JSON_NUMBER_MAX];
		const char *text = json_string_value(value);
		if (strcmp(name, "time_ms") == 0)
			continue;
		if (!text) {
			json_number_text(json_number_value(value), number);
			text = number;
		}
		buf_byte(&s->piece, ',');
		json_add_text(&s->piece, name, strlen(name));
		buf_byte(&s->piece, ':');
		json_add_text(&s->piece, text, strlen(text));
	}
	return scribe_end_line(s, err);
}

/* ---- an object ---- */

/* A record that a crash cut off has no newline: it does not count. */
static bool scribe_read(struct scribe *s, enum transcript_part part, FILE *file, const char *folder, struct error *err)
{
	CLEANUP(free_p) char *line = NULL;
	size_t capacity = 0;
	ssize_t len;
	while ((len = getline(&line, &capacity, file)) > 0 && line[len - 1] == '\n') {
		size_t text = (size_t)len - 1;
		if (!(part == TRANSCRIPT_LOG ? scribe_log(s, line, text, err)
					     : scribe_point(s, folder, line, text, err)))
			return false;
	}
	if (ferror(file))
		return error_errno(err, ERR_DAMAGED, NULL, "cannot read the %s of %s", transcript_names[part], folder);
	return scribe_end_entry(s, err) && scribe_flush(s, err);
}

static bool scribe_write(struct scribe *s, struct store *store, enum transcript_part part, FILE *file,
			 const char *folder, const char *key, struct error *err)
{
	if (!store_begin(store, key, &s->put, err))
		return false;
	if (scribe_read(s, part, file, folder, err))
		return store_finish(s->put, NULL, err);
	store_abort(s->put);
	return false;
}

static bool transcript_write_part(const struct run_record *record, struct store *store, enum transcript_part part,
				  const char *folder, const char *prefix, struct transcript *t, struct error *err)
{
	static const char *const spools[TRANSCRIPT_PARTS] = { "spool.log", "metrics.jsonl" };
	CLEANUP(free_p) char *path = run_path(folder, spools[part]);
	CLEANUP(free_p) char *key = mem_printf("%s%s.gz", prefix, transcript_names[part]);
	CLEANUP(fclose_p) FILE *file = fopen(path, "re");
	struct scribe s = { .record = record, .stream = &t->streams[part], .every = 1 };
	struct stat st;
	s.stream->next = 1;
	if (!file || fstat(fileno(file), &st) < 0)
		return error_errno(err, errno == ENOENT ? ERR_DAMAGED : ERR_SYSTEM, NULL, "cannot read %s", path);
	if (st.st_size == 0)
		return true;
	buf_init(&s.piece, PIECE_BYTES + TRANSCRIPT_LINE_MAX);
	buf_init(&s.packed, 2 * (PIECE_BYTES + TRANSCRIPT_LINE_MAX));
	buf_init(&s.text, ENTRY_BYTES + SPOOL_RECORD_MAX);
	bool ok = scribe_write(&s, store, part, file, folder, key, err);
	buf_done(&s.piece);
	buf_done(&s.packed);
	buf_done(&s.text);
	return ok;
}

static bool transcript_leftover(void *arg, const char *key, int64_t modified_ms)
{
	(void)arg;
	(void)key;
	(void)modified_ms;
	return true; /* its writer was a helper of this worker, one at a time: it is dead */
}

bool transcript_write(const char *store_url, const char *folder, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(run_record) struct run_record record = { 0 };
	CLEANUP(transcript) struct transcript t = { 0 };
	struct error ignored;
	if (!run_folder_read(folder, &record, err)) {
		if (err->kind != ERR_SYSTEM)
			err->kind = ERR_DAMAGED;
		return false;
	}
	if (!store_open(store_url, &store, err))
		return false;
	t.attempt = record.attempt;
	CLEANUP(free_p) char *of_job = transcript_prefix(record.installation, record.id, record.ref.uid);
	CLEANUP(free_p) char *prefix = mem_printf("%s%" PRId64 "-%s/", of_job, record.attempt, record.ref.token);
	(void)!store_sweep(store, prefix, transcript_leftover, NULL, &ignored);
	for (int part = 0; part < TRANSCRIPT_PARTS; part++)
		if (!transcript_write_part(&record, store, part, folder, prefix, &t, err))
			return false;
	CLEANUP(free_p) char *key = mem_printf("%stranscript.json", prefix);
	CLEANUP(free_p) char *text = transcript_to_json(&t);
	return store_put_text(store, key, text, strlen(text), err);
}
