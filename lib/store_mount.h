/*
 * Whether what a store's folder is on is mounted (store_remember and store_expect of
 * lib/store.h). What is written to the folder below would be gone with the next mount,
 * and what is missed there is not lost.
 *
 * Two things tell: the device, for what is unmounted while a daemon runs; and a mark,
 * <installation>/mark, that who stores something there first leaves, for a daemon that
 * is started while it is not mounted: whether there has to be one is remembered elsewhere.
 * Of one folder a process, and of what it forks: who leaves or sees the mark tells all of them.
 */
#ifndef STOKER_LIB_STORE_MOUNT_H
#define STOKER_LIB_STORE_MOUNT_H

#include <stdbool.h>
#include "lib/error.h"

void store_mount_remember(const char *folder);
void store_mount_expect(const char *folder, const char *installation, bool is_marked);
bool store_mount_is_marked(const char *folder);

/* Before the folder is opened, which might make it; then again with what was opened. ERR_UNAVAILABLE: it is not
 * mounted. */
bool store_mount_check(const char *folder, struct error *err) MUST_CHECK;
bool store_mount_check_mark(const char *folder, int root, struct error *err) MUST_CHECK;

/* Something is about to be written: leaves the mark, if it is not there. */
bool store_mount_mark(const char *folder, int root);

#endif
