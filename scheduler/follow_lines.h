/*
 * What is told of one job or queue, line by line (docs/http.md, Following): remembers what
 * was said last, so that only news is said, and says what is missing.
 */
#ifndef STOKER_SCHEDULER_FOLLOW_LINES_H
#define STOKER_SCHEDULER_FOLLOW_LINES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "queue/jobs.h"
#include "scheduler/follow_out.h"

struct follow_lines {
	struct follow_out *out;  /* borrowed */
	const char *source;      /* the job or queue; borrowed */
	char *job_seen;          /* the fields of the last job line, as text */
	int64_t history_time_ms; /* of the last history entry that was sent, */
	int64_t history_same;    /* and how many of that time were */
	int64_t log_attempt;     /* the log line that is expected next; 0: the first of all */
	int64_t log_next;
};

void follow_lines_done(struct follow_lines *lines);

/* show: as of stoker_show. job: only if a field changed that people wait for. */
void follow_lines_job(struct follow_lines *lines, const json_t *show);
void follow_lines_history(struct follow_lines *lines, const json_t *show);
void follow_lines_end(struct follow_lines *lines, const json_t *show);
/* There is no such job any more. */
void follow_lines_gone(struct follow_lines *lines);
/* Something of this stream ("metrics", "events", "history") may be missing here. */
void follow_lines_hole(struct follow_lines *lines, const char *stream);

/* An entry of a stream. Those of the log are numbered densely: a hole is said. */
void follow_lines_entry(struct follow_lines *lines, const char *kind, const struct stream_entry *entry);
void follow_lines_log(struct follow_lines *lines, const struct stream_entry *entry);

/* Did one of the named fields change since the last call with the same *seen (owned by the caller)? */
bool follow_lines_is_news(char **seen, const json_t *job, const char *const *names, size_t count);

#endif
