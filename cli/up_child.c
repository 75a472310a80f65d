/* See the header. */
#include "cli/up_child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "cli/up_probe.h"
#include "lib/buf.h"
#include "lib/clock.h"

#define UP_READY_MAX     4096
#define UP_READY_MS      30000 /* a program with a --ready-fd says it by then */
#define UP_BACKOFF_MS    100
#define UP_BACKOFF_MAX   5000
#define UP_STEADY_MS     10000 /* ran so long: the next backoff starts small again */
#define UP_LOG_TAIL      4096
#define UP_CHILD_LOCK_FD 4

struct up_child {
	struct up_child_options options;
	char **argv; /* NULL-terminated */
	enum up_child_state state;
	bool was_ready;
	struct child_watch *watch;
	struct event *ready_event; /* reads ready_fd */
	int ready_fd;
	struct buf said;
	struct up_probe *probe;
	struct event *timer; /* backoff, readiness or patience: which one, the state says */
	int64_t started_ms;
	int64_t backoff_ms;
	off_t log_start; /* size of the log when it was started */
	char ended[64];
};

struct up_child *up_child_new(const struct up_child_options *options)
{
	struct up_child *child = mem_alloc(sizeof *child);
	child->options = *options;
	child->ready_fd = -1;
	child->backoff_ms = UP_BACKOFF_MS;
	buf_init(&child->said, UP_READY_MAX);
	return child;
}

static void up_child_close_ready(struct up_child *child)
{
	if (child->ready_event)
		event_free(child->ready_event);
	if (child->ready_fd >= 0)
		close(child->ready_fd);
	child->ready_event = NULL;
	child->ready_fd = -1;
}

static void up_child_args_free(char **argv)
{
	for (char **arg = argv; arg && *arg; arg++)
		free(*arg);
	free(argv);
}

void up_child_free(struct up_child *child)
{
	if (!child)
		return;
	up_child_close_ready(child);
	up_probe_free(child->probe);
	child_watch_free(child->watch);
	if (child->timer)
		event_free(child->timer);
	up_child_args_free(child->argv);
	buf_done(&child->said);
	free(child);
}

void up_child_args(struct up_child *child, const char *const *argv, size_t count)
{
	up_child_args_free(child->argv);
	child->argv = mem_alloc((count + 1) * sizeof *child->argv);
	for (size_t i = 0; i < count; i++)
		child->argv[i] = mem_strdup(argv[i]);
}

static void up_child_set(struct up_child *child, enum up_child_state state)
{
	child->state = state;
	child->options.on_change(child->options.arg, child);
}

static void up_child_on_timer(evutil_socket_t fd, short what, void *arg);

static void up_child_timer(struct up_child *child, int64_t ms)
{
	struct timeval wait = clock_timeval(ms);
	if (!child->timer)
		child->timer = evtimer_new(child->options.base, up_child_on_timer, child);
	event_add(child->timer, &wait);
}

static void up_child_is_ready(struct up_child *child)
{
	if (child->state != UP_CHILD_STARTING)
		return;
	if (child->timer)
		event_del(child->timer);
	child->was_ready = true;
	up_child_set(child, UP_CHILD_READY);
}

static void up_child_on_probe(void *arg)
{
	up_child_is_ready(arg);
}

/* End of file without READY=1: it is dying; the watch tells how. */
static void up_child_on_said(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct up_child *child = arg;
	char part[512];
	ssize_t len = read((int)fd, part, sizeof part);
	if (len > 0) {
		buf_add(&child->said, part, (size_t)len);
		return;
	}
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	up_child_close_ready(child);
	CLEANUP(free_p) char *ready = up_child_said(child, "READY");
	if (strcmp(ready, "1") == 0)
		up_child_is_ready(child);
}

static void up_child_restart(struct up_child *child)
{
	struct error err = { 0 };
	if (up_child_start(child, &err))
		return;
	str_copy(child->ended, sizeof child->ended, err.message);
	up_child_timer(child, child->backoff_ms);
}

static void up_child_on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	struct up_child *child = arg;
	if (child->state == UP_CHILD_WAITING)
		up_child_restart(child);
	else if (child->watch)
		child_watch_signal(child->watch, SIGKILL); /* not ready, or not gone, in time */
}

static void up_child_on_exit(void *arg, const struct child_exit *how)
{
	struct up_child *child = arg;
	bool stopping = child->state == UP_CHILD_STOPPING;
	child_exit_text(how, child->ended, sizeof child->ended);
	child_watch_free(STEAL(child->watch));
	up_child_close_ready(child);
	up_probe_free(STEAL(child->probe));
	if (child->timer)
		event_del(child->timer);
	if (stopping || !child->was_ready) {
		up_child_set(child, UP_CHILD_DOWN);
		return;
	}
	if (clock_boot_ms() - child->started_ms > UP_STEADY_MS)
		child->backoff_ms = UP_BACKOFF_MS;
	up_child_timer(child, child->backoff_ms);
	child->backoff_ms = child->backoff_ms * 2 > UP_BACKOFF_MAX ? UP_BACKOFF_MAX : child->backoff_ms * 2;
	up_child_set(child, UP_CHILD_WAITING);
}

