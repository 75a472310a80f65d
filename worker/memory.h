/*
 * What the kernel says of want of memory: of the cgroup that this process is in (version 2 or 1), or of the
 * whole machine.
 */
#ifndef STOKER_WORKER_MEMORY_H
#define STOKER_WORKER_MEMORY_H

#include <stdint.h>

struct memory_state {
	int64_t oom_kills;   /* so far; -1: it does not say */
	int64_t limit_bytes; /* 0: it does not say */
	const char *limit_of;
};

void memory_read(struct memory_state *state);
int64_t memory_oom_kills(void); /* that alone */

/* The smallest limit of our cgroup and those around it; -1: none. */
int64_t memory_cgroup_limit(void);

/* The first number after a name at the start of a line ("MemTotal:"), or of the file when name is ""; -1. */
int64_t memory_number(const char *path, const char *name);

#endif
