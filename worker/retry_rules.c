#include "worker/retry_rules.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lib/buf.h"
#include "worker/spool.h"

enum { RETRY_SIGNAL_BASE = 128 };

/* ---- ends ---- */

/* "137", "SIGKILL" → 137. The spec took no other. */
static int retry_code_of(const char *text)
{
	if (strncmp(text, "SIG", 3) != 0)
		return (int)strtol(text, NULL, 10);
	for (int number = 1; number < NSIG; number++) {
		const char *name = sigabbrev_np(number);
		if (name && !strcmp(name, text + 3))
			return RETRY_SIGNAL_BASE + number;
	}
	return -1;
}

static bool retry_has_end(const struct spec_list *list, const struct child_exit *how)
{
	int code = how->signal ? RETRY_SIGNAL_BASE + how->signal : how->code;
	for (size_t i = 0; i < list->count; i++)
		if (retry_code_of(list->items[i]) == code)
			return true;
	return false;
}

/* ---- output ---- */

static const char *retry_find_part(const char *part, size_t part_len, const char *from, const char *end)
{
	for (; part_len <= (size_t)(end - from); from++)
		if (!strncasecmp(from, part, part_len))
			return from;
	return NULL;
}

/* Each part at the first place behind the one before: with anything in between, no other choice finds more. */
bool retry_rules_find(const char *text, const char *line, size_t len)
{
	const char *end = line + len;
	while (*text) {
		size_t part_len = strcspn(text, "*");
		const char *found = retry_find_part(text, part_len, line, end);
		if (!found)
			return false;
		line = found + part_len;
		text += part_len;
		text += *text == '*';
	}
	return true;
}

/* Which of the texts stands in the last lines; NULL: none. */
static const char *retry_found(const struct spec_list *list, const char *tail, size_t len)
{
	struct spool_record record;
	for (int lines = 0; lines < RETRY_RULES_LINES && spool_take_last(tail, &len, &record);) {
		if (!strchr("oe", record.stream))
			continue;
		lines++;
		for (size_t i = 0; i < list->count; i++)
			if (retry_rules_find(list->items[i], record.text, record.len))
				return list->items[i];
	}
	return NULL;
}

/* ---- the judgement ---- */

enum retry_verdict retry_rules_judge(const struct spec *spec, const struct child_exit *how, const char *tail,
				     size_t len, char *why, size_t size)
{
	const struct spec_list *on_exit = &spec->retry.on_exit, *on_output = &spec->retry.on_output;
	str_copy(why, size, "");
	if (!how->is_known)
		return RETRY_AS_USUAL;
	if (retry_has_end(&spec->retry.never_on_exit, how)) {
		str_copy(why, size, "retry.never_on_exit names it");
		return RETRY_NEVER;
	}
	const char *found = retry_found(&spec->retry.never_on_output, tail, len);
	if (found) {
		str_format(why, size, "\"%.100s\" of retry.never_on_output stands in its last lines", found);
		return RETRY_NEVER;
	}
	if (retry_has_end(on_exit, how))
		return RETRY_WANTED;
	if ((!on_exit->count && !on_output->count) || retry_found(on_output, tail, len))
		return RETRY_AS_USUAL;
	if (on_exit->count && on_output->count)
		str_copy(why, size, "neither retry.on_exit nor retry.on_output has it");
	else
		str_format(why, size, "retry.%s does not have it", on_exit->count ? "on_exit" : "on_output");
	return RETRY_NEVER;
}
