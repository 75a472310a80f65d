/*
 * The names directly in a folder of a checkpoint, and what small files among them say. Never follows a link.
 */
#ifndef STOKER_WORKER_LISTING_H
#define STOKER_WORKER_LISTING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listing {
	int root;
	const char *path; /* below root */
	char **names;
	size_t count;
};

/* False: it cannot be opened. */
bool listing_read(struct listing *list, int root, const char *path);
void listing_done(struct listing *list);

/* The last part of its path. */
const char *listing_name(const struct listing *list);

/* The first name that matches the pattern (fnmatch); NULL: none. */
const char *listing_find(const struct listing *list, const char *pattern);
/* "<path>/<name>"; the caller frees it. */
char *listing_path(const struct listing *list, const char *name);
/* -1: no file of this name. */
int64_t listing_size(const struct listing *list, const char *name);
bool listing_is_folder(const struct listing *list, const char *name);
/* When the file (-1: there is none) was last written, or the newest file in it and below, but for `except`; in ns. */
int64_t listing_written(const struct listing *list, const char *name);
int64_t listing_newest(const struct listing *list, const char *except);
/* "<the folder above>/<name>"; the caller frees it. */
char *listing_path_beside(const struct listing *list, const char *name);
/* The first line of a short file, without its end; false: there is none, or it does not fit. path is below the root. */
bool listing_line(const struct listing *list, const char *path, char *into, size_t size);
/* The file was written after everything in the folder. One that is saved over again is named by what the save before
 * wrote. */
bool listing_is_older_than(const struct listing *list, const char *path);
/* NULL: no JSON of at most 64 MiB. The caller gives the reference back. */
json_t *listing_json(const struct listing *list, const char *name);

static inline void cleanup_listing(struct listing *list)
{
	listing_done(list);
}

#endif
