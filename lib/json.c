#include "lib/json.h"

#include <math.h>
#include <stdint.h>
#include <string.h>
#include "lib/utf8.h"

json_t *json_read(const char *text, size_t len, size_t flags, json_error_t *at)
{
	*at = (json_error_t){ .line = 1 };
	if (memchr(text, '\0', len)) { /* jansson would pass over one that stands behind a number */
		str_copy(at->text, sizeof at->text, "a NUL byte");
		return NULL;
	}
	flags |= JSON_DECODE_ANY | JSON_ALLOW_NUL;
	json_t *value = json_loadb(text, len, flags, at);
	if (!value && json_error_code(at) == json_error_numeric_overflow)
		value = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, at);
	return value;
}

/* Bytes at the start that stand in quotes as they are. Eight at a time: in each byte the highest bit tells of one past
 * ASCII, below the space, a quote or a backslash; a borrow can only come from a byte that is told of already. */
static size_t json_plain(const char *text, size_t len)
{
	static const uint64_t ones = 0x0101010101010101u, highest = 0x8080808080808080u;
	size_t at = 0;
	for (; at + 8 <= len; at += 8) {
		uint64_t word;
		memcpy(&word, text + at, sizeof word);
		uint64_t told =
			word | (word - ones * ' ') | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones);
		if (told & highest)
			break;
	}
	for (; at < len; at++) {
		unsigned char c = (unsigned char)text[at];
		if (c < ' ' || c > 0x7f || c == '"' || c == '\\')
			break;
	}
	return at;
}

/* One character that needs more than itself, or is past ASCII. Answers how many bytes of text it took. */
static size_t json_add_special(struct buf *out, const char *text, size_t len)
{
	static const char letters[] = "\"\"\\\\\nn\rr\tt\bb\ff";
	size_t bytes = utf8_char(text, len);
	for (const char *letter = letters; *letter; letter += 2) {
		if (*letter == *text) {
			buf_add(out, (const char[]){ '\\', letter[1] }, 2);
			return 1;
		}
	}
	if (bytes > 1)
		buf_add(out, text, bytes);
	else if (bytes == 1 && *text)
		buf_printf(out, "\\u%04X", (unsigned int)*text);
	else
		buf_str(out, "\xef\xbf\xbd");
	return bytes ? bytes : 1;
}

bool json_add_text(struct buf *out, const char *text, size_t len)
{
	buf_byte(out, '"');
	for (size_t at = 0; at < len;) {
		size_t plain = json_plain(text + at, len - at);
		buf_add(out, text + at, plain);
		at += plain;
		if (at < len)
			at += json_add_special(out, text + at, len - at);
	}
	return buf_byte(out, '"');
}

void json_number_text(double number, char text[JSON_NUMBER_MAX])
{
	if (number == floor(number) && fabs(number) < 1e15) {
		str_format(text, JSON_NUMBER_MAX, "%.0f", number == 0 ? 0.0 : number); /* no -0 */
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		str_format(text, JSON_NUMBER_MAX, "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			return;
	}
}

static int json_key_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool json_canonical_object(const json_t *object, struct buf *out)
{
	size_t count = 0;
	CLEANUP(free_p) const char **keys = mem_alloc((json_object_size(object) + 1) * sizeof *keys);
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)object, name, value) keys[count++] = name;
	qsort(keys, count, sizeof *keys, json_key_order);
	buf_byte(out, '{');
	for (size_t i = 0; i < count; i++) {
		json_auto_t *key = json_string(keys[i]);
		if (i)
			buf_byte(out, ',');
		json_canonical(key, out);
		buf_byte(out, ':');
		json_canonical(json_object_get(object, keys[i]), out);
	}
	return buf_byte(out, '}');
}

static bool json_canonical_list(const json_t *list, struct buf *out)
{
	size_t i;
	const json_t *item;
	buf_byte(out, '[');
	json_array_foreach(list, i, item)
	{
		if (i)
			buf_byte(out, ',');
		json_canonical(item, out);
	}
	return buf_byte(out, ']');
}

