/* The end of an attempt: reported until Redis has answered, however long it is away; then the folder moves out of
 * runs/, which says to the worker that there is nothing left to clean up. */
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/state.h"
#include "worker/retry_rules.h"
#include "worker/runner_internal.h"

enum { REPORT_RETRY_MS = 500 };

/* What surely stands whole in Redis until the job is archived: half of what a job may have there, of the attempt that
 * ended it, since the oldest lines go first. */
enum { REPORT_LOG_BYTES = 4 * 1024 * 1024, REPORT_LOG_LINES = 10000, REPORT_POINTS = 50000 };

static void report_send(struct runner *r);
static void report_judge(struct runner *r);

/* Redis lets the oldest lines of a job go; what it will not have whole is owed to the store. */
static enum run_rest report_rest(const struct runner *r, bool is_final)
{
	bool is_kept = is_final && feed_is_complete(r->log_feed) && feed_is_complete(r->point_feed) &&
		       r->log.size <= REPORT_LOG_BYTES && r->log.next <= REPORT_LOG_LINES &&
		       r->points.next <= REPORT_POINTS;
	return is_kept || !run_folder_has_output(r->folder) ? RUN_FINISHED : RUN_OWED;
}

static void report_answered(void *arg, const char *state, size_t len, const struct error *err)
{
	struct runner *r = arg;
	r->is_reporting = false;
	if (err && err->kind == ERR_INPUT &&
	    r->result) { /* an older library, say: the end counts more than the result */
		log_failure(LOG_WARN, "the result of a run is not kept", err);
		free(r->result);
		r->result = NULL;
		report_judge(r);
		report_send(r);
		return;
	}
	bool is_stale = err && (err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND);
	if (is_stale && runner_took_stale(r, err)) {
		r->report_at = clock_boot_ms() + REPORT_RETRY_MS; /* or when that is answered */
		runner_wake(r);
		return;
	}
	if (err && !is_stale) {
		if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_UNKNOWN)
			log_failure(LOG_WARN, "the end of a run cannot be reported yet", err);
		r->report_at = clock_boot_ms() + REPORT_RETRY_MS;
		runner_wake(r);
		return;
	}
	if (err)
		log_failure(LOG_WARN, "the end of a run does not count", err);
	else
		log_info("end reported", "job=%s attempt=%lld cause=%s state=%.*s", r->record->id,
			 (long long)r->record->attempt, r->report_cause, (int)len, state);
	CLEANUP(free_p) char *now = mem_strndup(err ? "" : state, err ? 0 : len);
	bool is_gone = err && err->kind == ERR_NOT_FOUND;
	r->rest = is_gone ? RUN_FINISHED : report_rest(r, state_is_final(now));
	runner_step(r, ON_REPORTED);
}

/* Only over a connection that stands: a call without one is refused a little later, when there may be one, and then the
 * end would wait for its turn again. */
static void report_send(struct runner *r)
{
	if (!r->is_connected) {
		r->report_at = clock_boot_ms() + REPORT_RETRY_MS; /* or when it is there */
		runner_wake(r);
		return;
	}
	r->report_at = 0;
	r->is_reporting = true;
	jobs_finish(r->jobs, &r->record->ref, r->report_cause, r->report_detail, report_answered, r);
}

static void report_detail(struct runner *r, const struct outcome *outcome)
{
	char spent[SPENT_TEXT_MAX];
	json_auto_t *detail = json_object();
	if (outcome->exit_code >= 0)
		json_object_set_new(detail, "exit", json_integer(outcome->exit_code));
	if (outcome->signal)
		json_object_set_new(detail, "signal", json_integer(outcome->signal));
	if (outcome->error[0])
		json_object_set_new(detail, "error", json_string(outcome->error));
	if (r->onset >= 0)
		json_object_set_new(detail, "onset", json_integer(r->onset));
	if (r->good >= 0)
		json_object_set_new(detail, "good", json_integer(r->good));
	if (r->progress.total > 0 && r->step >= 0) { /* no renewal says the last step */
		json_object_set_new(detail, "step", json_integer(r->step));
		json_object_set_new(detail, "total", json_integer(r->progress.total));
	}
	if (runner_spent(r, spent, sizeof spent))
		json_object_set_new(detail, "spent", json_string(spent));
	CLEANUP(buf) struct buf trace;
	buf_init(&trace, 8192);
	runner_stall_trace(r, &trace);
	if (trace.len)
		json_object_set_new(detail, "trace", json_string(buf_text(&trace)));
	if (!feed_is_complete(r->log_feed) || !feed_is_complete(r->point_feed))
		json_object_set_new(detail, "cut", json_true());
	if (r->result)
		json_object_set_new(detail, "result", json_string(r->result));
	free(r->report_detail);
	r->report_detail = json_dumps(detail, JSON_COMPACT);
}

static void report_judge(struct runner *r)
{
	struct outcome outcome;
	CLEANUP(buf) struct buf tail;
	buf_init(&tail, RETRY_RULES_BYTES);
	struct outcome_input input = { .stop = r->stop,
				       .why = r->why,
				       .was_started = r->was_started,
				       .said_done = r->said_done,
				       .said_corrupted = r->said_corrupted,
				       .failure = r->failure,
				       .is_permanent = r->is_permanent,
				       .spec = r->has_spec ? &r->spec : NULL };
	runner_death(r, &input.death, &tail);
	outcome_of(&input, &outcome);
	int64_t ran_ms = r->was_started ? r->ended_at - r->started_at : 0;
	bool is_fault = r->full_tries >= RUNNER_FULL_TRIES || outcome.is_own_fault ||
			(!strcmp(outcome.cause, "error") && !r->was_started);
	r->report_end = breaker_judge(is_fault ? "error" : outcome.cause, ran_ms, r->task->settings->soon_ms);
	r->report_cause = outcome.cause;
	if (strcmp(outcome.cause, "succeeded") != 0) {
		free(r->result); /* half a result is none */
		r->result = NULL;
	}
	report_detail(r, &outcome);
}

void runner_report(struct runner *r)
{
	if (r->stop == STOP_STALE) {
		r->rest = report_rest(r, false);
		runner_step(r, ON_REPORTED);
		return;
	}
	report_judge(r);
	report_send(r);
}

int64_t runner_report_tick(struct runner *r, int64_t now)
{
	if (r->state != RUN_REPORTING || !r->report_at)
		return INT64_MAX;
	if (now >= r->report_at && !r->is_reporting && !runner_is_offered(r))
		report_send(r);
	return r->report_at ? r->report_at : INT64_MAX;
}

void runner_leave(struct runner *r)
{
	struct error err;
	CLEANUP(free_p) char *now_at = NULL;
	if (run_folder_retire(r->folder, r->rest, &now_at, &err))
		run_folder_trim(now_at); /* nothing else is left to do here, so it may take its time */
	else
		log_failure(LOG_ERROR, "the folder of an ended run stays", &err);
	event_base_loopbreak(r->base);
}
