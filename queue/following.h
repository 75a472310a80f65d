/*
 * What comes when a batch is done, as a graph has it beside `jobs` and a sweep in its block:
 * `then`, a spec that is submitted, and `webhook`, {"url": …}, who is told. The functions of
 * lua/batch.lua say the same sentences.
 */
#ifndef STOKER_QUEUE_FOLLOWING_H
#define STOKER_QUEUE_FOLLOWING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"
#include "lib/error.h"

struct following {
	char *then_json;    /* canonical; NULL: nothing */
	char *webhook_json; /* likewise */
};

/* The document that it stands in: where a mistake is, is told by line. */
struct following_document {
	const char *text;
	size_t len;
	const char *origin;
	const char *within; /* "sweep"; "": at the top */
};

/* Of an object that may have the two keys. */
bool following_read(const json_t *object, const struct following_document *document, struct following *following,
		    struct error *err) MUST_CHECK;
void following_done(struct following *following);

/* ,"then":…,"webhook":… as far as they are there. */
void following_write(const struct following *following, struct buf *into);

#endif
