/* Checkpoints on their way out: offered to Redis when they are in the store, and deleted from it when Redis says so.
 * At the end of a run everything that is pending is waited for: commits, log, metrics. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/runner_internal.h"

enum { SHIP_RETRY_MS = 500, SHIP_REFUSALS_MAX = 6, SHIP_SAY_MS = 100 };

static void ship_forget(struct runner *r)
{
	free(r->commit_id);
	free(r->commit_summary);
	r->commit_id = r->commit_summary = NULL;
}

/* It stays in the store; only Redis can make it exist. */
static void ship_again(struct runner *r)
{
	r->commit_at = clock_boot_ms() + SHIP_RETRY_MS;
	runner_wake(r);
}

static void ship_committed(void *arg, const char *const *ids, size_t count, const struct error *err)
{
	struct runner *r = arg;
	r->is_committing = false;
	if (!r->commit_id)
		return;
	if (err && (err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND)) {
		if (!runner_took_stale(r, err))
			return;
		ship_again(r);
		return;
	}
	if (err && err->kind != ERR_INPUT && err->kind != ERR_CONFLICT) {
		ship_again(r);
		return;
	}
	CLEANUP(free_p) char *id = STEAL(r->commit_id);
	if (!err)
		runner_keep(r, id, r->commit_summary);
	ship_forget(r);
	stall_heard(&r->stall, clock_boot_ms());
	if (err) {
		runner_say(r, "checkpoint %s was refused: %s", id, err->message);
		checkpoints_refused(r->checkpoints, id, err->kind == ERR_CONFLICT);
	} else {
		runner_say(r, "checkpoint %s committed", id);
		checkpoints_committed(r->checkpoints, id);
		for (size_t i = 0; i < count; i++) {
			runner_keep_no_more(r, ids[i]);
			checkpoints_delete(r->checkpoints, ids[i], NULL);
		}
	}
	runner_check_shipped(r);
}

/* What was saved while a suspicion was open may be bad, and its commit may delete what is good. It waits for the end of
 * the doubt; a program that ended well is taken at its word. */
static bool ship_is_doubtful(const struct runner *r)
{
	bool ended_well = r->is_reaped && r->stop == STOP_NONE && r->how.is_known && !r->how.signal && !r->how.code;
	return r->detect.verdict == DETECT_DOUBT && !ended_well;
}

/* Only over a connection that stands, see report_send. */
static void ship_commit(struct runner *r)
{
	r->is_held = ship_is_doubtful(r);
	if (r->is_held)
		return;
	if (!r->is_connected) {
		r->commit_at = clock_boot_ms() + SHIP_RETRY_MS;
		runner_wake(r);
		return;
	}
	r->commit_at = 0;
	r->is_committing = true;
	jobs_checkpoint(r->jobs, &r->record->ref, r->commit_id, r->commit_summary, ship_committed, r);
}

/* What a run writes that is flagged as corrupted is not wanted; nor may one commit that is not ours any more. */
static bool ship_is_wanted(const struct runner *r)
{
	return r->checkpoints && r->was_started && r->stop != STOP_STALE && r->stop != STOP_CORRUPTED &&
	       !r->said_corrupted;
}

static void ship_shipped(void *arg, const char *id, const char *summary_json)
{
	struct runner *r = arg;
	if (!ship_is_wanted(r)) {
		checkpoints_refused(r->checkpoints, id, false);
		return;
	}
	ship_forget(r);
	r->commit_id = mem_strdup(id);
	r->commit_summary = mem_strdup(summary_json);
	ship_commit(r);
}

static void ship_problem(void *arg, const char *what, const struct error *err)
{
	struct runner *r = arg;
	runner_say(r, "checkpoint %s: %s%s%s", what, err->message, err->hint[0] ? "; " : "", err->hint);
}

static void ship_idle(void *arg)
{
	struct runner *r = arg;
	r->is_idle = true;
	runner_check_shipped(r);
}

