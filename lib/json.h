/*
 * What jansson lacks: one spelling for each value, so that the same thing written
 * in two ways is the same text (and the same hash).
 */
#ifndef STOKER_LIB_JSON_H
#define STOKER_LIB_JSON_H

#include <stdbool.h>
#include <jansson.h>
#include "lib/buf.h"

/* Compact JSON: keys sorted by bytes, each number in the fewest digits that read back as the same
 * double, whole numbers without a point. False when it does not fit into out. */
bool json_canonical(const json_t *value, struct buf *out);

/* "0.003", "2", "1e+30": the number as json_canonical writes it. */
#define JSON_NUMBER_MAX 32
void json_number_text(double number, char text[JSON_NUMBER_MAX]);

/* The text in quotes. What is not UTF-8, and NUL, which many readers do not take, becomes U+FFFD. */
bool json_add_text(struct buf *out, const char *text, size_t len);

/* Any JSON value. A whole number past 64 bits is read as a real: it is out of range, not malformed.
 * \u0000 is allowed in texts. flags are jansson's. NULL and *at on error. */
json_t *json_read(const char *text, size_t len, size_t flags, json_error_t *at);

/* The same as json_loadb of an object with nothing but texts and such objects in it, as log entries are, in a small
 * part of its time. NULL: it is something else, or is written in another way; json_loadb knows. */
json_t *json_read_texts(const char *text, size_t len);

#endif
