#include "worker/descendants.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/proc.h"

enum { DESCENDANTS_MAX = 1024 }; /* looked at in one pass; the next pass sees the rest */

void descendants_adopt(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* The cheap question first: a process without any child need not read /proc. */
static size_t descendants_find(pid_t *into)
{
	siginfo_t info;
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD)
		return 0;
	size_t count = proc_children(getpid(), into, DESCENDANTS_MAX), kept = 0;
	for (size_t i = 0; i < count && i < DESCENDANTS_MAX; i++)
		if (getpgid(into[i]) != getpgrp())
			into[kept++] = into[i];
	return kept;
}

void descendants_reap(pid_t except)
{
	pid_t children[DESCENDANTS_MAX];
	size_t count = descendants_find(children);
	for (size_t i = 0; i < count; i++)
		if (children[i] != except)
			waitpid(children[i], NULL, WNOHANG);
}

size_t descendants_list(pid_t *into, size_t max)
{
	size_t count = proc_tree(getpid(), into, max), kept = 0;
	for (size_t i = 0; i < count; i++)
		if (getpgid(into[i]) != getpgrp())
			into[kept++] = into[i];
	return kept;
}

size_t descendants_kill(void)
{
	pid_t children[DESCENDANTS_MAX];
	size_t count = descendants_find(children), left = 0;
	for (size_t i = 0; i < count; i++) {
		pid_t group = getpgid(children[i]);
		if (waitpid(children[i], NULL, WNOHANG) == children[i])
			continue;
		/* Not reaped by us, so neither the pid nor its group can belong to anybody else. */
		if (group > 1)
			kill(-group, SIGKILL);
		kill(children[i], SIGKILL);
		left++;
	}
	return left;
}
