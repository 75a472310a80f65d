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
