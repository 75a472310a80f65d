#include "worker/control.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/json.h"
#include "worker/output.h"
#include "worker/result.h"

enum { CONTROL_READ_BYTES = 64 * 1024 };

static bool control_number(const json_t *value, double *number)
{
	if (json_is_number(value)) {
		*number = json_number_value(value);
		return true;
	}
	return json_is_string(value) &&
	       metric_lines_number(json_string_value(value), json_string_length(value), number);
}

/* A count from 0 on; -1 when it is not said. */
static bool control_count(const json_t *root, const char *name, int64_t *count, struct error *err)
{
	double number;
	const json_t *value = json_object_get(root, name);
	*count = -1;
	if (!value || json_is_null(value))
		return true;
	if (!control_number(value, &number) || !(number >= 0 && number < 9e15))
		return error_set(err, ERR_INPUT, NULL, "%s is not a number from 0 on", name);
	*count = (int64_t)number;
	return true;
}

static char *control_text(const json_t *root, const char *name)
{
	return mem_strdup(json_string_value(json_object_get(root, name)));
}

static bool control_take_metric(const json_t *root, struct control_line *line, struct error *err)
{
	const char *name;
	json_t *value;
	metric_point_init(&line->point);
	line->point.step = line->step;
	json_object_foreach((json_t *)root, name, value)
	{
		double number;
		if (!strcmp(name, "t") || !strcmp(name, "step") || !strcmp(name, "time_ms"))
			continue;
		if (json_is_null(value) || json_is_boolean(value) || !control_number(value, &number))
			continue; /* a label beside the numbers is fine, and of no use here */
		if (!strcmp(name, "epoch"))
			line->point.epoch = number;
		else
			metric_point_add(&line->point, name, strlen(name), number);
	}
	metric_point_settle(&line->point);
	return line->point.count || !isnan(line->point.epoch) ||
	       error_set(err, ERR_INPUT, NULL, "a metric without a number");
}

static bool control_take_checkpoint(const json_t *root, struct control_line *line, struct error *err)
{
	const json_t *optimizer = json_object_get(root, "optimizer");
	line->path = control_text(root, "path");
	line->sha256 = control_text(root, "sha256");
	if (json_is_boolean(optimizer))
		line->optimizer = json_is_true(optimizer);
	return line->path || error_set(err, ERR_INPUT, NULL, "a checkpoint without a path");
}

static bool control_take_corrupted(const json_t *root, struct control_line *line, struct error *err)
{
	line->reason = control_text(root, "reason");
	return control_count(root, "onset", &line->onset, err);
}

static bool control_take_progress(const json_t *root, struct control_line *line, struct error *err)
{
	if (!control_count(root, "total", &line->total, err))
		return false;
	return line->step >= 0 || error_set(err, ERR_INPUT, NULL, "progress without a step");
}

static bool control_take_result(const json_t *root, struct control_line *line, struct error *err)
{
	CLEANUP(buf) struct buf text;
	const json_t *value = json_object_get(root, "value");
	buf_init(&text, CONTROL_READ_BYTES);
	if (!value)
		return error_set(err, ERR_INPUT, NULL, "a result without a value");
	if (!json_canonical(value, &text))
		return error_set(err, ERR_INPUT, NULL, "a result of more than %d bytes", CONTROL_READ_BYTES);
	line->result = buf_take(&text);
	return true;
}

static bool control_take_nothing(const json_t *root, struct control_line *line, struct error *err)
{
	(void)root;
	(void)line;
	(void)err;
	return true;
}

static const struct {
	const char *name;
	enum control_kind kind;
	bool (*take)(const json_t *root, struct control_line *line, struct error *err);
} control_kinds[] = {
	{ "metric", CONTROL_METRIC, control_take_metric },
	{ "checkpoint", CONTROL_CHECKPOINT, control_take_checkpoint },
	{ "progress", CONTROL_PROGRESS, control_take_progress },
	{ "result", CONTROL_RESULT, control_take_result },
	{ "heartbeat", CONTROL_HEARTBEAT, control_take_nothing },
	{ "resumed", CONTROL_RESUMED, control_take_nothing },
	{ "corrupted", CONTROL_CORRUPTED, control_take_corrupted },
	{ "preempted", CONTROL_PREEMPTED, control_take_nothing },
	{ "done", CONTROL_DONE, control_take_nothing },
};

