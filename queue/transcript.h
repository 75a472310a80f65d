/*
 * The transcript of an attempt: every line that it wrote and every point of its
 * metrics, in the store. Redis keeps a bounded part of both; what it cannot keep is here.
 *
 *	<installation>/runs/<job>-<uid>/<attempt>-<token>/log.gz
 *	                                                 /metrics.gz
 *	                                                 /transcript.json
 *
 * The first two hold the entries as the API has them, one JSON object a line, in the
 * order of their ids (docs/protocol.md); gunzip reads them whole. transcript.json, which
 * is written last, says with which entry each piece of them begins, so that a page is
 * read without what stands before it. Without a transcript.json there is none.
 */
#ifndef STOKER_QUEUE_TRANSCRIPT_H
#define STOKER_QUEUE_TRANSCRIPT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

enum {
	TRANSCRIPT_PIECES_MAX = 4096,
	TRANSCRIPT_MAX = 1024 * 1024,      /* bytes of a transcript.json */
	TRANSCRIPT_LINE_MAX = 1024 * 1024, /* of a line in the others */
};

enum transcript_part { TRANSCRIPT_LOG, TRANSCRIPT_METRICS, TRANSCRIPT_PARTS };
extern const char *const transcript_names[TRANSCRIPT_PARTS]; /* of their objects */

/* The place of an entry: ids are <attempt>-<number>, where number is that of its first line or point. */
struct entry_place {
	int64_t attempt;
	int64_t number;
};
/* No attempt, number or count of lines is larger: what is added up of a few of them is still a number. */
#define ENTRY_NUMBER_MAX (INT64_C(1) << 53)
/* "" is {0, 0}, which is before all. False: it is no id. */
bool entry_place_parse(const char *text, struct entry_place *place);
/* How many lines an entry has; 1 where it says nothing that could be right. */
int64_t entry_lines(const json_t *entry);
int entry_place_compare(const struct entry_place *a, const struct entry_place *b);

struct transcript_piece {
	int64_t first;  /* number of its first entry */
	int64_t offset; /* in the object */
};

struct transcript_stream {
	int64_t next; /* the number after its last line or point; 1: it has none, and there is no object */
	int64_t size; /* of the object */
	struct transcript_piece *pieces;
	size_t count;
};

struct transcript {
	int64_t attempt;
	struct transcript_stream streams[TRANSCRIPT_PARTS];
};
void transcript_done(struct transcript *t);
void transcript_add_piece(struct transcript_stream *stream, int64_t first, int64_t offset);

/* "<installation>/runs/<job>-<uid>/"; the caller frees it. */
char *transcript_prefix(const char *installation, const char *job, const char *uid);

/* The caller frees it. */
char *transcript_to_json(const struct transcript *t);
/* ERR_DAMAGED when it is none. t is the caller's either way. */
bool transcript_from_json(const char *text, size_t len, struct transcript *t, struct error *err) MUST_CHECK;

static inline void cleanup_transcript(struct transcript *t)
{
	transcript_done(t);
}

#endif
