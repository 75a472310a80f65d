#include "worker/names.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"

struct name_word {
	const char *word;
	bool needs_separator; /* "checkpoint-200", not "checkpoint200" */
	bool is_epoch;
};

/* Where two match, the row further up wins: "checkpoint-3-step-200" is step 200. */
static const struct name_word name_words[] = {
	{ "step", false, false },      { "steps", false, false }, { "iter", false, false },
	{ "iteration", false, false }, { "ckpt", true, false },   { "checkpoint", true, false },
	{ "epoch", false, true },
};

/* The number at text if it ends there or at a separator; -1 otherwise. */
static int64_t name_number(const char *text, size_t len)
{
	size_t digits = 0;
	int64_t value = 0;
	while (digits < len && isdigit((unsigned char)text[digits])) {
		if (value > (INT64_MAX - 9) / 10)
			return -1;
		value = value * 10 + (text[digits++] - '0');
	}
	if (digits == 0 || (digits < len && isalpha((unsigned char)text[digits])))
		return -1;
	return value;
}

static int64_t name_find(const char *stem, size_t len, const struct name_word *row)
{
	size_t size = strlen(row->word);
	for (size_t i = 0; i + size < len; i++) {
		if (strncasecmp(stem + i, row->word, size) != 0 || (i > 0 && isalpha((unsigned char)stem[i - 1])))
			continue;
		size_t at = i + size;
		bool has_separator = strchr("-_=", stem[at]) != NULL;
		if (row->needs_separator && !has_separator)
			continue;
		at += has_separator;
		int64_t value = name_number(stem + at, len - at);
		if (value >= 0)
			return value;
	}
	return -1;
}

/* Without the extension, the shard ("-00001-of-00004", "_rank_3") and the alias version ("last-v1"). */
static size_t name_stem(const char *name)
{
	size_t len = strlen(name);
	const char *dot = strrchr(name, '.');
	if (dot && dot > name && isalpha((unsigned char)dot[1]))
		len = (size_t)(dot - name);
	size_t end = len;
	while (end > 0 && isdigit((unsigned char)name[end - 1]))
		end--;
	if (end == len)
		return len;
	static const char *const tails[] = { "-of-", "_of_", "rank", "rank_", "rank-", "-v" };
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		size_t size = strlen(tails[i]);
		if (end < size || strncasecmp(name + end - size, tails[i], size) != 0)
			continue;
		end -= size;
		while (end > 0 && isdigit((unsigned char)name[end - 1]))
			end--;
		while (end > 0 && strchr("-_.", name[end - 1]))
			end--;
		return end;
	}
	return len;
}

/* "model_7": the number at the end, behind a separator (not the 50 of "resnet50"). */
static int64_t name_trailing(const char *stem, size_t len)
{
	size_t end = len;
	while (end > 0 && isdigit((unsigned char)stem[end - 1]))
		end--;
	if (end == len || (end > 0 && !strchr("-_.=", stem[end - 1])))
		return -1;
	return name_number(stem + end, len - end);
}

static void name_parse_part(const char *name, struct name_info *info, int64_t *trailing)
{
	size_t len = name_stem(name);
	for (size_t i = 0; i < ARRAY_LEN(name_words); i++) {
		int64_t value = name_find(name, len, &name_words[i]);
		if (value >= 0 && name_words[i].is_epoch && info->epoch < 0)
			info->epoch = value;
		else if (value >= 0 && !name_words[i].is_epoch && info->step < 0)
			info->step = value;
	}
	*trailing = name_trailing(name, len);
}

struct name_info name_parse(const char *path)
{
	struct name_info info = { .step = -1, .epoch = -1 };
	CLEANUP(free_p) char *copy = mem_strdup(path);
	int64_t trailing = -1;
	for (char *slash; copy[0] && info.step < 0 && info.epoch < 0;) {
		slash = strrchr(copy, '/');
		int64_t number;
		name_parse_part(slash ? slash + 1 : copy, &info, &number);
		if (trailing < 0)
			trailing = number;
		*(slash ? slash : copy) = '\0';
	}
	const char *word = info.step >= 0 ? "step" : info.epoch >= 0 ? "epoch" : "number";
	int64_t value = info.step >= 0 ? info.step : info.epoch >= 0 ? info.epoch : trailing;
	if (value >= 0 && !str_format(info.group, sizeof info.group, "%s %" PRId64, word, value))
		info.group[0] = '\0';
	return info;
}

static bool name_ends(const char *name, const char *tail)
{
	size_t len = strlen(name), size = strlen(tail);
	return len >= size && strcasecmp(name + len - size, tail) == 0;
}

/* Python's tempfile: "tmp" and eight of [a-z0-9_]. */
static bool name_is_python_temp(const char *name)
{
	return strncmp(name, "tmp", 3) == 0 && strlen(name) == 11 &&
	       strspn(name + 3, "abcdefghijklmnopqrstuvwxyz0123456789_") == 8;
}

bool name_is_ignored(const char *name, bool is_folder)
{
	static const char *const tails[] = { "~",           ".tmp",      ".temp", ".part", ".partial",
					     ".incomplete", ".download", ".swp",  ".lock", ".log" };
	static const char *const heads[] = { ".", "tmp-", "tmp_", "tmp.", "temp-", "events.out.tfevents" };
	static const char *const inside[] = { ".tmp-", ".tmp.", ".tmp_", "-tmp-", "_tmp_", ".orbax-checkpoint-tmp" };
	static const char *const beside[] = { NAME_MEGATRON_LATEST, NAME_DEEPSPEED_LATEST, "zero_to_fp32.py" };
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		if (name_ends(name, tails[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		if (strncasecmp(name, heads[i], strlen(heads[i])) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(inside); i++)
		if (strcasestr(name, inside[i]))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(beside); i++)
		if (!is_folder && strcmp(name, beside[i]) == 0)
			return true;
	const char *number = strcasestr(name, ".tmp");
	return (number && number[4] && number[4 + strspn(number + 4, "0123456789")] == '\0') ||
	       name_is_python_temp(name);
}
