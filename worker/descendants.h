/*
 * Everything below a runner. It is a subreaper: whatever a program leaves behind
 * becomes the runner's own child when its parent ends, also after a setsid. Children
 * in the runner's own process group are its helpers and are left alone.
 */
#ifndef STOKER_WORKER_DESCENDANTS_H
#define STOKER_WORKER_DESCENDANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes the caller a subreaper. */
void descendants_adopt(void);

/* Reaps what was left to us and has ended; except: a pid that somebody else waits for, 0: none. */
void descendants_reap(pid_t except);

/* Kills what is left, with its process groups, and answers how many there were: 0: none is left. Those
 * just killed take a moment to go, and may leave children of their own: call again until 0. */
size_t descendants_kill(void);

/* Them all, parents before their children: how many; into gets the first max. */
size_t descendants_list(pid_t *into, size_t max);

#endif
