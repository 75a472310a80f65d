/*
 * UTF-8, strictly: no overlong forms, no surrogates, nothing past U+10FFFF. What
 * comes from outside is checked with this once, at the boundary.
 */
#ifndef STOKER_LIB_UTF8_H
#define STOKER_LIB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"

/* Length of the longest prefix that is whole, valid UTF-8: len when all of it is. */
size_t utf8_valid_prefix(const char *text, size_t len);

/* Bytes of the character at the start of text, of which len > 0 bytes are there; 0 when it is not valid. */
size_t utf8_char(const char *text, size_t len);

static inline bool utf8_is_valid(const char *text, size_t len)
{
	return utf8_valid_prefix(text, len) == len;
}

/* The largest cut ≤ max that does not split a character of valid text. */
size_t utf8_cut(const char *text, size_t len, size_t max);

/* Adds a line of a program for people to read: blanks at its ends, colours of a terminal, controls and what is no UTF-8
 * are left out; cut after max bytes, with "…". */
void utf8_plain(const char *text, size_t len, size_t max, struct buf *into);

#endif
