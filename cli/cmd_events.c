/* stoker events: what happened in a queue, and what happens. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/entry.h"
#include "cli/interrupt.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

#define EVENTS_PAGE      "1000"
#define EVENTS_RETRY_MS  500
#define EVENTS_JOB_WIDTH 12

struct events_options {
	const char *queue;
	bool follow;
};

struct events_view {
	struct cli *cli;
	const struct events_options *options;
	char *after; /* id of the newest event shown */
	bool is_lost;
};

static void events_print_line(const struct events_view *view, const json_t *event)
{
	CLEANUP(buf) struct buf line;
	CLEANUP(buf) struct buf clean;
	char time[32];
	buf_init(&line, 8192);
	buf_init(&clean, 16384);
	/* an event's id begins with its time, by the clock of Redis */
	int64_t time_ms = fields_int(event, "time_ms", strtoll(view->after, NULL, 10));
	text_clock(time_ms, clock_wall_ms(), time, sizeof time);
	entry_event(event, &line);
	text_clean(&clean, buf_text(&line));
	const char *job = fields_text(event, "job");
	job = *job ? job : TEXT_NONE;
	int pad = EVENTS_JOB_WIDTH - (int)text_width(job);
	printf("%s%s%s  %s%*s  %s\n", paint_begin(PAINT_DIM, view->cli->color), time,
	       paint_end(PAINT_DIM, view->cli->color), job, pad > 0 ? pad : 0, "", buf_text(&clean));
}

/* What happened to several jobs at once is one entry: jobs "gpu-1:1 gpu-2:3", each with its attempt. */
static void events_print_each(const struct events_view *view, const json_t *event)
{
	const char *jobs = fields_text(event, "jobs");
	if (!*jobs) {
		events_print_line(view, event);
		return;
	}
	json_auto_t *one = json_copy((json_t *)event);
	for (const char *p = jobs; *p;) {
		size_t len = strcspn(p, " "), id_len = strcspn(p, ": ");
		json_object_set_new(one, "job", json_stringn(p, id_len));
		json_object_set_new(one, "attempt", json_integer(strtoll(p + id_len + (id_len < len), NULL, 10)));
		events_print_line(view, one);
		p += len + (p[len] == ' ');
	}
}

static void events_print(struct events_view *view, const json_t *event)
{
	free(view->after);
	view->after = mem_strdup(fields_text(event, "id"));
	if (view->cli->common.json)
		cli_print_json_line(event);
	else
		events_print_each(view, event);
}

static char *events_path(const struct events_view *view, bool follow)
{
	struct buf path;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/events?limit=" EVENTS_PAGE);
	client_query(&path, "queue", view->options->queue);
	client_query(&path, "after", *view->after ? view->after : NULL);
	client_query(&path, "follow", follow ? "1" : NULL);
	return buf_take(&path);
}

static bool events_list(struct events_view *view, struct error *err)
{
	for (;;) {
		CLEANUP(free_p) char *path = events_path(view, false);
		CLEANUP(free_p) char *before = mem_strdup(view->after);
		json_auto_t *answer = NULL;
		if (!client_get(view->cli, path, &answer, err))
			return false;
		size_t i;
		json_t *event;
		json_array_foreach(json_object_get(answer, "entries"), i, event) events_print(view, event);
		if (strcmp(before, view->after) == 0)
			break;
	}
	/* A queue begins with the event that it was made. */
	return *view->after || error_set(err, ERR_NOT_FOUND, "stoker queues lists those there are", "no queue %s",
					 view->options->queue ? view->options->queue : "default");
}

static bool events_object(void *arg, const json_t *object)
{
	struct events_view *view = arg;
	view->is_lost = false;
	if (strcmp(fields_text(object, "kind"), "event") == 0)
		events_print(view, json_object_get(object, "entry"));
	fflush(stdout);
	return true;
}

/* For ever: until Ctrl-C. A scheduler that went away is waited for. */
static bool events_follow(struct events_view *view, struct error *err)
{
	CLEANUP(close_fd) int interrupt = interrupt_open(err);
	if (interrupt < 0)
		return false;
	for (bool first = true;; first = false) {
		CLEANUP(free_p) char *path = events_path(view, true);
		struct client_stream stream = {
			.path = path, .fn = events_object, .arg = view, .interrupt_fd = interrupt
		};
		bool ok = client_stream(view->cli, &stream, err);
		if (!ok && !client_is_worth_waiting(err, first))
			return false;
		if (!ok && !view->is_lost)
			fprintf(stderr, "stoker: %s; waiting for it\n", err->message);
		view->is_lost = !ok;
		if (stream.interrupted || interrupt_wait(interrupt, EVENTS_RETRY_MS)) {
			view->cli->exit_code = EXIT_INTERRUPTED;
			return true;
		}
		http_client_free(view->cli->client);
		view->cli->client = NULL;
	}
}

static bool events_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)words;
	const struct events_options *o = options;
	struct events_view view = { .cli = cli, .options = o, .after = mem_strdup("") };
	bool ok = o->follow ? events_follow(&view, err) : events_list(&view, err);
	free(view.after);
	return ok;
}

static const struct arg_row events_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct events_options, queue), "QUEUE", "of this queue (default)", 0 },
	{ "follow", 'f', ARG_FLAG, offsetof(struct events_options, follow), NULL, "go on live until Ctrl-C", 0 },
};

const struct command cmd_events = {
	.name = "events",
	.usage = "[--queue QUEUE] [-f]",
	.summary = "lists what happened, oldest first",
	.options = CLI_ROWS(events_rows),
	.options_size = sizeof(struct events_options),
	.run = events_run,
};
