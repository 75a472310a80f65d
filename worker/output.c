#include "worker/output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/utf8.h"
#include "worker/spool.h"

enum { OUTPUT_READ_BYTES = 64 * 1024 };

struct output_pipe {
	struct output *output;
	struct event *event; /* NULL once closed */
	int fd, child_fd;
	bool is_stderr;
	struct output_cutter cutter;
};

struct output {
	struct output_options o;
	struct output_pipe pipes[2];
};

/* Keeps text that ends in no line yet; gives out what is too long. */
static void output_keep(struct output_cutter *c, const char *data, size_t len, output_cut_fn *fn, void *arg)
{
	while (len) {
		size_t room = SPOOL_RECORD_MAX - c->len;
		size_t take = len < room ? len : room;
		if (c->len + take > c->capacity) {
			c->capacity = c->len + take < 1024 ? 1024 : 2 * (c->len + take);
			c->data = mem_realloc(c->data, c->capacity);
		}
		memcpy(c->data + c->len, data, take);
		c->len += take;
		data += take;
		len -= take;
		if (c->len < SPOOL_RECORD_MAX || !len)
			continue; /* a line of exactly the bound is not cut: only when more comes */
		size_t cut = utf8_cut(c->data, c->len, c->len - 1);
		if (c->len - cut > 4)
			cut = c->len; /* not text: any place will do */
		fn(arg, c->data, cut, false);
		memmove(c->data, c->data + cut, c->len - cut);
		c->len -= cut;
	}
}

/* A line ends with data, at most `len` more bytes of it. Straight from there when nothing of it was kept. */
static void output_emit(struct output_cutter *c, const char *data, size_t len, bool is_fleeting, output_cut_fn *fn,
			void *arg)
{
	if (!c->len && len <= SPOOL_RECORD_MAX) {
		fn(arg, data, len, is_fleeting);
		return;
	}
	output_keep(c, data, len, fn, arg);
	fn(arg, c->data, c->len, is_fleeting);
	c->len = 0;
}

/* "text\r\n" is a line; "text\r" alone is fleeting, which only the byte after it can tell: its text is kept for it. */
void output_cut(struct output_cutter *c, const char *data, size_t len, output_cut_fn *fn, void *arg)
{
	const char *end = data + len;
	const char *newline = memchr(data, '\n', len);
	while (data < end) {
		if (c->after_return && *data == '\r') {
			data++;
			continue;
		}
		if (c->after_return && *data != '\n' && c->len)
			output_emit(c, "", 0, true, fn, arg);
		c->after_return = false;
		const char *line_end = newline ? newline : end;
		const char *carriage = memchr(data, '\r', (size_t)(line_end - data));
		if (carriage) {
			output_keep(c, data, (size_t)(carriage - data), fn, arg);
			c->after_return = true;
			data = carriage + 1;
		} else if (newline) {
			output_emit(c, data, (size_t)(newline - data), false, fn, arg);
			data = newline + 1;
			newline = memchr(data, '\n', (size_t)(end - data));
		} else {
			output_keep(c, data, (size_t)(end - data), fn, arg);
			return;
		}
	}
}

void output_cut_end(struct output_cutter *c, output_cut_fn *fn, void *arg)
{
	if (c->len)
		output_emit(c, "", 0, false, fn, arg);
	c->after_return = false;
}

void output_cutter_done(struct output_cutter *c)
{
	free(c->data);
	*c = (struct output_cutter){ 0 };
}

static void output_pipe_line(void *arg, const char *text, size_t len, bool is_fleeting)
{
	struct output_pipe *pipe_ = arg;
	struct output_line line = {
		.is_stderr = pipe_->is_stderr, .is_fleeting = is_fleeting, .text = text, .len = len
	};
	pipe_->output->o.on_line(pipe_->output->o.arg, &line);
}

