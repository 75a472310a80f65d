/*
 * Our own, and not libgit2's: that one knows .gitignore inside of a repository only, and brings
 * four libraries into a command that is to start in 10 ms. What is inside one part of a path is
 * left to fnmatch.
 */
#include "cli/ignore.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "lib/buf.h"

enum { IGNORE_FILE_MAX = 1024 * 1024 };

void ignore_init(struct ignore *ignore, const struct ignore *above, const char *base)
{
	*ignore = (struct ignore){ .above = above, .base = mem_strdup(base) };
}

void ignore_done(struct ignore *ignore)
{
	for (size_t i = 0; i < ignore->count; i++)
		free(ignore->rules[i].pattern);
	free(ignore->rules);
	free(ignore->base);
	*ignore = (struct ignore){ .above = NULL };
}

/* Spaces at the end do not count, unless there is a backslash before them. */
static size_t ignore_trim(const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r') && (len < 2 || line[len - 2] != '\\'))
		len--;
	return len;
}

static void ignore_add_line(struct ignore *ignore, const char *line, size_t len)
{
	struct ignore_rule rule = { .pattern = NULL };
	len = ignore_trim(line, len);
	if (len == 0 || line[0] == '#')
		return;
	if (line[0] == '!') {
		rule.is_negated = true;
		line++, len--;
	}
	while (len > 0 && line[len - 1] == '/') {
		rule.is_for_folders = true;
		len--;
	}
	rule.is_anchored = memchr(line, '/', len) != NULL;
	if (len > 0 && line[0] == '/')
		line++, len--;
	if (len == 0)
		return;
	rule.pattern = mem_strndup(line, len);
	ignore->rules = mem_realloc(ignore->rules, (ignore->count + 1) * sizeof *ignore->rules);
	ignore->rules[ignore->count++] = rule;
}

void ignore_add_text(struct ignore *ignore, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		ignore_add_line(ignore, text, len);
		text += len + (text[len] == '\n');
	}
}

bool ignore_add_file(struct ignore *ignore, const char *path, struct error *err)
{
	CLEANUP(fclose_p) FILE *file = fopen(path, "re");
	CLEANUP(buf) struct buf text;
	char part[4096];
	size_t got;
	buf_init(&text, IGNORE_FILE_MAX);
	if (!file)
		return errno == ENOENT || errno == ENOTDIR || error_errno(err, ERR_INPUT, NULL, "cannot read %s", path);
	while ((got = fread(part, 1, sizeof part, file)) > 0)
		if (!buf_add(&text, part, got))
			return error_set(err, ERR_INPUT, NULL, "%s is larger than 1 MiB", path);
	if (ferror(file))
		return error_errno(err, ERR_INPUT, NULL, "cannot read %s", path);
	ignore_add_text(ignore, buf_text(&text));
	return true;
}

/* The first part of a path into a text of its own; *rest: what comes behind its slash, NULL at the end. */
static char *ignore_part(const char *path, const char **rest)
{
	size_t len = strcspn(path, "/");
	*rest = path[len] ? path + len + 1 : NULL;
	return mem_strndup(path, len);
}

/* Part by part. "**" stands for any number of them; at the end for at least one. */
static bool ignore_match(const char *pattern, const char *path)
{
	while (pattern && path) {
		const char *pattern_rest, *path_rest;
		CLEANUP(free_p) char *want = ignore_part(pattern, &pattern_rest);
		CLEANUP(free_p) char *part = ignore_part(path, &path_rest);
		if (strcmp(want, "**") == 0) {
			for (const char *at = path; pattern_rest && at;
			     at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
				if (ignore_match(pattern_rest, at))
					return true;
			return !pattern_rest;
		}
		if (fnmatch(want, part, 0) != 0)
			return false;
		pattern = pattern_rest;
		path = path_rest;
	}
	return !pattern && !path;
}

static bool ignore_rule_matches(const struct ignore_rule *rule, const char *path, bool is_folder)
{
	const char *slash = strrchr(path, '/');
	if (rule->is_for_folders && !is_folder)
		return false;
	return ignore_match(rule->pattern, rule->is_anchored || !slash ? path : slash + 1);
}

bool ignore_takes(const struct ignore *ignore, const char *path, bool is_folder)
{
	for (; ignore; ignore = ignore->above) {
		size_t len = strlen(ignore->base);
		const char *below = path + (len ? len + 1 : 0);
		for (size_t i = ignore->count; i-- > 0;)
			if (ignore_rule_matches(&ignore->rules[i], below, is_folder))
				return !ignore->rules[i].is_negated;
	}
	return false;
}
