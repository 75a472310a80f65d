/* stoker show: one job explained, in sentences. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/entry.h"
#include "cli/goodput.h"
#include "cli/job.h"
#include "cli/lineage.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/json.h"
#include "lib/size.h"
#include "lib/utf8.h"

#define SHOW_RESULT_BYTES 200
#define SHOW_HISTORY      5  /* of the newest entries */
#define SHOW_ATTEMPTS     10 /* likewise */
#define SHOW_BUDGET       3  /* of each, in a spec that does not say */

struct show_options {
	bool watch;
	const char *id;
};

static void show_line(struct buf *into, const char *label, const char *text)
{
	if (!*text)
		return;
	buf_printf(into, "  %-14s", label);
	text_clean(into, text);
	buf_byte(into, '\n');
}

static void show_header(struct cli *cli, const json_t *shown, const json_t *job, struct buf *into)
{
	const char *state = fields_text(job, "state");
	const char *why = fields_text(shown, "why");
	buf_printf(into, "%s%s%s", paint_begin(PAINT_BOLD, cli->color), fields_text(shown, "id"),
		   paint_end(PAINT_BOLD, cli->color));
	if (*fields_text(job, "name"))
		buf_printf(into, "  %s", fields_text(job, "name"));
	buf_printf(into, "  ·  %s%s%s", paint_begin(job_paint(job), cli->color), state,
		   paint_end(job_paint(job), cli->color));
	if (*why) {
		buf_str(into, ": ");
		text_clean(into, why);
	}
	buf_byte(into, '\n');
}

static void show_times(const json_t *job, int64_t now_ms, struct buf *into)
{
	char age[32];
	char line[256];
	clock_human(now_ms - fields_int(job, "submitted_ms", now_ms), age, sizeof age);
	str_format(line, sizeof line, "%s ago%s%s, priority %lld, class %s", age,
		   *fields_text(job, "actor") ? " by " : "", fields_text(job, "actor"),
		   (long long)fields_int(job, "priority", 5), fields_text(job, "class"));
	show_line(into, "submitted", line);
	int64_t ran_ms = job_attempt_ms(job, now_ms);
	if (ran_ms < 0)
		return;
	clock_human(ran_ms, age, sizeof age);
	bool running = strcmp(fields_text(job, "state"), "running") == 0;
	const char *phase = fields_text(job, "phase");
	bool is_telling = running && *phase && strcmp(phase, "running") != 0;
	str_format(line, sizeof line, "%lld, on %s, %s %s%s%s", (long long)fields_int(job, "attempt", 0),
		   *fields_text(job, "worker") ? fields_text(job, "worker") : "?", running ? "for" : "ran", age,
		   is_telling ? ", " : "", is_telling ? phase : "");
	show_line(into, "attempt", line);
}

/* "schedule nightly, due 2026-11-25 03:00:00 UTC": by the clock that all machines agree on. */
static void show_schedule(const json_t *job, struct buf *into)
{
	const char *name = fields_text(job, "schedule");
	char due[32];
	char line[128];
	if (!*name)
		return;
	text_utc(fields_int(job, "scheduled_ms", 0), due, sizeof due);
	str_format(line, sizeof line, "schedule %s, due %s", name, due);
	show_line(into, "fired by", line);
}

/* "200 of 2000, loss 2.71": how many there are is known of the shipped trainer. */
static void show_progress(const json_t *shown, const json_t *job, struct buf *into)
{
	char text[64];
	double loss;
	json_auto_t *spec = fields_json(shown, "spec");
	int64_t total = fields_int(json_object_get(spec, "train"), "steps", 0);
	job_step(job, text, sizeof text);
	if (!*text)
		return;
	CLEANUP(buf) struct buf line;
	buf_init(&line, 256);
	buf_str(&line, text);
	if (total && !strchr(text, '/'))
		buf_printf(&line, " of %lld", (long long)total);
	if (fields_number(job, "loss", &loss)) {
		text_number(loss, text, sizeof text);
		buf_printf(&line, ", loss %s", text);
	}
	if (job_left(job, text, sizeof text))
		buf_printf(&line, ", %s", text);
	show_line(into, "step", buf_text(&line));
}

