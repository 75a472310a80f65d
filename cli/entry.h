/*
 * Entries of the log, metrics and event streams as the API gives them (docs/protocol.md).
 */
#ifndef STOKER_CLI_ENTRY_H
#define STOKER_CLI_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>
#include "lib/buf.h"
#include "lib/error.h"

/* "2-117": attempt 2, line or point 117. {0, 0} stands before every entry. */
struct entry_id {
	int64_t attempt;
	int64_t number;
};

bool entry_id_parse(const char *text, struct entry_id *id);
/* The same of entry["id"]. */
bool entry_id_read(const json_t *entry, struct entry_id *id);
/* a comes after b. */
bool entry_id_after(struct entry_id a, struct entry_id b);

struct log_text {
	const char *stream; /* stdout, stderr, stoker or gap */
	const char *text;   /* lines joined by newlines */
	int64_t lines;
};
/* False for an entry that holds no text. */
bool entry_log(const json_t *entry, struct log_text *log);

/* One event as a line: "attempt 2 lost: runner killed (signal 9)". Without time and job. */
void entry_event(const json_t *event, struct buf *into);

#endif
