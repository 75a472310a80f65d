/*
 * Confines this process for good: it may open only what is named, and nothing it starts gets more. For a helper that
 * is about to parse what others wrote. Best effort by the version of Landlock that the kernel has:
 *
 *   1 (Linux 5.13)  files and folders    2 (5.19)  no moves between folders    3 (6.2)  no truncation by name
 *   4 (6.7)  TCP    5 (6.10)  no ioctl of devices    6 (6.12)  no abstract sockets and no signals to the outside
 *
 * What is open already stays usable. With it comes PR_SET_NO_NEW_PRIVS.
 */
#ifndef STOKER_LIB_LANDLOCK_H
#define STOKER_LIB_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/error.h"

struct landlock_path { /* a file, or a folder with everything below it; one that is not there is left out */
	const char *path;
	bool may_write; /* files and folders: make, write, remove; nothing else, no links, no devices */
};

struct landlock_options {
	const struct landlock_path *paths;
	size_t count;
	bool may_connect; /* else no TCP at all */
};

/* The version that the kernel has; 0: none, or it is switched off. */
int landlock_version(void);

/* The version that holds from now on; 0: the process is as free as before, and err says why. */
int landlock_confine(const struct landlock_options *options, struct error *err) MUST_CHECK;

#endif
