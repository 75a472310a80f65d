/*
 * What texts of a spec look like. The same rules are applied by lua/spec.lua with
 * Lua's own patterns: this is the part of them that grammars use.
 */
#include <math.h>
#include <string.h>
#include "lib/config.h"
#include "queue/spec_table.h"

/* Steps over one set, "[…]", and tells whether byte c is in it. */
static const char *spec_set(const char *set, unsigned char c, bool *is_in)
{
	const char *p = set + 1;
	bool negated = *p == '^', found = false;
	p += negated;
	for (; *p != ']'; p++) {
		if (*p == '%') {
			p++; /* %c: control characters, %z: NUL */
			found |= *p == 'c' ? c < 0x20 || c == 0x7f : c == 0;
		} else if (p[1] == '-' && p[2] != ']') {
			found |= c >= (unsigned char)p[0] && c <= (unsigned char)p[2];
			p += 2;
		} else {
			found |= c == (unsigned char)*p;
		}
	}
	*is_in = found != negated;
	return p + 1;
}

/* Greedy, without going back: sets that follow each other share no byte where that matters. */
bool spec_pattern_takes(const char *pattern, const char *text, size_t len)
{
	size_t at = 0;
	while (*pattern) {
		bool is_in = false;
		const char *end = spec_set(pattern, at < len ? (unsigned char)text[at] : 0, &is_in);
		bool is_many = *end == '*' || *end == '+';
		size_t taken = 0;
		while (at < len && is_in && (is_many || taken == 0)) {
			at++;
			taken++;
			if (at < len)
				spec_set(pattern, (unsigned char)text[at], &is_in);
		}
		if (taken == 0 && *end != '*')
			return false;
		pattern = end + is_many;
	}
	return at == len;
}

/* Relative, and no component is "..". */
static bool spec_stays_inside(const char *path, size_t len)
{
	if (len == 0 || path[0] == '/')
		return false;
	for (const char *at = path; at;) {
		if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
			return false;
		at = strchr(at, '/');
		if (at)
			at++;
	}
	return true;
}

bool spec_is_url(const char *text)
{
	static const char host_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : strncmp(text, "https://", 8) == 0 ? 8 : 0;
	if (!scheme || strpbrk(text, "\\#"))
		return false;
	const char *at = text + scheme;
	if (*at == '[') {
		size_t len = strspn(at + 1, "0123456789abcdefABCDEF:.");
		if (len == 0 || at[len + 1] != ']')
			return false;
		at += len + 2;
	} else {
		size_t len = strspn(at, host_chars);
		if (len == 0)
			return false;
		at += len;
	}
	if (*at == ':') {
		size_t digits = strspn(at + 1, "0123456789");
		long port = digits >= 1 && digits <= 5 ? strtol(at + 1, NULL, 10) : 0;
		if (port < 1 || port > 65535)
			return false;
		at += digits + 1;
	}
	return *at == '\0' || *at == '/' || *at == '?';
}

bool spec_grammar_takes(const struct spec_grammar *grammar, const char *text, size_t len)
{
	if (grammar->also && strlen(text) == len && spec_is_choice(grammar->also, text))
		return true;
	if (grammar->words)
		return strlen(text) == len && spec_is_choice(grammar->words, text);
	if (len < grammar->min || len > grammar->max || !spec_pattern_takes(grammar->pattern, text, len))
		return false;
	if (grammar->url && !spec_is_url(text))
		return false;
	if (grammar->refuse && strncmp(text, grammar->refuse, strlen(grammar->refuse)) == 0)
		return false;
	return !grammar->inside || spec_stays_inside(text, len);
}

bool spec_grammar_takes_number(const struct spec_grammar *grammar, double number)
{
	return number == floor(number) && number >= 1 && number <= grammar->whole_max;
}

bool spec_is_choice(const char *choices, const char *word)
{
	size_t len = strlen(word);
	for (const char *at = choices; *at; at += *at == '|') {
		size_t there = strcspn(at, "|");
		if (there == len && memcmp(at, word, len) == 0)
			return true;
		at += there;
	}
	return false;
}

bool spec_parse_text(enum spec_type type, const char *text, double *value)
{
	int64_t number = 0;
	bool ok = type == SPEC_SIZE ? config_parse_size(text, &number) : config_parse_duration(text, &number);
	*value = (double)number;
	return ok;
}

/* digits, one space, "step" or "steps"; at most nine digits. */
bool spec_parse_steps(const char *text, double *steps)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	if (digits == 0 || digits > 9 || (strcmp(unit, " steps") != 0 && strcmp(unit, " step") != 0))
		return false;
	*steps = strtod(text, NULL);
	return *steps >= 1;
}

bool spec_is_queue(const char *name)
{
	size_t len = name ? strlen(name) : 0;
	return len > 0 && len <= SPEC_QUEUE_MAX && spec_pattern_takes("[a-z0-9][a-z0-9-]*", name, len);
}

bool spec_split_id(const char *id, char *queue, int64_t *n, struct error *err)
{
	const char *hyphen = id ? strrchr(id, '-') : NULL;
	const char *hint = "a job id is <queue>-<n>, for example gpu-42";
	if (!hyphen || hyphen == id || hyphen[1] == '0' || hyphen - id > SPEC_QUEUE_MAX ||
	    !config_parse_int(hyphen + 1, n) || *n < 1 || *n > 9007199254740992)
		return error_set(err, ERR_INPUT, hint, "\"%.80s\" is not a job id", id ? id : "");
	str_format(queue, SPEC_QUEUE_MAX + 1, "%.*s", (int)(hyphen - id), id);
	if (!spec_is_queue(queue))
		return error_set(err, ERR_INPUT, hint, "\"%.80s\" is not a job id", id);
	return true;
}
