/*
 * Which files of a folder are not wanted, by the rules of .gitignore: patterns in files
 * of that name, and in .stokerignore, which has the last word where both stand. A pattern
 * holds for the folder of its file and below it; the last one that matches decides; a "!"
 * in front takes back what an earlier one said.
 *
 * Paths are relative to the top: the folder of the git repository, or the folder that is
 * walked where there is none.
 */
#ifndef STOKER_CLI_IGNORE_H
#define STOKER_CLI_IGNORE_H

#include <stdbool.h>
#include "lib/error.h"

struct ignore_rule {
	char *pattern; /* without "!", and without a slash in front or at the end */
	bool is_negated;
	bool is_for_folders;
	bool is_anchored; /* it counts from the folder of its file; else it is for a name at any depth */
};

struct ignore { /* the rules of one folder; those of the folders above it are asked after them */
	const struct ignore *above;
	char *base; /* of the folder: "" is the top */
	struct ignore_rule *rules;
	size_t count;
};

void ignore_init(struct ignore *ignore, const struct ignore *above, const char *base);
void ignore_done(struct ignore *ignore);

/* Adds the lines of a text, or of a file, which need not be there. */
void ignore_add_text(struct ignore *ignore, const char *text);
bool ignore_add_file(struct ignore *ignore, const char *path, struct error *err) MUST_CHECK;

bool ignore_takes(const struct ignore *ignore, const char *path, bool is_folder);

static inline void cleanup_ignore(struct ignore *ignore)
{
	ignore_done(ignore);
}

#endif
