#include "worker/spare.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/log.h"
#include "worker/tree.h"

struct spare {
	char *folder; /* NULL: it was called */
	pid_t pid;
	int call_fd;
	bool is_ready;
	struct child_watch *watch; /* NULL: it has ended, or was called */
};

static void spare_ended(void *arg, const struct child_exit *how)
{
	struct spare *spare = arg;
	char text[64];
	child_exit_text(how, text, sizeof text);
	log_warn("a spare runner died", "pid=%d how=\"%s\"", (int)spare->pid, text);
	child_watch_free(STEAL(spare->watch));
}

static bool spare_fork(struct spare *spare, const struct runner_settings *settings, int lock_fd, int call_fd,
		       struct error *err)
{
	sigset_t blocked;
	int keep[] = { lock_fd, call_fd };
	struct runner_task task = {
		.settings = settings, .folder = spare->folder, .lock_fd = lock_fd, .call_fd = call_fd
	};
	struct child_fork_options o = { .keep = keep,
					.keep_count = ARRAY_LEN(keep),
					.group = CHILD_OWN_SESSION,
					.blocked = &blocked,
					.name = "stoker-runner",
					.run = runner_main,
					.arg = &task };
	runner_signals(&blocked);
	return child_fork(&o, &spare->pid, err);
}

struct spare *spare_new(struct event_base *base, const char *state_dir, const struct runner_settings *settings,
			struct error *err)
{
	int fds[2];
	struct spare *spare = mem_alloc(sizeof *spare);
	CLEANUP(close_fd) int lock_fd = -1;
	spare->call_fd = -1;
	if (!run_folder_make_spare(state_dir, &spare->folder, &lock_fd, err)) {
		spare_free(spare);
		return NULL;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot make a socket for a spare runner");
		spare_free(spare);
		return NULL;
	}
	spare->call_fd = fds[0];
	bool ok = spare_fork(spare, settings, lock_fd, fds[1], err);
	close(fds[1]);
	spare->watch = ok ? child_watch_new(base, spare->pid, spare_ended, spare, err) : NULL;
	if (spare->watch)
		return spare;
	spare_free(spare);
	return NULL;
}

void spare_free(struct spare *spare)
{
	if (!spare)
		return;
	if (spare->watch)
		child_watch_signal(spare->watch, SIGKILL);
	child_watch_free(spare->watch);
	if (spare->call_fd >= 0)
		close(spare->call_fd);
	if (spare->folder)
		tree_remove(spare->folder);
	free(spare->folder);
	free(spare);
}

bool spare_is_gone(const struct spare *spare)
{
	return !spare->watch;
}

bool spare_is_ready(struct spare *spare)
{
	char word;
	spare->is_ready = spare->is_ready || recv(spare->call_fd, &word, 1, MSG_DONTWAIT) > 0;
	return spare->is_ready;
}

bool spare_call(struct spare *spare, const struct run_record *record, char **folder, pid_t *pid, struct error *err)
{
	*folder = NULL;
	*pid = spare->pid;
	if (!run_folder_name_spare(spare->folder, record, folder, err))
		return false;
	free(STEAL(spare->folder));
	child_watch_free(STEAL(spare->watch));
	if (send(spare->call_fd, *folder, strlen(*folder), MSG_NOSIGNAL) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "the spare runner %d cannot be called", (int)*pid);
	return true;
}