bool control_parse(const char *text, size_t len, struct control_line *line, struct error *err)
{
	json_error_t at;
	CLEANUP(buf) struct buf quoted;
	buf_init(&quoted, 4 * CONTROL_READ_BYTES);
	result_quote_nonfinite(text, len, &quoted); /* Python prints them, JSON does not have them */
	*line = (struct control_line){ .step = -1, .total = -1, .onset = -1, .optimizer = -1 };
	json_auto_t *root = json_loadb(buf_text(&quoted), quoted.len, JSON_REJECT_DUPLICATES, &at);
	if (!json_is_object(root))
		return error_set(err, ERR_INPUT, NULL, "not one JSON object: %s",
				 root ? "another kind of value" : at.text);
	const char *name = json_string_value(json_object_get(root, "t"));
	for (size_t i = 0; name && i < ARRAY_LEN(control_kinds); i++) {
		if (strcmp(control_kinds[i].name, name) != 0)
			continue;
		line->kind = control_kinds[i].kind;
		if (control_count(root, "step", &line->step, err) && control_kinds[i].take(root, line, err))
			return true;
		control_line_done(line);
		return false;
	}
	return error_set(err, ERR_INPUT, "docs/programs.md lists what may be said", "unknown kind \"%.40s\"",
			 name ? name : "");
}

void control_line_done(struct control_line *line)
{
	free(line->path);
	free(line->sha256);
	free(line->reason);
	free(line->result);
	line->path = line->sha256 = line->reason = line->result = NULL;
}

/* ---- the pipe ---- */

struct control {
	struct event *event;
	int fd, child_fd;
	control_fn *fn;
	control_bad_fn *bad;
	void *arg;
	struct output_cutter cutter;
};

static void control_take(void *arg, const char *text, size_t len, bool is_fleeting)
{
	struct control *control = arg;
	struct control_line line;
	struct error err = { 0 };
	(void)is_fleeting;
	if (!len)
		return;
	if (!control_parse(text, len, &line, &err)) {
		control->bad(control->arg, &err);
		return;
	}
	control->fn(control->arg, &line);
	control_line_done(&line);
}

static void control_close(struct control *control)
{
	if (!control->event)
		return;
	event_del(control->event);
	event_free(control->event);
	control->event = NULL;
	close(control->fd);
	output_cut_end(&control->cutter, control_take, control);
}

static bool control_read(struct control *control)
{
	char chunk[CONTROL_READ_BYTES];
	ssize_t got = read(control->fd, chunk, sizeof chunk);
	if (got > 0)
		output_cut(&control->cutter, chunk, (size_t)got, control_take, control);
	else if (got == 0 || (errno != EAGAIN && errno != EINTR))
		control_close(control);
	return got > 0;
}

static void control_ready(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	control_read(arg);
}

struct control *control_new(struct event_base *base, control_fn *fn, control_bad_fn *bad, void *arg, int *child_fd,
			    struct error *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0) {
		error_errno(err, ERR_SYSTEM, NULL, "cannot make a control pipe");
		return NULL;
	}
	struct control *control = mem_alloc(sizeof *control);
	*control = (struct control){ .fd = fds[0], .child_fd = fds[1], .fn = fn, .bad = bad, .arg = arg };
	fcntl(control->fd, F_SETFL, O_NONBLOCK);
	control->event = event_new(base, control->fd, EV_READ | EV_PERSIST, control_ready, control);
	event_add(control->event, NULL);
	*child_fd = control->child_fd;
	return control;
}

void control_started(struct control *control)
{
	if (control->child_fd >= 0)
		close(control->child_fd);
	control->child_fd = -1;
}

void control_end(struct control *control)
{
	for (int turns = 0; control->event && turns < 16 && control_read(control); turns++)
		; /* what a pipe holds; whoever still holds its other end says nothing of worth any more */
	control_close(control);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	control_started(control);
	if (control->event) {
		event_del(control->event);
		event_free(control->event);
		close(control->fd);
	}
	output_cutter_done(&control->cutter);
	free(control);
}
