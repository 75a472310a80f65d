/* See the header. */
#include "cli/job.h"

#include <string.h>
#include "cli/cli.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

enum { JOB_LAST_LINES = 5 };

struct job_state_row {
	const char *name;
	enum paint paint;
	bool is_final;
	int exit_code;
};

static const struct job_state_row job_states[] = {
	{ "waiting", PAINT_YELLOW, false, 0 },
	{ "queued", PAINT_NONE, false, 0 },
	{ "running", PAINT_CYAN, false, 0 },
	{ "succeeded", PAINT_GREEN, true, 0 },
	{ "failed", PAINT_RED, true, EXIT_JOB_FAILED },
	{ "cancelled", PAINT_DIM, true, EXIT_JOB_CANCELLED },
};

/* A state that a newer scheduler invented is shown as it is. */
static const struct job_state_row *job_state(const json_t *job)
{
	static const struct job_state_row other = { "", PAINT_NONE, false, 0 };
	const char *state = fields_text(job, "state");
	for (size_t i = 0; i < ARRAY_LEN(job_states); i++)
		if (strcmp(job_states[i].name, state) == 0)
			return &job_states[i];
	return &other;
}

bool job_is_final(const json_t *job)
{
	return job_state(job)->is_final;
}

enum paint job_paint(const json_t *job)
{
	return job_state(job)->paint;
}

int job_exit_code(const json_t *job)
{
	return job_state(job)->exit_code;
}

/* A program that ended before its start could be told began when its attempt did. */
int64_t job_attempt_ms(const json_t *job, int64_t now_ms)
{
	int64_t started = fields_int(job, "started_ms", fields_int(job, "claimed_ms", 0));
	int64_t ended = fields_int(job, "ended_ms", 0);
	if (!started)
		return -1;
	if (ended >= started)
		return ended - started;
	return strcmp(fields_text(job, "state"), "running") == 0 ? now_ms - started : -1;
}

int64_t job_ran_ms(const json_t *job, int64_t now_ms)
{
	bool is_running = strcmp(fields_text(job, "state"), "running") == 0;
	int64_t ended = fields_int(job, "ran_ms", -1);
	int64_t current = is_running ? job_attempt_ms(job, now_ms) : -1;
	if (ended < 0 || current < 0)
		return ended < 0 ? current : ended;
	return ended + current;
}

void job_step(const json_t *job, char *into, size_t size)
{
	int64_t step = fields_int(job, "step", -1);
	int64_t total = fields_int(job, "total", 0);
	into[0] = '\0';
	if (step >= 0 && total > 0)
		str_format(into, size, "%lld/%lld", (long long)step, (long long)total);
	else if (step >= 0)
		str_format(into, size, "%lld", (long long)step);
}

bool job_left(const json_t *job, char *into, size_t size)
{
	char left[32];
	int64_t left_ms = fields_int(job, "left_ms", -1);
	clock_human(left_ms < 0 ? 0 : left_ms, left, sizeof left);
	str_format(into, size, "about %s left", left);
	return left_ms >= 0;
}

void job_outcome(const json_t *job, const char *why, struct buf *into)
{
	const char *state = fields_text(job, "state");
	int64_t attempts = fields_int(job, "attempt", 0);
	int64_t took = fields_int(job, "ended_ms", 0) - fields_int(job, "submitted_ms", 0);
	char duration[32];
	clock_human(took > 0 ? took : 0, duration, sizeof duration);
	bool succeeded = strcmp(state, "succeeded") == 0;
	buf_printf(into, "%s %s %s", state, succeeded ? "in" : "after", duration);
	if (attempts > 1)
		buf_printf(into, " · %lld attempts", (long long)attempts);
	const char *error = fields_text(job, "error");
	const char *reason = *error ? error : why;
	if (!succeeded && *reason && strcmp(reason, state) != 0) {
		buf_str(into, ": ");
		buf_str(into, reason);
	}
}

void job_last_lines(const json_t *shown, struct buf *into)
{
	const json_t *lines = json_object_get(shown, "last_lines");
	size_t count = json_array_size(lines);
	if (count)
		buf_str(into, "  last lines\n");
	for (size_t i = count > JOB_LAST_LINES ? count - JOB_LAST_LINES : 0; i < count; i++) {
		const char *line = json_string_value(json_array_get(lines, i));
		buf_str(into, "    ");
		text_clean(into, line ? line : "");
		buf_byte(into, '\n');
	}
}

void job_commands(const json_t *job, const char *id, struct buf *into)
{
	const char *state = fields_text(job, "state");
	bool is_running = strcmp(state, "running") == 0;
	bool is_succeeded = strcmp(state, "succeeded") == 0;
	bool can_retry = fields_is(job, "reason", "retry") || fields_is(job, "reason", "recovery") ||
			 (job_is_final(job) && !is_succeeded);
	const struct {
		bool is_worth_it;
		const char *command;
		const char *more;
	} rows[] = {
		{ fields_int(job, "log_next", 1) > 1 || is_running, "logs", is_running ? " -f" : "" },
		{ fields_int(job, "metric_next", 1) > 1, "metrics", "" },
		{ *fields_text(job, "checkpoint"), "checkpoints", "" },
		{ fields_int(job, "result_bytes", 0) > 0, "result", "" },
		{ can_retry, "retry", "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].is_worth_it)
			buf_printf(into, "%sstoker %s %s%s", into->len ? " · " : "", rows[i].command, id, rows[i].more);
}
