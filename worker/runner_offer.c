/* Redis may lose what it acknowledged: a replica took over that did not have it yet. Then it calls the token of a
 * living attempt stale, or knows nothing of the job. So before an attempt is given up it is offered back, with
 * everything that its runner knows; and what was committed is told again whenever Redis comes back. */
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/runner_internal.h"

enum {
	OFFER_RETRY_MS = 300,
	OFFER_QUEUE_MS = 600000, /* an empty Redis is given its queues by a scheduler, or by somebody who was called */
};

void runner_keep(struct runner *r, const char *id, const char *summary)
{
	runner_keep_no_more(r, id);
	if (r->kept_count == RUNNER_KEPT_MAX)
		runner_keep_no_more(r, r->kept[0].id);
	r->kept[r->kept_count++] = (struct runner_kept){ .id = mem_strdup(id), .summary = mem_strdup(summary) };
}

void runner_keep_no_more(struct runner *r, const char *id)
{
	for (size_t i = 0; i < r->kept_count; i++) {
		if (strcmp(r->kept[i].id, id) != 0)
			continue;
		free(r->kept[i].id);
		free(r->kept[i].summary);
		memmove(&r->kept[i], &r->kept[i + 1], (--r->kept_count - i) * sizeof r->kept[0]);
		return;
	}
}

bool runner_is_offered(const struct runner *r)
{
	return r->is_offering || r->offer_at;
}

static void offer_give_up(struct runner *r, const struct error *err)
{
	r->is_refused = true;
	r->report_at = r->report_at ? 1 : 0; /* it will be told what the attempt was told */
	if (r->stop != STOP_STALE) {
		log_failure(LOG_WARN, "the job is not ours any more", err);
		runner_say(r, "this attempt does not count any more: %s", err->message);
	}
	runner_ask_stop(r, STOP_STALE, err->message);
	runner_wake(r);
}

static void offer_taken(struct runner *r, enum verdict verdict, const char *reason)
{
	r->is_taken_back = true;
	r->offer_until = 0;
	r->renew_at = 0;
	r->commit_at = r->commit_at ? 1 : 0;
	r->report_at = r->report_at ? 1 : 0;
	if (r->is_doubted)
		runner_say(r, "redis had forgotten this attempt: it was offered back, and goes on");
	feed_revive(r->log_feed);
	feed_revive(r->point_feed);
	runner_obey(r, verdict, reason);
	runner_check_shipped(r);
	runner_wake(r);
}

static void offer_answered(void *arg, enum verdict verdict, const char *reason, const struct error *err)
{
	struct runner *r = arg;
	int64_t now = clock_boot_ms();
	r->is_offering = false;
	if (r->state == RUN_OVER)
		return;
	if (err && err->kind == ERR_NOT_FOUND && !r->offer_until) {
		log_failure(LOG_WARN, "redis has forgotten the queue; the program goes on", err);
		r->offer_until = now + OFFER_QUEUE_MS;
	}
	bool is_over = err && (err->kind == ERR_STALE || err->kind == ERR_CONFLICT || err->kind == ERR_INPUT ||
			       (err->kind == ERR_NOT_FOUND && now >= r->offer_until));
	if (!err) {
		offer_taken(r, verdict, reason);
	} else if (err->kind == ERR_INPUT && !r->is_doubted) {
		log_failure(LOG_DEBUG, "checkpoints cannot be told again", err); /* an older library */
		runner_wake(r);
	} else if (is_over) {
		offer_give_up(r, err);
	} else {
		r->offer_at = now + OFFER_RETRY_MS;
		runner_wake(r);
	}
}

static void offer_send(struct runner *r)
{
	/* What it began with, and what it saved: of the latter the newest alone, should both be too many. */
	struct adoption_checkpoint known[RUNNER_KEPT_MAX];
	size_t count = 0;
	bool is_chosen = r->is_restored || r->resume_id; /* else it has not come to that yet */
	const char *resume = is_chosen ? r->resume_id : r->record->resume;
	const char *summary = is_chosen ? r->resume_summary : r->record->checkpoint;
	if (resume && summary)
		known[count++] = (struct adoption_checkpoint){ resume, summary };
	size_t first = r->kept_count + count > RUNNER_KEPT_MAX ? 1 : 0;
	for (size_t i = first; i < r->kept_count; i++)
		known[count++] = (struct adoption_checkpoint){ r->kept[i].id, r->kept[i].summary };
	const struct adoption adoption = { .worker = r->task->settings->worker,
					   .attempt = r->record->attempt,
					   .installation = r->record->installation,
					   .spec_json = r->record->spec_json,
					   .resume = resume,
					   .checkpoints = known,
					   .checkpoint_count = count };
	r->offer_at = 0;
	r->is_offering = true;
	jobs_adopt(r->jobs, &r->record->ref, &adoption, offer_answered, r);
}

bool runner_took_stale(struct runner *r, const struct error *err)
{
	if (r->is_refused || r->stop == STOP_STALE)
		return false;
	if (runner_is_offered(r)) {
		r->is_doubted = true;
		return true;
	}
	if (r->is_taken_back && r->is_doubted) { /* a moment ago, and somebody else was given it since */
		offer_give_up(r, err);
		return false;
	}
	r->is_doubted = true;
	offer_send(r);
	return true;
}

void runner_reconnected(struct runner *r)
{
	if (r->kept_count && !runner_is_offered(r) && !r->is_refused && r->stop != STOP_STALE)
		offer_send(r);
}

int64_t runner_offer_tick(struct runner *r, int64_t now)
{
	if (!r->offer_at || r->is_offering || r->stop == STOP_STALE || !r->is_connected)
		return INT64_MAX;
	if (now < r->offer_at)
		return r->offer_at;
	offer_send(r);
	return INT64_MAX;
}
