#include "lib/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "lib/buf.h"

struct signals {
	struct event *event;
	int fd;
	signals_fn *fn;
	void *arg;
};

static void signals_ready(evutil_socket_t fd, short what, void *arg)
{
	struct signals *signals = arg;
	struct signalfd_siginfo info;
	(void)what;
	/* One a turn: fn may free the object; the descriptor stays readable while there are more. */
	if (read(fd, &info, sizeof info) == sizeof info)
		signals->fn(signals->arg, (int)info.ssi_signo);
}

struct signals *signals_new(struct event_base *base, const sigset_t *set, signals_fn *fn, void *arg, struct error *err)
{
	struct signals *signals = mem_alloc(sizeof *signals);
	signals->fn = fn;
	signals->arg = arg;
	sigprocmask(SIG_BLOCK, set, NULL);
	signals->fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd >= 0)
		signals->event = event_new(base, signals->fd, EV_READ | EV_PERSIST, signals_ready, signals);
	if (signals->event && event_add(signals->event, NULL) == 0)
		return signals;
	error_errno(err, ERR_SYSTEM, NULL, "cannot listen for signals");
	signals_free(signals);
	return NULL;
}

void signals_free(struct signals *signals)
{
	if (!signals)
		return;
	if (signals->event) {
		event_del(signals->event);
		event_free(signals->event);
	}
	if (signals->fd >= 0)
		close(signals->fd);
	free(signals);
}