static void output_pipe_close(struct output_pipe *p)
{
	if (!p->event)
		return;
	event_del(p->event); /* before the close, always: a fork may hold the descriptor */
	event_free(p->event);
	p->event = NULL;
	close(p->fd);
	p->fd = -1;
	output_cut_end(&p->cutter, output_pipe_line, p);
}

static void output_settle(struct output *output)
{
	output->o.on_turn(output->o.arg);
	if (output_is_closed(output))
		output->o.on_closed(output->o.arg);
}

/* The rest of what it says is lost: its log tells that. */
static void output_pipe_broken(struct output_pipe *p)
{
	char text[128];
	str_format(text, sizeof text, "stoker: the %s of the program cannot be read any more: %s",
		   p->is_stderr ? "stderr" : "stdout", strerror(errno));
	output_cut_end(&p->cutter, output_pipe_line, p);
	output_pipe_line(p, text, strlen(text), false);
	output_pipe_close(p);
}

/* false: nothing (more) to read now. */
static bool output_pipe_read(struct output_pipe *p)
{
	char chunk[OUTPUT_READ_BYTES];
	ssize_t got = read(p->fd, chunk, sizeof chunk);
	if (got > 0)
		output_cut(&p->cutter, chunk, (size_t)got, output_pipe_line, p);
	else if (got == 0)
		output_pipe_close(p);
	else if (errno != EAGAIN && errno != EINTR)
		output_pipe_broken(p);
	return got > 0;
}

static void output_pipe_ready(evutil_socket_t fd, short what, void *arg)
{
	struct output_pipe *p = arg;
	(void)fd;
	(void)what;
	output_pipe_read(p); /* one piece a turn, so that a loud program cannot starve the renewals */
	output_settle(p->output);
}

static bool output_pipe_open(struct output *output, struct output_pipe *p, struct error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a pipe for the program's output");
	p->fd = fds[0];
	p->child_fd = fds[1];
	fcntl(p->fd, F_SETFL, O_NONBLOCK); /* ours only: the program's end is another description */
	p->event = event_new(output->o.base, p->fd, EV_READ | EV_PERSIST, output_pipe_ready, p);
	event_add(p->event, NULL);
	return true;
}

struct output *output_new(const struct output_options *options, int *child_out, int *child_err, struct error *err)
{
	struct output *output = mem_alloc(sizeof *output);
	output->o = *options;
	for (int i = 0; i < 2; i++)
		output->pipes[i] =
			(struct output_pipe){ .output = output, .fd = -1, .child_fd = -1, .is_stderr = i == 1 };
	for (int i = 0; i < 2; i++) {
		if (!output_pipe_open(output, &output->pipes[i], err)) {
			output_free(output);
			return NULL;
		}
	}
	*child_out = output->pipes[0].child_fd;
	*child_err = output->pipes[1].child_fd;
	return output;
}

void output_started(struct output *output)
{
	for (int i = 0; i < 2; i++) {
		if (output->pipes[i].child_fd >= 0)
			close(output->pipes[i].child_fd);
		output->pipes[i].child_fd = -1;
	}
}

void output_give_up(struct output *output)
{
	if (output_is_closed(output))
		return;
	for (int i = 0; i < 2; i++) {
		struct output_pipe *p = &output->pipes[i];
		for (int turns = 0; p->event && turns < 16 && output_pipe_read(p); turns++)
			; /* a pipe holds 16 pieces at most; a holder that keeps writing must not keep us */
		output_pipe_close(p);
	}
	output_settle(output);
}

bool output_is_closed(const struct output *output)
{
	return !output->pipes[0].event && !output->pipes[1].event;
}

void output_free(struct output *output)
{
	if (!output)
		return;
	output_started(output);
	for (int i = 0; i < 2; i++) {
		struct output_pipe *p = &output->pipes[i];
		if (p->event) {
			event_del(p->event);
			event_free(p->event);
			close(p->fd);
		}
		output_cutter_done(&p->cutter);
	}
	free(output);
}
