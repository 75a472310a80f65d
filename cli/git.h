/*
 * What git says about a folder: commit, branch, and what was changed since. Asked of the
 * program itself, which need not be there.
 */
#ifndef STOKER_CLI_GIT_H
#define STOKER_CLI_GIT_H

#include <jansson.h>
#include <stdbool.h>
#include "lib/buf.h"

#define GIT_DIFF_MAX (256 * 1024)

/* Adds git_commit, git_branch and git_dirty ("3 files") to facts; nothing outside of a repository. */
void git_describe(const char *folder, json_t *facts);
/* The changes since the last commit as a patch. False: there are none, or too many to be kept. */
bool git_diff(const char *folder, struct buf *diff);

#endif
