/*
 * Values as people read them, and how wide text is on a terminal.
 */
#ifndef STOKER_CLI_TEXT_H
#define STOKER_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"

#define TEXT_NONE "–" /* nothing to show */

/* One unit, for a column: "42s", "12m", "3h", "1d". */
void text_age(int64_t ms, char *into, size_t size);
/* Two units, for a column: "17ms", "0.6s", "41s", "2m51", "2h51", "3d04h". */
void text_span(int64_t ms, char *into, size_t size);
/* Four significant digits, plain where that is short: "2.713", "0.00031", "1.2e-09", "NaN". */
void text_number(double value, char *into, size_t size);
/* "14:03:59" today, "Nov 21 14:03" otherwise, by the local time zone. */
void text_clock(int64_t wall_ms, int64_t now_ms, char *into, size_t size);

/* "2026-11-25 03:00:00 UTC" */
void text_utc(int64_t wall_ms, char *into, size_t size);

/* Columns that UTF-8 text takes on a terminal. */
size_t text_width(const char *text);
/* Appends text with control characters (a terminal would obey them) replaced, newlines as spaces. */
void text_clean(struct buf *into, const char *text);

#endif
