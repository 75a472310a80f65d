/* The checkpoint that a run starts from: fetched and verified; the next older one if it is damaged; and
 * never a cold start without a word. */
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/runner_internal.h"

enum { RESTORE_RETRY_MS = 2000, RESTORE_SAY_EACH = 30, RESTORE_CRASHES_MAX = 3 };

static void restore_forget(struct runner *r)
{
	free(r->resume_id);
	free(r->resume_summary);
	free(r->resume_path);
	r->resume_id = r->resume_summary = r->resume_path = NULL;
	r->resume_step = -1;
	r->restore_tries = r->restore_crashes = 0;
}

static void restore_is_done(struct runner *r)
{
	r->is_restored = true;
	r->restored_at = r->restore_began ? clock_boot_ms() : 0;
	runner_wake(r); /* the tick starts the program once the lease allows it */
}

static void restore_none_left(struct runner *r)
{
	struct error err;
	restore_forget(r);
	if (r->spec.recovery.no_checkpoint == NO_CHECKPOINT_FAIL) {
		error_set(&err, ERR_DAMAGED, NULL, "no checkpoint can be used, and recovery.no_checkpoint is fail");
		runner_refuse(r, true, &err);
		return;
	}
	runner_say(r, "no checkpoint can be used: starting from the beginning (recovery.no_checkpoint is restart)");
	restore_is_done(r);
}

static void restore_rejected(void *arg, const char *const *ids, size_t count, const struct error *err)
{
	struct runner *r = arg;
	r->is_rejecting = false;
	r->has_given_up_one |= !err && r->is_deadly;
	if (r->state != RUN_RESTORING)
		return;
	bool is_stale = err && (err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND);
	if (is_stale && !runner_took_stale(r, err))
		return;
	if (err) {
		r->restore_at = clock_boot_ms() + RESTORE_RETRY_MS; /* verifies it again, then rejects it again */
		runner_wake(r);
	} else if (count < 2) {
		restore_none_left(r);
	} else {
		restore_forget(r);
		r->resume_id = mem_strdup(ids[0]);
		r->resume_summary = mem_strdup(ids[1]);
		runner_restore(r);
	}
}

static void restore_finished(void *arg, bool ok, const char *resume, int64_t step, const struct error *err)
{
	struct runner *r = arg;
	struct error unwritten;
	r->restore = NULL;
	if (ok) {
		r->resume_path = mem_strdup(resume);
		r->resume_step = step;
		r->step = step;
		if (!run_resumed_write(r->folder, step, &unwritten))
			log_failure(LOG_WARN, "where a run went on from is not noted", &unwritten);
		runner_say(r, "resuming from checkpoint %s (step %lld)", r->resume_id, (long long)step);
		restore_is_done(r);
		return;
	}
	/* Whoever reads it crashes: that would go on for ever, and an older one may be fine. But if that is so with the
	 * next one, too, it is this machine that is sick, and not every checkpoint. */
	r->restore_crashes += err->kind == ERR_INTERNAL;
	bool is_deadly = r->restore_crashes >= RESTORE_CRASHES_MAX && !r->has_given_up_one;
	if (err->kind == ERR_DAMAGED || is_deadly) {
		runner_say(r, "checkpoint %s cannot be used: %s", r->resume_id, err->message);
		r->is_rejecting = true;
		r->is_deadly = is_deadly;
		jobs_reject(r->jobs, &r->record->ref, r->resume_id, err->message, restore_rejected, r);
		return;
	}
	if (runner_lacks_room(r, err))
		return;
	if (r->restore_tries++ % RESTORE_SAY_EACH == 0)
		runner_say(r, "checkpoint %s cannot be fetched yet: %s%s%s", r->resume_id, err->message,
			   err->hint[0] ? "; " : "", err->hint);
	r->restore_at = clock_boot_ms() + RESTORE_RETRY_MS;
	runner_wake(r);
}

void runner_restore(struct runner *r)
{
	struct error err = { 0 };
	struct checkpoints_options o;
	r->restore_at = 0;
	if (!r->resume_id && r->record->resume && !r->is_restored) {
		r->resume_id = mem_strdup(r->record->resume);
		r->resume_summary = mem_strdup(r->record->checkpoint);
	}
	if (!r->resume_id) {
		restore_is_done(r);
		return;
	}
	runner_checkpoint_options(r, &o);
	r->restore_began = r->restore_began ? r->restore_began : clock_boot_ms();
	r->restore = checkpoint_restore_start(&o, r->resume_id, r->resume_summary, restore_finished, r, &err);
	if (!r->restore)
		restore_finished(r, false, NULL, -1, &err);
}

void runner_restore_stop(struct runner *r)
{
	checkpoint_restore_cancel(STEAL(r->restore));
	r->restore_at = 0;
}

int64_t runner_restore_tick(struct runner *r, int64_t now)
{
	if (r->state != RUN_RESTORING)
		return INT64_MAX;
	if (r->is_restored) {
		if (runner_may_start(r))
			runner_step(r, ON_READY);
		return INT64_MAX; /* otherwise the next renewal wakes us */
	}
	if (r->restore_at && now >= r->restore_at)
		runner_restore(r);
	return r->restore_at ? r->restore_at : INT64_MAX;
}
