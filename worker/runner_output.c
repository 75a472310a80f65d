/* What a program says: lines to the spool and on to Redis, metrics from lines and from the control fd, and what
 * else it says there. */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/result.h"
#include "worker/runner_internal.h"

enum {
	OUTPUT_FLEETING_MS = 1000, /* of text that is overwritten (progress bars) a line a second is kept */
	OUTPUT_BAD_CONTROL_MAX = 10,
};

bool runner_open_spools(struct runner *r, struct error *err)
{
	CLEANUP(free_p) char *log_path = run_path(r->folder, "spool.log");
	CLEANUP(free_p) char *points_path = run_path(r->folder, "metrics.jsonl");
	return spool_open(&r->log, log_path, true, err) && spool_open(&r->points, points_path, false, err);
}

void runner_flush(struct runner *r)
{
	struct error err;
	int64_t log_size = r->log.size, points_size = r->points.size;
	if (!spool_flush(&r->log, &err) || !spool_flush(&r->points, &err))
		log_failure(LOG_ERROR, "output of a run is lost", &err);
	if (r->log.size > log_size)
		feed_added(r->log_feed);
	if (r->points.size > points_size)
		feed_added(r->point_feed);
}

void runner_drained(void *runner)
{
	runner_check_shipped(runner);
}

/* ---- metrics ---- */

/* The shortest text that reads back as the same number: 0.1, not 0.10000000000000001. */
static void output_add_value(struct buf *b, const char *name, double value)
{
	char text[40] = "";
	if (isnan(value))
		str_copy(text, sizeof text, "\"NaN\"");
	else if (isinf(value))
		str_copy(text, sizeof text, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
	for (int digits = 6; isfinite(value) && digits <= 17; digits++) {
		str_format(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_printf(b, ",\"%s\":%s", name, text);
}

/* The number of all steps is news: it stands with the job at once. Steps within an epoch are not the whole way. */
static void output_progress(struct runner *r, int64_t step, int64_t total)
{
	int64_t known = r->progress.total, now = clock_boot_ms();
	if (step != r->step)
		stall_step(&r->stall, now);
	r->step = step;
	runner_ask_at_step(r);
	progress_note(&r->progress, now, step, total);
	if (r->progress.total == known)
		return;
	r->renew_at = 0;
	runner_wake(r);
}

static void output_take_point(struct runner *r, const struct metric_point *point)
{
	CLEANUP(buf) struct buf b;
	buf_init(&b, 16 * 1024);
	r->reported_at = r->reported_at ? r->reported_at : clock_boot_ms();
	if (point->step >= 0)
		output_progress(r, point->step, isnan(point->epoch) ? point->total : -1);
	if (point->count) {
		buf_printf(&b, "{\"time_ms\":%" PRId64, clock_wall_ms());
		if (point->step >= 0)
			buf_printf(&b, ",\"step\":%" PRId64, point->step);
		if (!isnan(point->epoch))
			output_add_value(&b, "epoch", point->epoch);
		for (size_t i = 0; i < point->count; i++)
			output_add_value(&b, point->values[i].name, point->values[i].value);
		buf_byte(&b, '}');
		spool_add(&r->points, 0, 0, buf_text(&b), b.len);
		runner_watch_point(r, point);
	}
	if (r->checkpoints)
		checkpoints_step(r->checkpoints, r->step, &r->marks);
}

/* ---- lines ---- */

static void output_line(void *arg, const struct output_line *line)
{
	struct runner *r = arg;
	struct metric_point point;
	if (!r->turn_ms) {
		r->turn_ms = clock_boot_ms();
		r->turn_wall_ms = clock_wall_ms();
	}
	int64_t now = r->turn_ms;
	stall_heard(&r->stall, now);
	if (r->spec.metrics.parse && !r->reports_metrics && metric_lines_parse(line->text, line->len, &point))
		output_take_point(r, &point);
	if (line->is_fleeting) {
		if (now - r->fleeting_at[line->is_stderr] < OUTPUT_FLEETING_MS)
			return;
		r->fleeting_at[line->is_stderr] = now;
	}
	spool_add(&r->log, line->is_stderr ? 'e' : 'o', r->turn_wall_ms, line->text, line->len);
}

static void output_turn(void *arg)
{
	struct runner *r = arg;
	r->turn_ms = 0;
	runner_flush(r);
}

static void output_closed(void *arg)
{
	runner_output_closed(arg);
}

/* ---- the result ---- */

static void output_result(struct runner *r, const char *text)
{
	CLEANUP(buf) struct buf taken;
	struct error err;
	buf_init(&taken, RESULT_MAX_BYTES);
	if (!result_take(text, strlen(text), &taken, &err)) {
		runner_say(r, "the result is not kept: %s", err.message);
		return;
	}
	free(r->result);
	r->result = buf_take(&taken);
}

/* The file has the last word: it is written at the end. */
void runner_take_result(struct runner *r)
{
	CLEANUP(buf) struct buf taken;
	CLEANUP(free_p) char *path = run_path(r->output_dir, RESULT_FILE);
	struct error err;
	buf_init(&taken, RESULT_MAX_BYTES);
	if (result_read(path, &taken, &err)) {
		free(r->result);
		r->result = buf_take(&taken);
	} else if (err.kind != ERR_NOT_FOUND) {
		runner_say(r, "the result in " RESULT_FILE " is not kept: %s", err.message);
	}
}

/* ---- the control fd ---- */

static void output_control(void *arg, const struct control_line *line)
{
	struct runner *r = arg;
	stall_heard(&r->stall, clock_boot_ms());
	switch (line->kind) {
	case CONTROL_METRIC:
		r->reports_metrics = true;
		output_take_point(r, &line->point);
		break;
	case CONTROL_CHECKPOINT:
		if (r->checkpoints)
			checkpoints_announce(r->checkpoints, line->path, line->step, line->optimizer, line->sha256);
		break;
	case CONTROL_PROGRESS:
		output_progress(r, line->step, line->total);
		break;
	case CONTROL_RESULT:
		output_result(r, line->result);
		break;
	case CONTROL_RESUMED:
		if (line->step >= 0)
			r->step = line->step;
		break;
	case CONTROL_CORRUPTED:
		runner_flag(r, line->reason ? line->reason : "the program said that it is corrupted", line->onset, -1);
		break;
	case CONTROL_DONE:
		r->said_done = true;
		break;
	case CONTROL_HEARTBEAT:
	case CONTROL_PREEMPTED:
		break;
	}
	runner_wake(r);
}

static void output_bad_control(void *arg, const struct error *err)
{
	struct runner *r = arg;
	if (r->bad_control++ < OUTPUT_BAD_CONTROL_MAX)
		runner_say(r, "a control line was ignored: %s", err->message);
}

bool runner_open_output(struct runner *r, int *out, int *err_fd, int *control_fd, struct error *err)
{
	struct output_options o = {
		.base = r->base, .on_line = output_line, .on_turn = output_turn, .on_closed = output_closed, .arg = r
	};
	r->output = output_new(&o, out, err_fd, err);
	r->control = r->output ? control_new(r->base, output_control, output_bad_control, r, control_fd, err) : NULL;
	return r->control != NULL;
}
