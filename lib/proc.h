/*
 * What /proc knows about processes: the way to find what a run left behind.
 *
 * A descendant of a run can leave its process group, its session and its parent,
 * but it keeps the environment it was started with, and with it the run's mark
 * ("STOKER_RUN=<uid>.<token>"); what cleared its environment is usually still in
 * the session. proc_sweep looks for both. A number is never trusted alone: start
 * times tell a process from a later one with the same pid, and signals go through
 * a pidfd that was opened before the looking.
 */
#ifndef STOKER_LIB_PROC_H
#define STOKER_LIB_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/buf.h"

struct proc_stat {
	char state; /* R, S, D, T (stopped), Z (ended, not reaped) … */
	pid_t parent;
	pid_t group;
	pid_t session;
	int64_t start; /* clock ticks since the machine started */
	int64_t cpu;   /* clock ticks of processor used, by it and by the children that it waited for */
};

/* false: there is no such process (any more). */
bool proc_stat(pid_t pid, struct proc_stat *stat);

/* -1: no such process. With the pid it names a process uniquely until the next boot. */
int64_t proc_start_time(pid_t pid);

struct proc_run {
	const char *mark;      /* "NAME=value", exactly as it stands in the environment; NULL: do not look */
	pid_t session;         /* 0: do not look */
	int64_t session_start; /* start time of the session's leader */
};

/* Kills (SIGKILL) every process of the run except the caller and answers how many were still
 * there; 0: none is left. Those just killed take a moment to go: call again until 0. */
size_t proc_sweep(const struct proc_run *run);

/* Adds a file of /proc/<pid>/ ("status", "task/12/comm"); false: it cannot be read. */
bool proc_read(pid_t pid, const char *name, struct buf *into);

/* Whether it has a handler of its own for a signal. */
bool proc_catches(pid_t pid, int signal_number);

/* Everything below a process, parents before their children: how many there are; into gets the first max. */
size_t proc_tree(pid_t root, pid_t *into, size_t max);

/* The processes whose parent is `parent`, ended ones included: how many there are; into gets the first max. */
size_t proc_children(pid_t parent, pid_t *into, size_t max);

/* The id of this boot, "" if it cannot be read: pids of another boot mean nothing. */
void proc_boot_id(char *into, size_t size);

#endif
