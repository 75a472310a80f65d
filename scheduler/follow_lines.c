#include "scheduler/follow_lines.h"

#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/explain.h"

enum { FOLLOW_PLAIN = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY };

void follow_lines_done(struct follow_lines *lines)
{
	free(lines->job_seen);
	free(lines->history_seen);
}

/* Takes the reference. */
static void follow_lines_say(struct follow_lines *lines, json_t *line)
{
	CLEANUP(free_p) char *text = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (text)
		http_stream_line(lines->reply, text, strlen(text));
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
		follow_lines_say(lines, json_pack("{s:s, s:O}", "kind", "job", "job", job));
}

/* History entries have no ids: those after the one sent last are new. */
void follow_lines_history(struct follow_lines *lines, const json_t *show)
{
	const json_t *history = json_object_get(show, "history");
	size_t count = json_array_size(history), from = count;
	while (from > 0) {
		CLEANUP(free_p) char *text = json_dumps(json_array_get(history, from - 1), FOLLOW_PLAIN);
		if (text && lines->history_seen && strcmp(text, lines->history_seen) == 0)
			break;
		from--;
	}
	for (size_t i = from; i < count; i++)
		follow_lines_say(lines, json_pack("{s:s, s:O}", "kind", "event", "entry", json_array_get(history, i)));
	if (from < count) {
		free(lines->history_seen);
		lines->history_seen = json_dumps(json_array_get(history, count - 1), FOLLOW_PLAIN);
	}
}

void follow_lines_end(struct follow_lines *lines, const json_t *show)
{
	CLEANUP(buf) struct buf why;
	buf_init(&why, 4096);
	explain_job(show, NULL, &why);
	follow_lines_say(lines, json_pack("{s:s, s:O, s:s%}", "kind", "end", "job", json_object_get(show, "job"), "why",
					  buf_text(&why), why.len));
}

void follow_lines_ping(struct follow_lines *lines)
{
	follow_lines_say(lines, json_pack("{s:s}", "kind", "ping"));
}

void follow_lines_entry(struct follow_lines *lines, const char *kind, const struct stream_entry *entry)
{
	CLEANUP(buf) struct buf line;
	buf_init(&line, entry->len + 64);
	buf_printf(&line, "{\"kind\":\"%s\",\"entry\":", kind);
	buf_add(&line, entry->json, entry->len);
	buf_byte(&line, '}');
	http_stream_line(lines->reply, buf_text(&line), line.len);
}

/* The lines before this entry that are not there any more: trimmed before they could be sent. */
static int64_t follow_lines_missing(struct follow_lines *lines, const struct stream_entry *entry)
{
	char *end;
	int64_t attempt = strtoll(entry->id, &end, 10);
	int64_t first = *end == '-' ? strtoll(end + 1, NULL, 10) : 0;
	int64_t expected = attempt == lines->log_attempt ? lines->log_next : 1;
	lines->log_attempt = attempt;
	lines->log_next = first + entry->lines;
	return first - expected;
}

void follow_lines_log(struct follow_lines *lines, const struct stream_entry *entry)
{
	int64_t missing = follow_lines_missing(lines, entry);
	if (missing > 0)
		follow_lines_say(lines, json_pack("{s:s, s:s, s:I}", "kind", "gap", "stream", "log", "lines",
						  (json_int_t)missing));
	follow_lines_entry(lines, "log", entry);
}
