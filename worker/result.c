#include "worker/result.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/json.h"

enum { RESULT_DEPTH_MAX = 100 };

void result_quote_nonfinite(const char *text, size_t len, struct buf *into)
{
	static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
	bool in_text = false;
	for (size_t i = 0; i < len; i++) {
		size_t word = 0;
		if (in_text && text[i] == '\\' && i + 1 < len) {
			buf_add(into, text + i++, 2);
			continue;
		}
		if (text[i] == '"')
			in_text = !in_text;
		for (size_t w = 0; !in_text && !word && w < ARRAY_LEN(words); w++)
			if (len - i >= strlen(words[w]) && !memcmp(text + i, words[w], strlen(words[w])))
				word = strlen(words[w]);
		if (!word) {
			buf_byte(into, text[i]);
			continue;
		}
		buf_byte(into, '"');
		buf_add(into, text + i, word);
		buf_byte(into, '"');
		i += word - 1;
	}
}

/* Readers of JSON, Redis' among them, go only so deep. The text is valid. */
static size_t result_depth(const json_t *value, size_t allowed)
{
	size_t deepest = 0, i;
	const char *name;
	json_t *item;
	if (!allowed)
		return 1;
	json_array_foreach(value, i, item)
	{
		size_t depth = result_depth(item, allowed - 1);
		deepest = depth > deepest ? depth : deepest;
	}
	json_object_foreach((json_t *)value, name, item)
	{
		size_t depth = result_depth(item, allowed - 1);
		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + 1;
}

static bool result_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool result_take(const char *text, size_t len, struct buf *into, struct error *err)
{
	json_error_t at;
	CLEANUP(buf) struct buf quoted;
	buf_init(&quoted, 2 * RESULT_MAX_BYTES);
	for (; len && result_is_space(*text); len--)
		text++;
	while (len && result_is_space(text[len - 1]))
		len--;
	if (len > RESULT_MAX_BYTES)
		return error_set(err, ERR_INPUT, "put large data into files in STOKER_OUTPUT_DIR",
				 "it has %zu bytes, at most %d are kept", len, RESULT_MAX_BYTES);
	result_quote_nonfinite(text, len, &quoted);
	if (quoted.len > RESULT_MAX_BYTES)
		return error_set(err, ERR_INPUT, NULL, "it has more than %d bytes", RESULT_MAX_BYTES);
	json_auto_t *value = json_read(buf_text(&quoted), quoted.len, JSON_REJECT_DUPLICATES, &at);
	if (!value)
		return error_set(err, ERR_INPUT, NULL, "it is not JSON: line %d: %s", at.line, at.text);
	if (result_depth(value, RESULT_DEPTH_MAX) > RESULT_DEPTH_MAX)
		return error_set(err, ERR_INPUT, NULL, "it is nested more than %d deep", RESULT_DEPTH_MAX);
	return buf_add(into, quoted.data, quoted.len);
}

/* A pipe or a device in its place must not hold us up; a link leads who knows where. */
static bool result_load(int fd, char *text, size_t size, size_t *len, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(err, ERR_INPUT, NULL, "it is no regular file");
	*len = 0;
	while (*len < size) {
		ssize_t got = read(fd, text + *len, size - *len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return error_errno(err, ERR_SYSTEM, NULL, "it cannot be read");
		if (got == 0)
			return true;
		*len += (size_t)got;
	}
	return error_set(err, ERR_INPUT, "put large data into files in STOKER_OUTPUT_DIR", "it has more than %d bytes",
			 RESULT_MAX_BYTES);
}

bool result_read(const char *path, struct buf *into, struct error *err)
{
	enum { ROOM = RESULT_MAX_BYTES + 1024 }; /* space around it does not count */
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, NULL, "it cannot be opened");
	CLEANUP(free_p) char *text = mem_alloc(ROOM);
	size_t len = 0;
	return result_load(fd, text, ROOM, &len, err) && result_take(text, len, into, err);
}
