/*
 * The files of a folder that is to be packed: sorted by path, without what .gitignore and
 * .stokerignore name, without .git, within bounds.
 *
 * A symbolic link to a file inside the folder counts as that file. One that leads out of
 * it, to a folder, or nowhere is refused: what is packed must not depend on where it was.
 */
#ifndef STOKER_CLI_CODE_WALK_H
#define STOKER_CLI_CODE_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

struct code_file {
	char *path;   /* below the folder */
	char *source; /* absolute, without links */
	int64_t size;
	bool is_executable;
};

struct code_files {
	char *folder; /* absolute, without links */
	struct code_file *items;
	size_t count;
	int64_t size; /* of all */
};

/* files is the caller's either way (code_files_done). */
bool code_walk(const char *folder, int64_t size_max, struct code_files *files, struct error *err) MUST_CHECK;
void code_files_done(struct code_files *files);

static inline void cleanup_code_files(struct code_files *files)
{
	code_files_done(files);
}

#endif
