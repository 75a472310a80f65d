#include "worker/notice.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/helper.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/utf8.h"

enum {
	NOTICE_PATIENCE_MS = 5000, /* with one that is asked */
	NOTICE_TEXT_MAX = 64 * 1024,
	NOTICE_NO_SHELL_COMMAND = 126, /* and 127: there is none, which is no answer */
};

struct notice {
	struct notice_options o;
	struct event *timer;
	struct helper *helper;
	bool is_given;
	bool has_failed; /* said once */
};

/* The first line of what was said, for people. */
static void notice_line(const char *text, size_t len, const char *otherwise, struct buf *into)
{
	const char *newline = memchr(text, '\n', len);
	utf8_plain(text, newline ? (size_t)(newline - text) : len, NOTICE_MAX - 8, into);
	if (!into->len)
		buf_str(into, otherwise);
}

/* ---- the three that are asked: true with text, or with none when there is no notice ---- */

static bool notice_ask_file(const char *path, struct buf *into, struct error *err)
{
	char text[1024];
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ||
		       error_errno(err, ERR_SYSTEM, NULL, "cannot read %s (--preempt-file)", path);
	ssize_t got = read(fd, text, sizeof text);
	notice_line(text, got > 0 ? (size_t)got : 0, "its notice file is there", into);
	return true;
}

/* Until its end; false: it takes too long. */
static bool notice_read(int fd, struct buf *text)
{
	char chunk[4096];
	int64_t until = clock_boot_ms() + NOTICE_PATIENCE_MS;
	struct pollfd one = { .fd = fd, .events = POLLIN };
	for (int64_t left; (left = until - clock_boot_ms()) > 0;) {
		if (poll(&one, 1, (int)left) <= 0)
			continue;
		ssize_t got = read(fd, chunk, sizeof chunk);
		if (got <= 0)
			return true;
		buf_add(text, chunk, (size_t)got);
	}
	return false;
}

static bool notice_ask_command(const char *command, struct buf *into, struct error *err)
{
	const char *argv[] = { "/bin/sh", "-c", command, NULL };
	int ends[2], status = 0;
	pid_t pid;
	CLEANUP(buf) struct buf text;
	buf_init(&text, NOTICE_TEXT_MAX);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a pipe");
	struct child_options o = {
		.argv = argv, .in = -1, .out = ends[1], .err = -1, .group = CHILD_SAME_GROUP, .death_signal = SIGKILL
	};
	bool ok = child_spawn(&o, &pid, err);
	close(ends[1]);
	CLEANUP(close_fd) int out = ends[0];
	if (!ok)
		return false;
	bool is_late = !notice_read(out, &text);
	if (is_late)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (is_late)
		return error_set(err, ERR_TIMEOUT, NULL, "--preempt-command takes longer than %d s: %s",
				 NOTICE_PATIENCE_MS / 1000, command);
	if (!WIFEXITED(status) || WEXITSTATUS(status) == NOTICE_NO_SHELL_COMMAND ||
	    WEXITSTATUS(status) == NOTICE_NO_SHELL_COMMAND + 1)
		return error_set(err, ERR_SYSTEM, NULL, "--preempt-command cannot be run: %s", command);
	if (WEXITSTATUS(status) == 0)
		notice_line(buf_text(&text), text.len, "its notice command says so", into);
	return true;
}

static bool notice_is_none(const char *text)
{
	static const char *const words[] = { "", "none", "false", "no", "0" };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcasecmp(text, words[i]))
			return true;
	return false;
}

static bool notice_ask_url(const char *url, struct buf *into, struct error *err)
{
	const char *host = strstr(url, "://");
	size_t base = host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/") : strlen(url);
	CLEANUP(free_p) char *server = mem_strndup(url, base);
	struct http_client_options o = { .url = server,
					 .user_agent = "stoker/" STOKER_VERSION,
					 .header = "Metadata-Flavor: Google", /* without it theirs refuses */
					 .peer = "--preempt-url",
					 .connect_ms = NOTICE_PATIENCE_MS };
	struct http_call call = { .path = url[base] ? url + base : "/", .deadline_ms = NOTICE_PATIENCE_MS };
	CLEANUP(http_answer) struct http_answer answer = { 0 };
	struct http_client *client = http_client_new(&o, err);
	bool ok = client && http_client_call(client, &call, &answer, err);
	http_client_free(client);
	if (!ok)
		return client && err->kind == ERR_NOT_FOUND;
	notice_line(buf_text(&answer.body), answer.body.len, "", into);
	if (notice_is_none(buf_text(into)))
		buf_clear(into);
	return true;
}

/* ---- the loop ---- */

static void notice_say(struct notice *notice, const char *text)
{
	bool is_given = *text != '\0';
	if (is_given == notice->is_given)
		return;
	notice->is_given = is_given;
	notice->o.changed(notice->o.arg, is_given ? text : NULL);
}

static void notice_failed(struct notice *notice, const struct error *err)
{
	log_failure(notice->has_failed ? LOG_DEBUG : LOG_WARN, "cannot ask whether this machine goes away", err);
	notice->has_failed = true;
}

static bool notice_ask(void *arg, struct buf *text, struct error *err)
{
	const struct notice *notice = arg;
	if (notice->o.command && !notice_ask_command(notice->o.command, text, err))
		return false;
	return text->len || !notice->o.url || notice_ask_url(notice->o.url, text, err);
}

static void notice_asked(void *arg, const char *text, const struct error *err)
{
	struct notice *notice = arg;
	helper_free(notice->helper);
	notice->helper = NULL;
	if (!text) { /* not known: what held goes on to hold */
		notice_failed(notice, err);
		return;
	}
	notice->has_failed = false;
	notice_say(notice, text);
}

static void notice_begin(struct notice *notice)
{
	struct error err = { 0 };
	struct helper_options o = { .name = "stoker-notice",
				    .max_text = NOTICE_MAX,
				    .run = notice_ask,
				    .run_arg = notice,
				    .done = notice_asked,
				    .done_arg = notice };
	notice->helper = helper_start(notice->o.base, &o, &err);
	if (!notice->helper)
		notice_failed(notice, &err);
}

static void notice_tick(evutil_socket_t fd, short what, void *arg)
{
	struct notice *notice = arg;
	struct timeval every = clock_timeval(notice->o.interval_ms);
	struct error err = { 0 };
	CLEANUP(buf) struct buf text;
	(void)fd;
	(void)what;
	buf_init(&text, NOTICE_MAX);
	event_add(notice->timer, &every);
	bool is_asked = notice->o.command || notice->o.url;
	if (notice->o.file && !notice_ask_file(notice->o.file, &text, &err))
		notice_failed(notice, &err);
	if (text.len || !is_asked) {
		notice_say(notice, buf_text(&text));
		return;
	}
	if (!notice->helper)
		notice_begin(notice);
}

struct notice *notice_new(const struct notice_options *options)
{
	struct timeval now = { 0 };
	if (!options->file && !options->command && !options->url)
		return NULL;
	struct notice *notice = mem_alloc(sizeof *notice);
	notice->o = *options;
	notice->timer = evtimer_new(options->base, notice_tick, notice);
	event_add(notice->timer, &now);
	return notice;
}

void notice_free(struct notice *notice)
{
	if (!notice)
		return;
	helper_free(notice->helper);
	event_free(notice->timer);
	free(notice);
}
