/*
 * Child processes: starting a program, forking a process of our own, and being
 * told when one ends.
 *
 * Starting (child_spawn). The call returns when the program runs or when it is
 * known why it does not: what failed after the fork comes back through a
 * close-on-exec pipe, as the step and its errno. It waits for the exec only,
 * about a millisecond. The child gets exactly the descriptors named here, default
 * signal dispositions and an empty signal mask. Every descriptor given stays the
 * caller's: close it after the call, whether that succeeded or not.
 *
 * Forking (child_fork). A process without an exec, for the runner and the ship
 * helper: it closes every descriptor that is not listed, gets an event base of its
 * own and never returns into the caller's code. It must not touch objects that
 * hang on the parent's base.
 *
 * Ending (child_watch). A pidfd on the event loop: no SIGCHLD, no coalescing, no
 * number that was given to another process in between. Works for processes that are
 * not our children, too; then how it ended is not known.
 */
#ifndef STOKER_LIB_CHILD_H
#define STOKER_LIB_CHILD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <event2/event.h>
#include "lib/error.h"

enum child_group {
	CHILD_SAME_GROUP,  /* that of the caller */
	CHILD_OWN_GROUP,   /* a process group whose number is the child's pid */
	CHILD_OWN_SESSION, /* a session and a group */
};

struct child_fd {
	int from; /* a descriptor of the caller */
	int to;   /* its number in the child, 3 or more */
};

struct child_options {
	const char *const *argv; /* argv[0] is looked up in PATH when it has no slash, as execvp does */
	const char *const *env;  /* NULL-terminated "NAME=value"; NULL: the caller's */
	const char *cwd;         /* NULL: the caller's */
	int in, out, err;        /* -1: /dev/null */
	const struct child_fd *fds;
	size_t fd_count;
	enum child_group group;
	int death_signal; /* sent to the child when the calling process dies; 0: none */
};

/* ERR_NOT_FOUND: there is no such program or working folder; ERR_SYSTEM: the rest. */
bool child_spawn(const struct child_options *options, pid_t *pid, struct error *err) MUST_CHECK;

struct child_fork_options {
	const int *keep; /* descriptors to keep besides 0, 1, 2; negative ones are ignored */
	size_t keep_count;
	enum child_group group;
	int death_signal;        /* as above */
	const sigset_t *blocked; /* left blocked, so that none is missed before run listens; NULL: none */
	const char *name;        /* as ps shows it, up to 15 characters; NULL: unchanged */
	int (*run)(struct event_base *base, void *arg); /* in the child: its answer is the exit status */
	void *arg;
};
bool child_fork(const struct child_fork_options *options, pid_t *pid, struct error *err) MUST_CHECK;

struct child_exit {
	bool is_known;      /* false: it was not our child, or somebody else reaped it */
	int code;           /* exit status; -1 when a signal ended it */
	int signal;         /* 0 when it exited */
	int64_t peak_bytes; /* the most memory that it, or a child that it waited for, had at once; 0: not known */
};

struct child_watch;
/* Called once. The watch is disarmed by then and may be freed in the callback. */
typedef void child_exit_fn(void *arg, const struct child_exit *how);

/* Reaps it when it is a child of the caller. ERR_NOT_FOUND: no such process. */
struct child_watch *child_watch_new(struct event_base *base, pid_t pid, child_exit_fn *fn, void *arg,
				    struct error *err) MUST_CHECK;
void child_watch_free(struct child_watch *watch); /* NULL is fine; the process goes on */

/* Sends a signal to exactly that process; does nothing once it has ended. */
void child_watch_signal(struct child_watch *watch, int signal_number);

/* "exit 1", "signal 9 (SIGKILL)", "ended in an unknown way". */
void child_exit_text(const struct child_exit *how, char *into, size_t size);
const char *child_signal_name(int signal_number); /* "SIGKILL"; "SIG?" */

#endif
