/*
 * Who this worker is: its state folder, taken for as long as it lives, and its id,
 * made once (host name and 4 hex digits) and kept there, so that it is the same after a restart.
 */
#ifndef STOKER_WORKER_IDENTITY_H
#define STOKER_WORKER_IDENTITY_H

#include <stddef.h>
#include "lib/error.h"

#define WORKER_ID_MAX 128

/* Makes the folder if need be. ERR_CONFLICT: another worker has it. The lock lasts until *lock_fd is closed. */
bool identity_take(const char *state_dir, int *lock_fd, struct error *err) MUST_CHECK;

/* given: the --id option, or NULL. into holds WORKER_ID_MAX + 1 bytes. */
bool identity_find(const char *state_dir, const char *given, char *into, struct error *err) MUST_CHECK;

#endif
