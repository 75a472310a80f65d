/*
 * Why a program ended that nobody had asked to: "out of memory: 12.3 GiB of 12 GiB", "killed by
 * SIGSEGV", "disk full: /data", "exit 1: ValueError: …". Pure: what is known of the end comes in.
 */
#ifndef STOKER_WORKER_DEATH_H
#define STOKER_WORKER_DEATH_H

#include <stddef.h>
#include <stdint.h>
#include "lib/child.h"

enum {                      /* what a program's exit status says */
       EXIT_INPUT = 65,     /* EX_DATAERR: its input is wrong, and will be the next time */
       EXIT_PREEMPTED = 75, /* EX_TEMPFAIL: it has saved its work and may be started again */
       EXIT_CONFIG = 78,    /* EX_CONFIG: it cannot run like this */
};

struct death {
	struct child_exit how;
	int64_t oom_kills;     /* by the kernel for want of memory, while it ran; -1: not known */
	int64_t granted_bytes; /* of memory, that it may use by its spec; 0: it did not say */
	int64_t limit_bytes;   /* that there is for it and others; 0: not known */
	const char *limit_of;  /* "its cgroup", "this machine" */
	const char *full_disk; /* a folder that it writes to whose disk is full; NULL: none */
	const char *tail;      /* the last records of its log (worker/spool.h), whole lines */
	size_t tail_len;
};

/* One sentence, valid UTF-8. */
void death_explain(const struct death *death, char *into, size_t size);

#endif