/* As much of it as fits on a line; stoker result has all of it. */
static void show_result(const json_t *shown, struct buf *into)
{
	const json_t *result = json_object_get(shown, "result");
	CLEANUP(buf) struct buf text;
	buf_init(&text, 256 * 1024);
	if (!result || !json_canonical(result, &text))
		return;
	size_t cut = utf8_cut(buf_text(&text), text.len, SHOW_RESULT_BYTES);
	CLEANUP(free_p) char *line = mem_printf("%.*s%s", (int)cut, buf_text(&text), cut < text.len ? " …" : "");
	show_line(into, "result", line);
}

static void show_checkpoint(const json_t *shown, const json_t *job, struct buf *into)
{
	const char *id = fields_text(job, "checkpoint");
	if (!*id)
		return;
	char line[256];
	char size[32], lent[128] = "";
	json_auto_t *all = fields_json(shown, "checkpoints");
	json_auto_t *checkpoint = fields_json(all, id);
	if (*fields_text(checkpoint, "from"))
		str_format(lent, sizeof lent, ", %lld-%lld of %s,", (long long)fields_int(checkpoint, "attempt", 0),
			   (long long)fields_int(checkpoint, "seq", 0), fields_text(checkpoint, "from"));
	size_human(fields_int(checkpoint, "size", 0), size, sizeof size);
	str_format(line, sizeof line, "%s%s at step %lld (verified, %s optimizer state, %s)", id, lent,
		   (long long)fields_int(job, "checkpoint_step", fields_int(checkpoint, "step", 0)),
		   fields_is_true(checkpoint, "optimizer") ? "with" : "without", size);
	bool will_resume = fields_is(job, "state", "waiting") || fields_is(job, "state", "queued");
	show_line(into, will_resume ? "resumes from" : "checkpoint", line);
}

/* What became of its time, and how often it would best save. */
static void show_time(const json_t *shown, const json_t *job, struct buf *into)
{
	char queue[64] = "";
	const char *id = fields_text(shown, "id"), *hyphen = strrchr(id, '-');
	CLEANUP(buf) struct buf time, interval;
	buf_init(&time, 512);
	buf_init(&interval, 512);
	if (hyphen)
		str_format(queue, sizeof queue, "%.*s", (int)(hyphen - id), id);
	if (fields_int(job, "attempt", 0) > 0)
		goodput_line(json_object_get(shown, "time"), &time);
	goodput_interval_line(json_object_get(shown, "save_every"), queue, &interval);
	show_line(into, "time", buf_text(&time));
	show_line(into, "best saved", buf_text(&interval));
}

/* "default-1 (succeeded), default-2 (running)": what it waits or waited for, and who waits for it. */
static void show_relatives(const json_t *shown, const json_t *job, struct buf *into)
{
	CLEANUP(buf) struct buf parents, children;
	const char *id;
	json_t *parent, *child;
	size_t i;
	buf_init(&parents, 512);
	buf_init(&children, 512);
	json_object_foreach(json_object_get(shown, "parents"), id, parent)
	{
		const char *state = fields_text(parent, "state");
		bool is_open = strcmp(state, "-") == 0;
		buf_printf(&parents, "%s%s%s%s%s", parents.len ? ", " : "", id, is_open ? "" : " (",
			   is_open ? "" : state, is_open ? "" : ")");
	}
	json_array_foreach(json_object_get(shown, "children"), i, child)
		buf_printf(&children, "%s%s", i ? ", " : "", json_string_value(child));
	show_line(into, "after", buf_text(&parents));
	show_line(into, "waited for by", buf_text(&children));
	show_line(into, "batch", fields_text(job, "batch"));
}

/* Why the attempt before ended; of a job that is over the first line says it. */
static void show_end(const json_t *job, struct buf *into)
{
	static const char *const causes[][2] = {
		{ "preempted", "preempted" }, { "lost", "lost" },       { "corrupted", "corrupted" },
		{ "timeout", "timed out" },   { "stalled", "stalled" },
	};
	const char *label = "last error";
	if (job_is_final(job))
		return;
	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (fields_is(job, "cause", causes[i][0]))
			label = causes[i][1];
	show_line(into, label, fields_text(job, "error"));
}