bool json_canonical(const json_t *value, struct buf *out)
{
	if (json_is_object(value))
		return json_canonical_object(value, out);
	if (json_is_array(value))
		return json_canonical_list(value, out);
	if (json_is_real(value)) {
		char text[JSON_NUMBER_MAX];
		json_number_text(json_real_value(value), text);
		return buf_str(out, text);
	}
	CLEANUP(free_p) char *text = json_dumps(value, JSON_ENCODE_ANY);
	return text ? buf_str(out, text) : buf_printf(out, "null");
}

/* ---- objects of texts ---- */

struct json_scan {
	const char *p, *end;
	char *plain; /* as many bytes as the whole document has */
};

static bool json_scan_byte(struct json_scan *s, char c)
{
	bool is_there = s->p < s->end && *s->p == c;
	s->p += is_there;
	return is_there;
}

/* Behind a backslash: the character, 0 for what is not known here. */
static char json_scan_escape(struct json_scan *s)
{
	static const char letters[] = "\"\"\\\\//n\nr\rt\tb\bf\f";
	char code[5] = "";
	char letter = s->p < s->end ? *s->p++ : '\0';
	for (const char *known = letters; *known; known += 2)
		if (*known == letter)
			return known[1];
	if (letter != 'u' || s->end - s->p < 4)
		return '\0';
	memcpy(code, s->p, 4);
	s->p += 4;
	bool is_ascii = strspn(code, "0123456789abcdefABCDEF") == 4 && strtol(code, NULL, 16) < 0x80;
	return is_ascii ? (char)strtol(code, NULL, 16) : '\0';
}

/* Behind the first quote, up to the last one: *len bytes at s->plain. The text is known to be UTF-8. */
static bool json_scan_text(struct json_scan *s, size_t *len)
{
	*len = 0;
	while (s->p < s->end && *s->p != '"') {
		size_t plain = json_plain(s->p, (size_t)(s->end - s->p));
		memcpy(s->plain + *len, s->p, plain);
		*len += plain;
		s->p += plain;
		if (s->p == s->end || *s->p == '"')
			break;
		char c = *s->p++;
		bool is_escape = c == '\\';
		if (is_escape)
			c = json_scan_escape(s);
		if (!c || (!is_escape && (unsigned char)c < ' ')) /* a bare control character is no JSON */
			return false;
		s->plain[(*len)++] = c;
	}
	return json_scan_byte(s, '"');
}

static json_t *json_scan_value(struct json_scan *s, int depth);

static bool json_scan_members(struct json_scan *s, json_t *object, int depth)
{
	do {
		char name[64];
		size_t len;
		if (!json_scan_byte(s, '"') || !json_scan_text(s, &len) || len >= sizeof name ||
		    !json_scan_byte(s, ':'))
			return false;
		memcpy(name, s->plain, len);
		name[len] = '\0';
		json_t *value = json_scan_value(s, depth);
		if (!value || json_object_set_new_nocheck(object, name, value) < 0)
			return false;
	} while (json_scan_byte(s, ','));
	return json_scan_byte(s, '}');
}

static json_t *json_scan_value(struct json_scan *s, int depth)
{
	size_t len;
	if (json_scan_byte(s, '"'))
		return json_scan_text(s, &len) ? json_stringn_nocheck(s->plain, len) : NULL;
	if (!depth || !json_scan_byte(s, '{'))
		return NULL;
	json_t *object = json_object();
	if (json_scan_members(s, object, depth - 1))
		return object;
	json_decref(object);
	return NULL;
}

json_t *json_read_texts(const char *text, size_t len)
{
	if (!len || text[0] != '{' || !utf8_is_valid(text, len))
		return NULL;
	CLEANUP(free_p) char *plain = mem_realloc(NULL, len);
	struct json_scan s = { text, text + len, plain };
	json_t *value = json_scan_value(&s, 3);
	if (value && s.p == s.end)
		return value;
	json_decref(value);
	return NULL;
}
