/*
 * The result of a run: one JSON value of at most 64 KiB, from the file that
 * STOKER_RESULT names or from the control fd.
 *
 * It is kept as the text that the program wrote, but for NaN, Infinity and -Infinity,
 * which Python prints and JSON does not have: they become texts. What is taken here,
 * stoker_finish takes, too.
 */
#ifndef STOKER_WORKER_RESULT_H
#define STOKER_WORKER_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"
#include "lib/error.h"

#define RESULT_MAX_BYTES (64 * 1024)
#define RESULT_FILE      "result.json" /* in the output folder */

/* Checks a text and adds it to into, without the space around it. */
bool result_take(const char *text, size_t len, struct buf *into, struct error *err) MUST_CHECK;
/* The same of a file. ERR_NOT_FOUND: there is none. */
bool result_read(const char *path, struct buf *into, struct error *err) MUST_CHECK;

/* Outside of texts NaN, Infinity and -Infinity get quotes. */
void result_quote_nonfinite(const char *text, size_t len, struct buf *into);

#endif