static void ship_dropped(void *arg, const char *text, size_t len, const struct error *err)
{
	struct runner *r = arg;
	(void)text;
	(void)len;
	r->dropping--;
	if (err) /* the next commit answers it again, and it is dropped then */
		log_failure(LOG_DEBUG, "a deleted checkpoint could not be dropped", err);
	runner_check_shipped(r);
}

static void ship_deleted(void *arg, const char *id)
{
	struct runner *r = arg;
	r->dropping++;
	jobs_drop(r->jobs, &r->record->ref, &id, 1, ship_dropped, r);
}

void runner_checkpoint_options(struct runner *r, struct checkpoints_options *o)
{
	*o = (struct checkpoints_options){ .base = r->base,
					   .spec = &r->spec,
					   .store = r->task->settings->store,
					   .cache = r->task->settings->checkpoint_cache,
					   .installation = r->record->installation,
					   .job = r->record->id,
					   .uid = r->record->ref.uid,
					   .token = r->record->ref.token,
					   .attempt = r->record->attempt,
					   .work_dir = r->work_dir,
					   .checkpoint_dir = r->checkpoint_dir,
					   .run_dir = r->folder,
					   .on_shipped = ship_shipped,
					   .on_problem = ship_problem,
					   .on_idle = ship_idle,
					   .on_deleted = ship_deleted,
					   .arg = r };
}

bool runner_open_checkpoints(struct runner *r, struct error *err)
{
	struct checkpoints_options o;
	runner_checkpoint_options(r, &o);
	r->checkpoints = checkpoints_new(&o, err);
	return r->checkpoints != NULL;
}

void runner_release_commit(struct runner *r)
{
	if (r->is_held)
		ship_commit(r);
}

void runner_ship_last(struct runner *r)
{
	bool is_doubtful = ship_is_doubtful(r);
	runner_code_stop(r);
	runner_restore_stop(r);
	if (is_doubtful && ship_is_wanted(r))
		runner_say(r, "what it saved since step %" PRId64 " is not kept: %s was suspicious to the end",
			   detect_onset(&r->detect), r->spec.metrics.watch);
	if (ship_is_wanted(r) && !is_doubtful) {
		runner_release_commit(r);
		checkpoints_flush(r->checkpoints);
	} else {
		ship_forget(r);
		checkpoints_free(r->checkpoints);
		r->checkpoints = NULL;
		r->is_idle = true;
	}
	runner_flush(r);
	feed_drain(r->log_feed);
	feed_drain(r->point_feed);
	if (r->renew_at > clock_boot_ms() + SHIP_SAY_MS)
		r->renew_at = clock_boot_ms() + SHIP_SAY_MS; /* the phase, unless it is over by then */
	runner_check_shipped(r);
}

/* A Redis that answers but takes no more log (it is full) must not keep the end of a run from being reported:
 * that is what makes room. The spool has the rest. */
static bool ship_is_told(const struct runner *r, const struct feed *feed)
{
	return feed_is_drained(feed) || (r->is_connected && feed_refusals(feed) >= SHIP_REFUSALS_MAX);
}

void runner_check_shipped(struct runner *r)
{
	if (r->state == RUN_SHIPPING)
		runner_flush(r); /* what was said this very moment is not told yet */
	if (r->state != RUN_SHIPPING || (runner_is_offered(r) && r->stop != STOP_STALE))
		return;
	bool shipped = r->is_idle && !r->commit_id && !r->dropping;
	if (r->stop == STOP_STALE || (shipped && ship_is_told(r, r->log_feed) && ship_is_told(r, r->point_feed)))
		runner_step(r, ON_SHIPPED);
}

int64_t runner_ship_tick(struct runner *r, int64_t now)
{
	runner_check_shipped(r);
	if (r->commit_at && now >= r->commit_at && r->commit_id && !r->is_committing)
		ship_commit(r);
	if (r->state == RUN_SHIPPING && !r->commit_at && r->is_idle)
		return now + SHIP_RETRY_MS; /* what Redis refuses is counted, not announced */
	return r->commit_at ? r->commit_at : INT64_MAX;
}
