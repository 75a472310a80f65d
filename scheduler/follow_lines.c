#include "scheduler/follow_lines.h"

#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/transcript.h"
#include "scheduler/explain.h"

void follow_lines_done(struct follow_lines *lines)
{
	free(lines->job_seen);
}

/* Takes the reference. */
static void follow_lines_say(struct follow_lines *lines, const char *kind, json_t *line)
{
	CLEANUP(free_p) char *text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (text)
		follow_out_say(lines->out, kind, lines->source, text, strlen(text));
}

bool follow_lines_is_news(char **seen, const json_t *job, const char *const *names, size_t count)
{
	json_auto_t *values = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *value = json_object_get(job, names[i]);
		json_array_append(values, value ? value : json_null());
	}
	char *now = json_dumps(values, JSON_COMPACT);
	bool is_news = !*seen || !now || strcmp(*seen, now) != 0;
	free(*seen);
	*seen = now;
	return is_news;
}

void follow_lines_job(struct follow_lines *lines, const json_t *show)
{
	static const char *const shown[] = { "state", "reason", "attempt", "phase", "worker", "checkpoint", "stop" };
	json_t *job = json_object_get(show, "job");
	if (follow_lines_is_news(&lines->job_seen, job, shown, ARRAY_LEN(shown)))
		follow_lines_say(lines, "job", json_pack("{s:s, s:O}", "kind", "job", "job", job));
}

/* History entries have no ids: known is how many of which time were sent. The oldest go first where it is long. */
void follow_lines_history(struct follow_lines *lines, const json_t *show)
{
	const json_t *history = json_object_get(show, "history");
	size_t i, count = json_array_size(history);
	int64_t of_time = 0, last_ms = -1;
	bool was_cut = lines->history_time_ms && count &&
		       fields_int(json_array_get(history, 0), "time_ms", 0) > lines->history_time_ms;
	if (was_cut)
		follow_lines_hole(lines, "history");
	for (i = 0; i < count; i++) {
		json_t *entry = json_array_get(history, i);
		int64_t time_ms = fields_int(entry, "time_ms", 0);
		of_time = time_ms == last_ms ? of_time + 1 : 1;
		last_ms = time_ms;
		if (time_ms < lines->history_time_ms ||
		    (time_ms == lines->history_time_ms && of_time <= lines->history_same))
			continue;
		lines->history_time_ms = time_ms;
		lines->history_same = of_time;
		follow_lines_say(lines, "event", json_pack("{s:s, s:O}", "kind", "event", "entry", entry));
	}
}

void follow_lines_end(struct follow_lines *lines, const json_t *show)
{
	CLEANUP(buf) struct buf why;
	buf_init(&why, 4096);
	explain_job(show, NULL, &why);
	follow_lines_say(lines, "end",
			 json_pack("{s:s, s:O, s:s%}", "kind", "end", "job", json_object_get(show, "job"), "why",
				   buf_text(&why), why.len));
}

void follow_lines_gone(struct follow_lines *lines)
{
	if (lines->out->is_sse)
		follow_lines_say(lines, "gone", json_pack("{s:s}", "kind", "gone"));
}

void follow_lines_hole(struct follow_lines *lines, const char *stream)
{
	follow_lines_say(lines, "gap", json_pack("{s:s, s:s}", "kind", "gap", "stream", stream));
}

void follow_lines_entry(struct follow_lines *lines, const char *kind, const struct stream_entry *entry)
{
	CLEANUP(buf) struct buf line;
	buf_init(&line, entry->len + 64);
	buf_printf(&line, "{\"kind\":\"%s\",\"entry\":", kind);
	buf_add(&line, entry->json, entry->len);
	buf_byte(&line, '}');
	follow_out_say(lines->out, kind, lines->source, buf_text(&line), line.len);
}

/* Numbered densely: lines that are expected before this entry were trimmed before they could be sent. */
void follow_lines_log(struct follow_lines *lines, const struct stream_entry *entry)
{
	struct entry_place at;
	if (!entry_place_parse(entry->id, &at))
		at = (struct entry_place){ 0 };
	int64_t missing = at.number - (at.attempt == lines->log_attempt ? lines->log_next : 1);
	lines->log_attempt = at.attempt;
	lines->log_next = at.number; /* who comes back after the gap is not told of it again */
	if (missing > 0)
		follow_lines_say(
			lines, "gap",
			json_pack("{s:s, s:s, s:I}", "kind", "gap", "stream", "log", "lines", (json_int_t)missing));
	lines->log_next += entry->lines;
	follow_lines_entry(lines, "log", entry);
}
