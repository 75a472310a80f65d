#include "lib/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/child.h"

/* The answer: "ok\n" or the name of the error's kind, a line each for message and hint, the text, and a last
 * byte without which it is not whole. The exit status is not needed: somebody else may reap our children. */
#define ANSWER_LINES (32 * 1024) /* bytes of all but the text, at most */
#define TEXT_MAX     (32 * 1024)
#define ANSWER_END   '\4'

#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE  (3 << 13)

struct helper {
	struct helper_options options;
	pid_t pid;
	struct event *readable;
	int fd;
	struct buf answer;
	struct child_watch *watch; /* NULL once it has ended */
	struct child_exit how;
	int unread; /* the errno that ended the reading of its answer; 0: its end */
	char name[16];
};

static size_t helper_max_text(const struct helper_options *options)
{
	return options->max_text ? options->max_text : TEXT_MAX;
}

struct helper_child { /* what the forked process needs */
	const struct helper_options *options;
	int fd;
};

static void helper_line(struct buf *answer, const char *text)
{
	for (; *text; text++)
		buf_byte(answer, *text == '\n' ? ' ' : *text);
	buf_byte(answer, '\n');
}

static int helper_main(struct event_base *base, void *arg)
{
	const struct helper_child *child = arg;
	(void)base;
	if (child->options->is_low) {
		setpriority(PRIO_PROCESS, 0, 19);
		syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE);
	}
	signal(SIGIO, SIG_IGN); /* a lease that meets a writer (lib/tarball.h) */
	signal(SIGXFSZ, SIG_IGN);
	struct buf text, answer;
	size_t max_text = helper_max_text(child->options);
	buf_init(&text, max_text);
	buf_init(&answer, max_text + ANSWER_LINES);
	struct error err = { .kind = ERR_NONE };
	bool ok = child->options->run(child->options->run_arg, &text, &err);
	if (ok && text.overflow)
		ok = error_set(&err, ERR_INTERNAL, NULL, "the answer of %s is too long", child->options->name);
	buf_printf(&answer, "%s\n", ok ? "ok" : error_kind_of(err.kind)->name);
	helper_line(&answer, err.message);
	helper_line(&answer, err.hint);
	buf_str(&answer, buf_text(&text));
	buf_byte(&answer, ANSWER_END);
	for (size_t at = 0; at < answer.len;) {
		ssize_t wrote = write(child->fd, answer.data + at, answer.len - at);
		if (wrote < 0 && errno != EINTR)
			return 1;
		at += wrote > 0 ? (size_t)wrote : 0;
	}
	return 0;
}

/* Takes a line off the front of text; NULL when there is none. */
static char *helper_take_line(char **text)
{
	char *line = *text, *end = strchr(line, '\n');
	if (!end)
		return NULL;
	*end = '\0';
	*text = end + 1;
	return line;
}

/* By what it did itself, and would do again; not by somebody's kill, for want of memory (which ends in an abort) or
 * because its own file cannot be read any more. */
static bool helper_crashed(const struct child_exit *how)
{
	static const int crashes[] = { SIGSEGV, SIGILL, SIGFPE, SIGSYS };
	for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
		if (how->is_known && how->signal == crashes[i])
			return true;
	return false;
}

/* The text of a whole answer, which it is in; NULL: what went wrong is in err. unread: the errno that ended its
 * reading. */
static char *helper_decode(struct buf *answer, const char *name, const struct child_exit *how, int unread,
			   struct error *err)
{
	bool is_whole = answer->len > 0 && answer->data[answer->len - 1] == ANSWER_END;
	if (is_whole)
		answer->data[answer->len - 1] = '\0';
	char *text = answer->data;
	char *kind = is_whole ? helper_take_line(&text) : NULL;
	char *message = kind ? helper_take_line(&text) : NULL;
	char *hint = message ? helper_take_line(&text) : NULL;
	if (!hint && unread) {
		error_set(err, ERR_SYSTEM, NULL, "the answer of the helper process %s cannot be read: %s", name,
			  strerror(unread));
	} else if (!hint) {
		char words[64];
		child_exit_text(how, words, sizeof words);
		error_set(err, helper_crashed(how) ? ERR_INTERNAL : ERR_SYSTEM, NULL, "the helper process %s died: %s",
			  name, words);
	} else if (strcmp(kind, "ok") == 0) {
		return text;
	} else {
		error_set(err, error_kind_from_name(kind), hint, "%s", message);
	}
	return NULL;
}