/* What it runs, and where that comes from. */
static void show_code(const json_t *shown, struct buf *into)
{
	json_auto_t *spec = fields_json(shown, "spec");
	CLEANUP(buf) struct buf line;
	buf_init(&line, 1024);
	lineage_line(spec, &line);
	show_line(into, "code", buf_text(&line));
}

/* "failed 1 of 3, lost 2 of 3, preempted 4": what is used of each budget. */
static void show_budget(const json_t *shown, const json_t *job, struct buf *into)
{
	static const struct {
		const char *field, *words, *section, *most;
	} budgets[] = {
		{ "errors", "failed", "retry", "max_attempts" },
		{ "lost", "lost", "retry", "max_lost" },
		{ "corrupted", "corrupted", "recovery", "max_attempts" },
		{ "preempted", "preempted", NULL, NULL },
	};
	json_auto_t *spec = fields_json(shown, "spec");
	CLEANUP(buf) struct buf line;
	buf_init(&line, 256);
	for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
		int64_t used = fields_int(job, budgets[i].field, 0);
		if (!used)
			continue;
		buf_printf(&line, "%s%s %lld", line.len ? ", " : "", budgets[i].words, (long long)used);
		if (budgets[i].section)
			buf_printf(&line, " of %lld",
				   (long long)fields_int(json_object_get(spec, budgets[i].section), budgets[i].most,
							 SHOW_BUDGET));
	}
	show_line(into, "budgets", buf_text(&line));
}

/* Its attempts, and what each of them went on from; of one that is the only one the other lines say all. */
static void show_attempts(const json_t *shown, struct buf *into)
{
	const json_t *attempts = json_object_get(shown, "attempts");
	size_t count = json_array_size(attempts);
	if (count < 2)
		return;
	buf_str(into, "  attempts\n");
	for (size_t i = count > SHOW_ATTEMPTS ? count - SHOW_ATTEMPTS : 0; i < count; i++) {
		const json_t *attempt = json_array_get(attempts, i);
		const char *checkpoint = fields_text(attempt, "checkpoint"), *worker = fields_text(attempt, "worker");
		const char *cause = fields_text(attempt, "cause"), *error = fields_text(attempt, "error");
		bool is_cold = !*checkpoint || strcmp(checkpoint, "none") == 0;
		CLEANUP(buf) struct buf line;
		buf_init(&line, 4096);
		buf_printf(&line, "%lld  from %s", (long long)fields_int(attempt, "attempt", 0),
			   is_cold ? "the beginning" : checkpoint);
		if (!is_cold)
			buf_printf(&line, " (step %lld)", (long long)fields_int(attempt, "step", 0));
		buf_printf(&line, "%s%s: %s", *worker ? " on " : "", worker,
			   *cause ? cause : fields_text(attempt, "state"));
		if (json_object_get(attempt, "onset"))
			buf_printf(&line, " from step %lld on", (long long)fields_int(attempt, "onset", 0));
		if (*error && strcmp(error, cause) != 0)
			buf_printf(&line, ", %s", error);
		buf_str(into, "    ");
		text_clean(into, buf_text(&line));
		buf_byte(into, '\n');
	}
}

/* Whom it tells of what, if it brought a webhook along. */
static void show_webhook(const json_t *shown, struct buf *into)
{
	json_auto_t *spec = fields_json(shown, "spec");
	const json_t *webhook = json_object_get(spec, "webhook"), *on = json_object_get(webhook, "on");
	size_t i;
	json_t *name;
	CLEANUP(buf) struct buf line;
	buf_init(&line, 16384);
	if (!webhook)
		return;
	buf_printf(&line, "%s of ", fields_text(webhook, "url"));
	json_array_foreach(on, i, name) buf_printf(&line, "%s%s", i ? ", " : "", json_string_value(name));
	if (json_array_size(on) == 0)
		buf_str(&line, "its end");
	show_line(into, "tells", buf_text(&line));
}