/* Spawns with the log as its output and ready_end as its fd 3. */
static bool up_child_spawn(struct up_child *child, int ready_end, pid_t *pid, struct error *err)
{
	CLEANUP(close_fd) int log = open(child->options.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", child->options.log);
	child->log_start = lseek(log, 0, SEEK_END);
	struct child_fd fds[2];
	size_t count = 0;
	if (ready_end >= 0)
		fds[count++] = (struct child_fd){ ready_end, UP_CHILD_READY_FD };
	if (child->options.lock_fd >= 0)
		fds[count++] = (struct child_fd){ child->options.lock_fd, UP_CHILD_LOCK_FD };
	struct child_options options = {
		.argv = (const char *const *)child->argv,
		.in = -1,
		.out = log,
		.err = log,
		.fds = fds,
		.fd_count = count,
		.group = CHILD_OWN_GROUP, /* Ctrl-C reaches stoker up only */
		.death_signal = child->options.death_signal,
	};
	return child_spawn(&options, pid, err);
}

static void up_child_listen(struct up_child *child, int fd)
{
	child->ready_fd = fd;
	child->ready_event = event_new(child->options.base, fd, EV_READ | EV_PERSIST, up_child_on_said, child);
	event_add(child->ready_event, NULL);
	up_child_timer(child, UP_READY_MS);
}

bool up_child_start(struct up_child *child, struct error *err)
{
	pid_t pid = -1;
	int ends[2] = { -1, -1 };
	bool probes = child->options.probe_socket != NULL;
	if (!probes && pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a pipe");
	CLEANUP(close_fd) int ready_end = ends[1];
	if (!up_child_spawn(child, ready_end, &pid, err)) {
		if (ends[0] >= 0)
			close(ends[0]);
		return error_wrap(err, "cannot start %s", child->options.name);
	}
	child->started_ms = clock_boot_ms();
	buf_clear(&child->said);
	if (probes)
		child->probe = up_probe_new(child->options.base, child->options.probe_socket, up_child_on_probe, child);
	else
		up_child_listen(child, ends[0]);
	child->watch = child_watch_new(child->options.base, pid, up_child_on_exit, child, err);
	if (!child->watch)
		return error_wrap(err, "cannot watch %s", child->options.name);
	child->state = UP_CHILD_STARTING;
	return true;
}

void up_child_stop(struct up_child *child, int signal_number, int64_t patience_ms)
{
	if (!child->watch) {
		if (child->timer)
			event_del(child->timer);
		child->state = UP_CHILD_DOWN;
		return;
	}
	child->state = UP_CHILD_STOPPING;
	child_watch_signal(child->watch, signal_number);
	if (patience_ms)
		up_child_timer(child, patience_ms);
	else if (child->timer)
		event_del(child->timer);
}

enum up_child_state up_child_state(const struct up_child *child)
{
	return child->state;
}

const char *up_child_name(const struct up_child *child)
{
	return child->options.name;
}

bool up_child_was_started(const struct up_child *child)
{
	return child->started_ms > 0;
}

bool up_child_was_ready(const struct up_child *child)
{
	return child->was_ready;
}

char *up_child_said(const struct up_child *child, const char *name)
{
	size_t len = strlen(name);
	for (const char *line = buf_text(&child->said); *line;) {
		size_t end = strcspn(line, "\n");
		if (end > len && strncmp(line, name, len) == 0 && line[len] == '=')
			return mem_strndup(line + len + 1, end - len - 1);
		line += end + (line[end] == '\n');
	}
	return mem_strdup("");
}

const char *up_child_ended(const struct up_child *child)
{
	return child->ended;
}

char *up_child_last_lines(const struct up_child *child, int lines)
{
	char text[UP_LOG_TAIL];
	CLEANUP(close_fd) int fd = open(child->options.log, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
	off_t from = size - (off_t)sizeof text > child->log_start ? size - (off_t)sizeof text : child->log_start;
	ssize_t len = fd < 0 ? 0 : pread(fd, text, sizeof text, from);
	if (len <= 0)
		return mem_strdup("");
	ssize_t start = len;
	while (start > 0 && (text[start - 1] != '\n' || start == len || lines-- > 1))
		start--;
	return mem_strndup(text + start, (size_t)(len - start));
}
