#include "queue/transcript.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"

const char *const transcript_names[TRANSCRIPT_PARTS] = { "log", "metrics" };

/* ---- ids ---- */

bool entry_place_parse(const char *text, struct entry_place *place)
{
	char *end;
	*place = (struct entry_place){ 0 };
	if (!*text)
		return true;
	place->attempt = strtoll(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	const char *number = end + 1;
	place->number = strtoll(number, &end, 10);
	return end != number && !*end && place->attempt >= 0 && place->attempt <= ENTRY_NUMBER_MAX &&
	       place->number >= 0 && place->number <= ENTRY_NUMBER_MAX;
}

int64_t entry_lines(const json_t *entry)
{
	int64_t lines = fields_int(entry, "lines", 1);
	return lines >= 1 && lines <= ENTRY_NUMBER_MAX ? lines : 1;
}

int entry_place_compare(const struct entry_place *a, const struct entry_place *b)
{
	if (a->attempt != b->attempt)
		return a->attempt < b->attempt ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

/* ---- the whole ---- */

void transcript_done(struct transcript *t)
{
	for (int part = 0; part < TRANSCRIPT_PARTS; part++)
		free(t->streams[part].pieces);
	*t = (struct transcript){ 0 };
}

void transcript_add_piece(struct transcript_stream *stream, int64_t first, int64_t offset)
{
	stream->pieces = mem_realloc(stream->pieces, (stream->count + 1) * sizeof *stream->pieces);
	stream->pieces[stream->count++] = (struct transcript_piece){ first, offset };
}

char *transcript_prefix(const char *installation, const char *job, const char *uid)
{
	return mem_printf("%s/runs/%s-%s/", installation, job, uid);
}

char *transcript_to_json(const struct transcript *t)
{
	json_auto_t *root = json_pack("{s:s, s:I}", "stoker", "transcript", "attempt", (json_int_t)t->attempt);
	for (int part = 0; part < TRANSCRIPT_PARTS; part++) {
		const struct transcript_stream *stream = &t->streams[part];
		json_t *pieces = json_array();
		for (size_t i = 0; i < stream->count; i++)
			json_array_append_new(pieces, json_pack("[II]", (json_int_t)stream->pieces[i].first,
								(json_int_t)stream->pieces[i].offset));
		json_object_set_new(root, transcript_names[part],
				    json_pack("{s:I, s:I, s:o}", "next", (json_int_t)stream->next, "size",
					      (json_int_t)stream->size, "pieces", pieces));
	}
	return json_dumps(root, JSON_COMPACT);
}

/* Both numbers rise from piece to piece. */
static bool transcript_read_stream(const json_t *json, struct transcript_stream *stream)
{
	const json_t *pieces = json_object_get(json, "pieces"), *piece;
	struct transcript_piece last = { -1, -1 };
	size_t i;
	stream->next = fields_int(json, "next", 0);
	stream->size = fields_int(json, "size", -1);
	if (stream->next < 1 || stream->size < 0 || !json_is_array(pieces) ||
	    json_array_size(pieces) > TRANSCRIPT_PIECES_MAX)
		return false;
	json_array_foreach(pieces, i, piece)
	{
		int64_t first = json_integer_value(json_array_get(piece, 0));
		int64_t offset = json_integer_value(json_array_get(piece, 1));
		if (first <= last.first || offset <= last.offset || first >= stream->next || offset >= stream->size)
			return false;
		last = (struct transcript_piece){ first, offset };
		transcript_add_piece(stream, first, offset);
	}
	return (stream->count > 0) == (stream->next > 1);
}

bool transcript_from_json(const char *text, size_t len, struct transcript *t, struct error *err)
{
	json_auto_t *root = fields_parse(text, len);
	*t = (struct transcript){ .attempt = fields_int(root, "attempt", 0) };
	bool ok = fields_is(root, "stoker", "transcript") && t->attempt > 0;
	for (int part = 0; ok && part < TRANSCRIPT_PARTS; part++)
		ok = transcript_read_stream(json_object_get(root, transcript_names[part]), &t->streams[part]);
	return ok || error_set(err, ERR_DAMAGED, "it was not written by stoker, or is cut off",
			       "it is no transcript of an attempt");
}
