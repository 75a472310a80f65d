/*
 * Where processes are: for each of them its command line, and for each of its threads the system
 * call that it sleeps in, the file behind it, and its stack in the kernel as far as that may be read.
 * Out of /proc: nothing is stopped, traced or started. What cannot be read is left out.
 */
#ifndef STOKER_WORKER_STACKS_H
#define STOKER_WORKER_STACKS_H

#include <stddef.h>
#include <sys/types.h>
#include "lib/buf.h"

/* Adds lines to `text`; threads that are at the same place share one. brief: where the main thread of the first process
 * is that does not only wait for another one; "" if nothing is known. */
void stacks_take(const pid_t *pids, size_t count, struct buf *text, char *brief, size_t size);

#endif
