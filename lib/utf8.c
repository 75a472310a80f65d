#include "lib/utf8.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

size_t utf8_char(const char *text, size_t left)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char low = 0x80, high = 0xbf; /* what the second byte may be */
	size_t bytes;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		bytes = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		bytes = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		bytes = 4;
	else
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0; /* shorter forms exist below */
	else if (p[0] == 0xed)
		high = 0x9f; /* surrogates above */
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f; /* U+10FFFF is the last */
	if (left < bytes || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < bytes; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return bytes;
}

/* Most text is ASCII: eight bytes are looked at as one. */
static size_t utf8_ascii_words(const char *text, size_t len)
{
	size_t at = 0;
	for (; at + 8 <= len; at += 8) {
		uint64_t word;
		memcpy(&word, text + at, sizeof word);
		if (word & 0x8080808080808080u)
			break;
	}
	return at;
}

size_t utf8_valid_prefix(const char *text, size_t len)
{
	size_t at = 0;
	while (at < len) {
		at += utf8_ascii_words(text + at, len - at);
		if (at == len)
			break;
		size_t bytes = utf8_char(text + at, len - at);
		if (!bytes)
			break;
		at += bytes;
	}
	return at;
}

size_t utf8_cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	size_t at = max;
	while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
		at--;
	return at;
}

/* Bytes at the start of text that people do not see: the colour of a terminal (ESC [31m), a control, no UTF-8. */
static size_t utf8_unseen(const char *text, const char *end)
{
	const char *at = text;
	if (end - text > 1 && text[0] == '\x1b' && text[1] == '[') {
		for (at += 2; at < end && !isalpha((unsigned char)*at);)
			at++;
		return (size_t)(at - text) + (at < end);
	}
	return iscntrl((unsigned char)*text) || !utf8_char(text, (size_t)(end - text)) ? 1 : 0;
}

void utf8_plain(const char *text, size_t len, size_t max, struct buf *into)
{
	const char *end = text + len;
	size_t before = into->len;
	while (text < end && into->len - before < max) {
		size_t unseen = utf8_unseen(text, end), bytes = unseen ? 0 : utf8_char(text, (size_t)(end - text));
		bool is_blank = *text == '\t' || *text == ' ';
		if (is_blank && into->len > before)
			buf_byte(into, ' ');
		else if (!is_blank)
			buf_add(into, text, bytes);
		text += unseen ? unseen : bytes;
	}
	while (into->len > before && into->data[into->len - 1] == ' ')
		into->data[--into->len] = '\0';
	if (text < end && into->len > before)
		buf_str(into, "…");
}
