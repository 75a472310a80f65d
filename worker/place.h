/*
 * Puts a verified tree where its files belong: by rename, or, when the place is on another
 * file system, by a synced copy under a hidden name and a rename there. What was at the place
 * before is replaced as a whole. Links below the two roots are never followed.
 */
#ifndef STOKER_WORKER_PLACE_H
#define STOKER_WORKER_PLACE_H

#include <stdbool.h>
#include "lib/error.h"

/* from_path below from_root becomes to_path below to_root; missing folders above it are made. */
bool place_move(int from_root, const char *from_path, int to_root, const char *to_path, struct error *err) MUST_CHECK;

/* Copies what is in one folder, a tree of files and folders only, into another, which is empty. Not synced: for a
 * folder that means nothing after the machine's next start. */
bool place_copy_into(int from, int to, struct error *err) MUST_CHECK;

#endif
