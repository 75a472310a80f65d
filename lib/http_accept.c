#include "lib/http_accept.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One item of a list with commas. */
struct http_item {
	const char *text;
	size_t len;
	bool is_refused; /* q=0 */
};

static bool http_next_item(const char **at, struct http_item *item)
{
	*at += strspn(*at, ", \t");
	if (!**at)
		return false;
	*item = (struct http_item){ .text = *at, .len = strcspn(*at, ",; \t") };
	const char *end = *at + strcspn(*at, ",");
	for (const char *p = *at + item->len; p < end; p++)
		if ((p[0] == 'q' || p[0] == 'Q') && p[1] == '=' && (p[-1] == ';' || p[-1] == ' '))
			item->is_refused = strtod(p + 2, NULL) <= 0;
	*at = end;
	return true;
}

static bool http_word_is(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

bool http_is_type(const char *content_type, const char *types)
{
	size_t len = content_type ? strcspn(content_type, "; \t") : 0;
	for (const char *at = types; len && *at; at += strspn(at, " ")) {
		size_t type_len = strcspn(at, " ");
		if (type_len == len && strncasecmp(at, content_type, len) == 0)
			return true;
		at += type_len;
	}
	return false;
}

/* "type/sub", "type/" followed by a star, or a star on both sides, for one type. */
static bool http_range_has(const struct http_item *range, const char *type, size_t len)
{
	if (http_word_is(range->text, range->len, "*/*"))
		return true;
	bool is_all_of_it = range->len > 2 && strncmp(range->text + range->len - 2, "/*", 2) == 0;
	size_t compared = is_all_of_it ? range->len - 1 : len;
	return compared <= len && (is_all_of_it || range->len == len) && strncasecmp(range->text, type, compared) == 0;
}

bool http_accepts_type(const char *accept, const char *types)
{
	struct http_item range;
	if (!accept)
		return true;
	while (http_next_item(&accept, &range))
		for (const char *at = types; !range.is_refused && *at; at += strspn(at, " ")) {
			size_t len = strcspn(at, " ");
			if (http_range_has(&range, at, len))
				return true;
			at += len;
		}
	return false;
}

/* Named itself counts before a star. */
bool http_accepts_encoding(const char *accept, const char *encoding)
{
	struct http_item item;
	bool by_star = false;
	while (accept && http_next_item(&accept, &item)) {
		if (http_word_is(item.text, item.len, encoding))
			return !item.is_refused;
		if (http_word_is(item.text, item.len, "*"))
			by_star = !item.is_refused;
	}
	return by_star;
}

static const char *http_tag_value(const char *tag)
{
	return strncmp(tag, "W/", 2) == 0 ? tag + 2 : tag;
}

bool http_names_tag(const char *if_none_match, const char *tag)
{
	struct http_item item;
	const char *value = http_tag_value(tag);
	while (if_none_match && http_next_item(&if_none_match, &item)) {
		const char *given = http_tag_value(item.text);
		size_t len = item.len - (size_t)(given - item.text);
		if (http_word_is(item.text, item.len, "*") || (len == strlen(value) && strncmp(given, value, len) == 0))
			return true;
	}
	return false;
}
