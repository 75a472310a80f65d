/* The end of an attempt: reported until Redis has answered, however long it is away; then the folder moves out of
 * runs/, which says to the worker that there is nothing left to clean up. */
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/runner_internal.h"

enum { REPORT_RETRY_MS = 500 };

static void report_send(struct runner *r);

static void report_answered(void *arg, const char *state, size_t len, const struct error *err)
{
	struct runner *r = arg;
	r->is_reporting = false;
	if (err && err->kind != ERR_STALE && err->kind != ERR_NOT_FOUND) {
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
	runner_step(r, ON_REPORTED);
}

static void report_send(struct runner *r)
{
	r->report_at = 0;
	r->is_reporting = true;
	jobs_finish(r->jobs, &r->record->ref, r->report_cause, r->report_detail, report_answered, r);
}

static void report_judge(struct runner *r)
{
	struct outcome outcome;
	struct outcome_input input = { .stop = r->stop,
				       .why = r->why,
				       .was_started = r->was_started,
				       .how = r->how,
				       .said_done = r->said_done,
				       .said_corrupted = r->said_corrupted,
				       .failure = r->failure,
				       .is_permanent = r->is_permanent };
	outcome_of(&input, &outcome);
	json_auto_t *detail = json_object();
	if (outcome.exit_code >= 0)
		json_object_set_new(detail, "exit", json_integer(outcome.exit_code));
	if (outcome.signal)
		json_object_set_new(detail, "signal", json_integer(outcome.signal));
	if (outcome.error[0])
		json_object_set_new(detail, "error", json_string(outcome.error));
	if (r->onset >= 0)
		json_object_set_new(detail, "onset", json_integer(r->onset));
	r->report_cause = outcome.cause;
	r->report_detail = json_dumps(detail, JSON_COMPACT);
}

void runner_report(struct runner *r)
{
	if (r->stop == STOP_STALE) {
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
	if (now >= r->report_at && !r->is_reporting)
		report_send(r);
	return r->report_at ? r->report_at : INT64_MAX;
}

void runner_leave(struct runner *r)
{
	struct error err;
	CLEANUP(free_p) char *now_at = NULL;
	if (run_folder_retire(r->folder, &now_at, &err))
		run_folder_trim(now_at); /* nothing else is left to do here, so it may take its time */
	else
		log_failure(LOG_ERROR, "the folder of an ended run stays", &err);
	event_base_loopbreak(r->base);
}
