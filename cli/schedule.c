/* See the header. */
#include "cli/schedule.h"

#include <string.h>
#include "cli/client.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/fields.h"

const char *const schedule_titles[8] = { "NAME", "QUEUE", "WHEN", "NEXT", "LAST", "LAST JOB", "FIRED", "STATE" };

char *schedule_path(const char *name, const char *tail, const char *queue)
{
	struct buf path;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/schedules/");
	http_encode(&path, name);
	buf_str(&path, tail);
	client_query(&path, "queue", queue);
	return buf_take(&path);
}

void schedule_when(const json_t *schedule, struct buf *into)
{
	const char *cron = fields_text(schedule, "cron");
	char every[CONFIG_VALUE_MAX];
	if (*cron) {
		buf_printf(into, "%s %s", cron, fields_text(schedule, "zone"));
		return;
	}
	config_format_duration(fields_int(schedule, "every_ms", 0), every);
	buf_printf(into, "every %s", every);
}

static const char *schedule_state(const json_t *schedule, enum paint *paint)
{
	*paint = PAINT_YELLOW;
	if (*fields_text(schedule, "paused_ms"))
		return "paused";
	*paint = PAINT_RED;
	if (*fields_text(schedule, "error"))
		return fields_text(schedule, "error");
	*paint = PAINT_NONE;
	return "active";
}

/* "in 3h (Nov 26 03:00)" */
static void schedule_due(int64_t due_ms, int64_t now_ms, char *into, size_t size)
{
	char clock[32], age[32];
	text_clock(due_ms, now_ms, clock, sizeof clock);
	text_age(due_ms > now_ms ? due_ms - now_ms : now_ms - due_ms, age, sizeof age);
	str_format(into, size, due_ms > now_ms ? "in %s (%s)" : "%s ago (%s)", age, clock);
}

void schedule_row(struct table *table, const json_t *schedule)
{
	int64_t now_ms = clock_wall_ms();
	CLEANUP(buf) struct buf text;
	enum paint paint;
	char time[80] = "";
	const char *state = schedule_state(schedule, &paint);
	int64_t next_ms = fields_int(schedule, "next_ms", 0), last_ms = fields_int(schedule, "last_ms", 0);
	buf_init(&text, 1024);
	table_paint(table, fields_text(schedule, "name"), PAINT_BOLD);
	table_add(table, fields_text(schedule, "queue"));
	schedule_when(schedule, &text);
	table_add(table, buf_text(&text));
	if (next_ms > 0 && strcmp(state, "active") == 0)
		schedule_due(next_ms, now_ms, time, sizeof time);
	table_add(table, time);
	time[0] = '\0';
	if (last_ms > 0)
		schedule_due(last_ms, now_ms, time, sizeof time);
	table_add(table, time);
	buf_clear(&text);
	if (*fields_text(schedule, "last_id"))
		buf_printf(&text, "%s %s", fields_text(schedule, "last_id"), fields_text(schedule, "last_state"));
	table_add(table, buf_text(&text));
	str_format(time, sizeof time, "%lld", (long long)fields_int(schedule, "fired", 0));
	table_add(table, time);
	table_paint(table, state, paint);
}

void schedule_next(const json_t *show, struct buf *into)
{
	size_t i;
	json_t *due;
	json_array_foreach(json_object_get(show, "next"), i, due)
	{
		for (const char *c = fields_text(due, "local"); *c; c++)
			buf_byte(into, *c == 'T' ? ' ' : *c);
		buf_byte(into, '\n');
	}
}

static void schedule_line(struct buf *into, const char *label, const char *text)
{
	if (!*text)
		return;
	buf_printf(into, "  %-10s", label);
	text_clean(into, text);
	buf_byte(into, '\n');
}

static void schedule_history(const json_t *schedule, int64_t now_ms, struct buf *into)
{
	char due[80], line[256];
	int64_t last_ms = fields_int(schedule, "last_ms", 0), skipped = fields_int(schedule, "skipped", 0);
	if (last_ms > 0) {
		schedule_due(last_ms, now_ms, due, sizeof due);
		str_format(line, sizeof line, "due %s: %s", due, fields_text(schedule, "last"));
		schedule_line(into, "last", line);
	}
	if (*fields_text(schedule, "last_id")) {
		str_format(line, sizeof line, "%s  %s%s%.150s", fields_text(schedule, "last_id"),
			   fields_text(schedule, "last_state"), *fields_text(schedule, "last_error") ? ": " : "",
			   fields_text(schedule, "last_error"));
		schedule_line(into, "last job", line);
	}
	str_format(line, sizeof line, "%lld times, left out %lld times", (long long)fields_int(schedule, "fired", 0),
		   (long long)skipped);
	schedule_line(into, "fired", line);
}

void schedule_explain(const json_t *show, struct buf *into)
{
	const json_t *schedule = json_object_get(show, "schedule");
	enum paint paint;
	char line[256];
	CLEANUP(buf) struct buf when;
	buf_init(&when, 1024);
	schedule_when(schedule, &when);
	buf_printf(into, "%s  ·  ", fields_text(schedule, "name"));
	text_clean(into, schedule_state(schedule, &paint));
	buf_byte(into, '\n');
	str_format(line, sizeof line, "%s in queue %s", buf_text(&when), fields_text(show, "queue"));
	schedule_line(into, "when", line);
	str_format(line, sizeof line, "overlap %s, missed %s", fields_text(schedule, "overlap"),
		   fields_text(schedule, "missed"));
	schedule_line(into, "policy", line);
	schedule_history(schedule, fields_int(show, "now_ms", 0), into);
	CLEANUP(buf) struct buf next;
	buf_init(&next, 8192);
	schedule_next(show, &next);
	for (const char *at = buf_text(&next); *at;) {
		size_t len = strcspn(at, "\n");
		buf_printf(into, "  %-10s%.*s\n", at == buf_text(&next) ? "next" : "", (int)len, at);
		at += len + (at[len] == '\n');
	}
}

bool schedule_send(struct cli *cli, const char *queue, const char *spec, struct error *err)
{
	CLEANUP(buf) struct buf path;
	json_auto_t *answer = NULL;
	struct client_text body = { .content_type = "application/json", .text = spec };
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/schedules");
	client_query(&path, "queue", queue);
	if (!client_post_text(cli, buf_text(&path), &body, &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json_line(answer);
		return true;
	}
	const json_t *first = json_array_get(json_object_get(answer, "next"), 0);
	CLEANUP(buf) struct buf line;
	buf_init(&line, 1024);
	buf_printf(&line, "%s  %s", fields_text(answer, "name"), fields_text(answer, "result"));
	if (first)
		buf_printf(&line, ", next %s", fields_text(first, "local"));
	buf_byte(&line, '\n');
	cli_print(&line);
	return true;
}
