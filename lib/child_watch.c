/* The other half of lib/child.h: being told that a process has ended. */
#include <errno.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/child.h"

struct child_watch {
	struct event *event; /* NULL once it has ended */
	int fd;              /* the pidfd */
	pid_t pid;
	child_exit_fn *fn;
	void *arg;
};

/* The event goes before the descriptor: while a forked child still holds a copy, closing alone would
 * leave it in epoll, and its events would be taken for those of the next file with that number. */
static void child_watch_disarm(struct child_watch *watch)
{
	if (watch->event) {
		event_del(watch->event);
		event_free(watch->event);
		watch->event = NULL;
	}
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void child_watch_ready(evutil_socket_t fd, short what, void *arg)
{
	struct child_watch *watch = arg;
	siginfo_t info = { 0 };
	struct rusage usage = { 0 };
	struct child_exit how = { .is_known = false, .code = -1, .signal = 0 };
	(void)what;
	/* The kernel's own call has an argument more than the C library's. */
	if (syscall(SYS_waitid, P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG, &usage) == 0) {
		if (info.si_pid == 0)
			return; /* not yet: the event stays armed */
		how.is_known = true;
		how.peak_bytes = usage.ru_maxrss * 1024;
		if (info.si_code == CLD_EXITED)
			how.code = info.si_status;
		else
			how.signal = info.si_status;
	}
	child_watch_disarm(watch);
	watch->fn(watch->arg, &how); /* may free the watch */
}

struct child_watch *child_watch_new(struct event_base *base, pid_t pid, child_exit_fn *fn, void *arg, struct error *err)
{
	int fd = pidfd_open(pid, 0);
	if (fd < 0) {
		error_errno(err, errno == ESRCH ? ERR_NOT_FOUND : ERR_SYSTEM, NULL, "cannot watch process %d",
			    (int)pid);
		return NULL;
	}
	struct child_watch *watch = mem_alloc(sizeof *watch);
	watch->fd = fd;
	watch->pid = pid;
	watch->fn = fn;
	watch->arg = arg;
	watch->event = event_new(base, fd, EV_READ | EV_PERSIST, child_watch_ready, watch);
	if (!watch->event || event_add(watch->event, NULL) < 0) {
		child_watch_free(watch);
		error_set(err, ERR_SYSTEM, NULL, "cannot watch process %d: no event", (int)pid);
		return NULL;
	}
	return watch;
}

void child_watch_free(struct child_watch *watch)
{
	if (!watch)
		return;
	child_watch_disarm(watch);
	free(watch);
}

void child_watch_signal(struct child_watch *watch, int signal_number)
{
	if (watch->fd >= 0)
		pidfd_send_signal(watch->fd, signal_number, NULL, 0);
}

const char *child_signal_name(int signal_number)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{ SIGHUP, "SIGHUP" },   { SIGINT, "SIGINT" },   { SIGQUIT, "SIGQUIT" }, { SIGILL, "SIGILL" },
		{ SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" }, { SIGBUS, "SIGBUS" },   { SIGFPE, "SIGFPE" },
		{ SIGKILL, "SIGKILL" }, { SIGUSR1, "SIGUSR1" }, { SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
		{ SIGPIPE, "SIGPIPE" }, { SIGALRM, "SIGALRM" }, { SIGTERM, "SIGTERM" }, { SIGXCPU, "SIGXCPU" },
		{ SIGXFSZ, "SIGXFSZ" }, { SIGSYS, "SIGSYS" },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].number == signal_number)
			return names[i].name;
	return "SIG?";
}

void child_exit_text(const struct child_exit *how, char *into, size_t size)
{
	if (how->is_known && how->signal)
		str_format(into, size, "signal %d (%s)", how->signal, child_signal_name(how->signal));
	else if (how->is_known)
		str_format(into, size, "exit %d", how->code);
	else
		str_format(into, size, "ended in an unknown way");
}
