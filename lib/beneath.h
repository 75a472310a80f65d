/*
 * Paths below a folder that cannot leave it: every step is opened without
 * following a symbolic link, and "..", "." and absolute paths are refused. So
 * whoever can write in the folder still cannot lead us out of it.
 *
 * A path is relative, with '/' between its parts; errno tells why a call failed
 * (EINVAL: not such a path, ELOOP or ENOTDIR: a link on the way).
 */
#ifndef STOKER_LIB_BENEATH_H
#define STOKER_LIB_BENEATH_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#define BENEATH_PATH_MAX  512 /* bytes of a path */
#define BENEATH_DEPTH_MAX 32  /* parts of a path */

/* Relative, clean (no empty, "." or ".." part), no control characters, within the limits above. */
bool beneath_is_path(const char *path);

/* "/a/b/c" below "/a" → "b/c"; NULL if it is not below, or not such a path. */
const char *beneath_below(const char *folder, const char *path);

/* A folder by its ordinary path: links are followed on the way there. -1 with errno. */
int beneath_root(const char *path);

/* Opens a file or folder; CLOEXEC and NOFOLLOW are added to flags. -1 with errno. */
int beneath_open(int root, const char *path, int flags, mode_t mode);

/* The folder that holds path, for the *at calls; *name is the last part (points into path). -1 with errno. */
int beneath_parent(int root, const char *path, const char **name);

/* As beneath_parent, making the folders that are missing (mode 0777 less the umask); each new one is synced
 * into its parent when durable. */
int beneath_parent_make(int root, const char *path, const char **name, bool durable);

/* lstat. */
bool beneath_stat(int root, const char *path, struct stat *st);

/* Removes a file, or a folder with everything in it; links are removed, never followed, and
 * folders that forbid it by their own mode are let in to. What is not there is fine. */
bool beneath_remove(int root, const char *path);

#endif