static void helper_settle(struct helper *h)
{
	if (h->watch || h->readable)
		return;                             /* dead and read: only both together are the end */
	CLEANUP(buf) struct buf answer = h->answer; /* h may be freed by done */
	buf_init(&h->answer, 0);
	struct helper_options options = h->options;
	struct error err = { .kind = ERR_NONE };
	char *text = helper_decode(&answer, h->name, &h->how, h->unread, &err);
	options.done(options.done_arg, text, text ? NULL : &err);
}

static void helper_close(struct helper *h)
{
	if (h->readable)
		event_free(h->readable); /* before the close: the loop must never watch a closed descriptor */
	h->readable = NULL;
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

static void helper_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct helper *h = arg;
	(void)what;
	char piece[65536];
	ssize_t got = read(fd, piece, sizeof piece);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0 && buf_add(&h->answer, piece, (size_t)got))
		return;
	h->unread = got < 0 ? errno : 0;
	helper_close(h);
	helper_settle(h);
}

static void helper_on_exit(void *arg, const struct child_exit *how)
{
	struct helper *h = arg;
	h->how = *how;
	child_watch_free(STEAL(h->watch));
	helper_settle(h);
}

/* Forks it; *fd is where its answer comes. */
static bool helper_fork(const struct helper_options *options, pid_t *pid, int *fd, struct error *err)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a pipe for %s", options->name);
	struct helper_child child = { .options = options, .fd = pipe_fds[1] };
	const int keep[] = { pipe_fds[1], options->keep_fd };
	struct child_fork_options fork_options = {
		.keep = keep,
		.keep_count = options->keep_fd > 0 ? 2 : 1,
		.death_signal = SIGKILL,
		.name = options->name,
		.run = helper_main,
		.arg = &child,
	};
	bool ok = child_fork(&fork_options, pid, err);
	close(pipe_fds[1]);
	*fd = pipe_fds[0];
	if (!ok)
		close(pipe_fds[0]);
	return ok;
}

struct helper *helper_start(struct event_base *base, const struct helper_options *options, struct error *err)
{
	pid_t pid = -1;
	int fd = -1;
	if (!helper_fork(options, &pid, &fd, err))
		return NULL;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	struct helper *h = mem_alloc(sizeof *h);
	h->options = *options;
	h->pid = pid;
	h->fd = fd;
	buf_init(&h->answer, helper_max_text(options) + ANSWER_LINES);
	str_copy(h->name, sizeof h->name, options->name);
	h->watch = child_watch_new(base, h->pid, helper_on_exit, h, err);
	h->readable = h->watch ? event_new(base, h->fd, EV_READ | EV_PERSIST, helper_on_readable, h) : NULL;
	if (!h->readable || event_add(h->readable, NULL) < 0) {
		if (h->watch)
			error_set(err, ERR_SYSTEM, NULL, "%s cannot be watched", options->name);
		kill(pid, SIGKILL); /* nobody else would */
		helper_free(h);
		waitpid(pid, NULL, 0);
		return NULL;
	}
	return h;
}

void helper_free(struct helper *h)
{
	if (!h)
		return;
	if (h->watch)
		child_watch_signal(h->watch, SIGKILL);
	child_watch_free(h->watch);
	helper_close(h);
	buf_done(&h->answer);
	free(h);
}

bool helper_call(const struct helper_options *options, struct buf *text, struct error *err)
{
	pid_t pid = -1;
	CLEANUP(close_fd) int fd = -1;
	if (!helper_fork(options, &pid, &fd, err))
		return false;
	CLEANUP(buf) struct buf answer;
	buf_init(&answer, helper_max_text(options) + ANSWER_LINES);
	char piece[65536];
	ssize_t got;
	while ((got = read(fd, piece, sizeof piece)) != 0 && (got > 0 || errno == EINTR))
		if (got > 0 && !buf_add(&answer, piece, (size_t)got))
			kill(pid, SIGKILL); /* what it says has no end */
	int unread = got < 0 ? errno : 0, status = 0;
	pid_t ended;
	while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	struct child_exit how = { .is_known = ended == pid, .code = -1 };
	if (WIFEXITED(status))
		how.code = WEXITSTATUS(status);
	else if (WIFSIGNALED(status))
		how.signal = WTERMSIG(status);
	const char *said = helper_decode(&answer, options->name, &how, unread, err);
	return said && (buf_str(text, said) ||
			error_set(err, ERR_INTERNAL, NULL, "the answer of %s is too long", options->name));
}