/* Where a stalled program was. */
static void show_trace(const char *trace, struct buf *into)
{
	while (*trace) {
		size_t len = strcspn(trace, "\n");
		CLEANUP(free_p) char *line = mem_strndup(trace, len);
		buf_str(into, "              ");
		text_clean(into, line);
		buf_byte(into, '\n');
		trace += len + (trace[len] != '\0');
	}
}

static void show_history(const json_t *shown, int64_t now_ms, struct buf *into)
{
	json_auto_t *history = fields_json(shown, "history");
	size_t count = json_array_size(history);
	if (!count)
		return;
	buf_str(into, "  history\n");
	for (size_t i = count > SHOW_HISTORY ? count - SHOW_HISTORY : 0; i < count; i++) {
		json_t *item = json_array_get(history, i);
		json_auto_t *entry =
			json_is_string(item) ? json_loads(json_string_value(item), 0, NULL) : json_incref(item);
		char time[32];
		CLEANUP(buf) struct buf line;
		buf_init(&line, 4096);
		text_clock(fields_int(entry, "time_ms", 0), now_ms, time, sizeof time);
		entry_event(entry, &line);
		buf_printf(into, "    %s  ", time);
		text_clean(into, buf_text(&line));
		buf_byte(into, '\n');
		show_trace(fields_text(entry, "trace"), into);
	}
}

static void show_next(const json_t *job, const char *id, struct buf *into)
{
	CLEANUP(buf) struct buf next;
	buf_init(&next, 1024);
	job_commands(job, id, &next);
	show_line(into, "next", buf_text(&next));
}

static bool show_fetch(struct cli *cli, const char *id, json_t **shown, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "", err);
	return path && client_get(cli, path, shown, err);
}

static bool show_frame(struct cli *cli, void *arg, struct watch_frame *frame, struct error *err)
{
	const struct show_options *o = arg;
	json_auto_t *shown = NULL;
	if (!show_fetch(cli, o->id, &shown, err))
		return false;
	const json_t *job = json_object_get(shown, "job");
	int64_t now_ms = fields_int(shown, "now_ms", clock_wall_ms());
	show_header(cli, shown, job, &frame->text);
	show_times(job, now_ms, &frame->text);
	show_line(&frame->text, "tags", fields_text(job, "tags"));
	show_schedule(job, &frame->text);
	show_code(shown, &frame->text);
	show_progress(shown, job, &frame->text);
	show_result(shown, &frame->text);
	show_end(job, &frame->text);
	show_budget(shown, job, &frame->text);
	show_checkpoint(shown, job, &frame->text);
	show_time(shown, job, &frame->text);
	show_relatives(shown, job, &frame->text);
	if (fields_is_true(shown, "archived"))
		show_line(&frame->text, "archived", "it has left Redis and is read from the store");
	show_webhook(shown, &frame->text);
	show_attempts(shown, &frame->text);
	show_history(shown, now_ms, &frame->text);
	job_last_lines(shown, &frame->text);
	show_next(job, o->id, &frame->text);
	buf_printf(&frame->mark, "%s %s %lld %lld %s", fields_text(job, "state"), fields_text(job, "phase"),
		   (long long)fields_int(job, "attempt", 0), (long long)fields_int(job, "step", -1),
		   fields_text(job, "checkpoint"));
	frame->is_last = job_is_final(job);
	return true;
}

static bool show_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	struct show_options o = *(const struct show_options *)options;
	o.id = words->items[0];
	if (!cli->common.json)
		return o.watch ? watch_run(cli, show_frame, &o, err) : watch_once(cli, show_frame, &o, err);
	json_auto_t *shown = NULL;
	if (!show_fetch(cli, o.id, &shown, err))
		return false;
	cli_print_json(shown);
	return true;
}

static const struct arg_row show_rows[] = {
	{ "watch", 'w', ARG_FLAG, offsetof(struct show_options, watch), NULL, "go on until the job ends", 0 },
};

const struct command cmd_show = {
	.name = "show",
	.usage = "ID [--watch]",
	.summary = "explains one job: what it does, waits for, or why it ended",
	.options = CLI_ROWS(show_rows),
	.options_size = sizeof(struct show_options),
	.words_min = 1,
	.words_max = 1,
	.run = show_run,
};
