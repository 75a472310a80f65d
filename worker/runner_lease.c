/* The lease of a run: renewals, what they answer, and what happens when nobody answers. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "worker/runner_internal.h"

enum {
	LEASE_RETRY_MS = 300,
	LEASE_MARGIN_LEAST_MS = 200, /* to kill before the lease ends: the time that killing may take */
	LEASE_PATIENCE_LEAST_MS = 500,
	LEASE_PATIENCE_MOST_MS = 10000,
	LEASE_SPENT_LEAST_MS = 1000, /* less than that is not worth telling */
	LEASE_LISTEN_MS = 250,       /* hints are for runs that last: a shorter one makes no connection for them */
};

static int64_t lease_margin(const struct runner *r)
{
	int64_t tenth = r->record->lease_ms / 10;
	return tenth > LEASE_MARGIN_LEAST_MS ? tenth : LEASE_MARGIN_LEAST_MS;
}

static bool lease_binds(const struct runner *r)
{
	return r->has_spec && r->spec.on_partition == PARTITION_STOP;
}

bool runner_may_start(const struct runner *r)
{
	return !lease_binds(r) || clock_boot_ms() < r->lease_ends - lease_margin(r);
}

void runner_lease_note(struct runner *r)
{
	struct error err;
	bool runs = r->was_started && !r->is_reaped;
	if (lease_binds(r) && !run_lease_write(r->folder, runs ? r->lease_ends : 0, &err))
		log_failure(LOG_WARN, "the worker cannot watch over the lease", &err);
}

static enum stop_reason lease_stop_of(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_CANCEL:
		return STOP_CANCEL;
	case VERDICT_CORRUPTED:
		return STOP_CORRUPTED;
	case VERDICT_PREEMPT:
		return STOP_PREEMPT;
	case VERDICT_OK:
		break;
	}
	return STOP_NONE;
}

void runner_obey(struct runner *r, enum verdict verdict, const char *reason)
{
	if (verdict != VERDICT_OK)
		runner_ask_stop(r, lease_stop_of(verdict), reason);
}

static void lease_renewed(void *arg, enum verdict verdict, const char *reason, const struct error *err)
{
	struct runner *r = arg;
	r->is_renewing = false;
	if (err && (err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND)) {
		runner_took_stale(r, err);
		return;
	}
	if (err) { /* Redis is away: the program goes on, and nothing can be committed until it is back */
		r->renew_at = clock_boot_ms() + LEASE_RETRY_MS;
		r->has_said_resumed = r->has_said_resumed && err->kind != ERR_UNAVAILABLE;
		runner_wake(r);
		return;
	}
	r->is_away_said = false;
	r->is_taken_back = r->is_doubted = false;
	r->lease_ends = r->renew_sent + r->record->lease_ms;
	r->renew_at = r->renew_again ? 0 : r->renew_sent + r->record->lease_ms / 3;
	r->renew_again = false;
	runner_lease_note(r);
	runner_obey(r, verdict, reason);
	runner_wake(r);
}

bool runner_spent(const struct runner *r, char *text, size_t size)
{
	int64_t now = clock_boot_ms(), claimed = r->record->claimed_boot_ms;
	int64_t restore_ms = r->restored_at ? r->restored_at - r->restore_began : 0;
	int64_t setup_ms = (r->was_started ? r->started_at : now) - claimed - restore_ms;
	int64_t loading_ms = r->reported_at ? r->reported_at - r->started_at : 0;
	int64_t saving_ms = r->is_reaped ? now - r->ended_at : 0;
	str_format(text, size, "%" PRId64 ":%" PRId64 ":%" PRId64 ":%" PRId64, setup_ms > 0 ? setup_ms : 0, restore_ms,
		   loading_ms, saving_ms);
	return setup_ms + restore_ms + loading_ms + saving_ms >= LEASE_SPENT_LEAST_MS;
}

void runner_renew(struct runner *r)
{
	char spent[SPENT_TEXT_MAX];
	bool tells_resumed = r->state >= RUN_RUNNING && !r->has_said_resumed && r->was_started;
	struct renewal renewal = { .phase = runner_phase(r),
				   .step = r->step,
				   .total = r->progress.total,
				   .pace_ms = progress_pace(&r->progress) };
	if (r->is_renewing) {
		r->renew_again = true; /* the phase may have changed since it was sent */
		return;
	}
	if (tells_resumed)
		renewal.resumed = r->resume_id ? r->resume_id : "cold";
	if (runner_spent(r, spent, sizeof spent) && r->was_started)
		renewal.spent = spent;
	r->has_said_resumed = r->has_said_resumed || tells_resumed;
	r->is_renewing = true;
	r->renew_sent = clock_boot_ms();
	jobs_renew(r->jobs, &r->record->ref, &renewal, lease_renewed, r);
}

/* {"stop":42}: somebody asked something of our job: the renewal's answer says what. */
static void lease_on_hint(void *arg, const char *channel, const char *text, size_t len)
{
	struct runner *r = arg;
	(void)channel;
	json_auto_t *hint = json_loadb(text, len, 0, NULL);
	const json_t *n = json_object_get(hint, "stop");
	int64_t number = json_is_integer(n)  ? json_integer_value(n)
			 : json_is_string(n) ? strtoll(json_string_value(n), NULL, 10)
					     : -1;
	if (number == r->record->ref.n && r->state != RUN_OVER)
		runner_renew(r);
}

/* What was asked before we listened was not heard. */
static void lease_on_subscribed(void *arg, const char *channel)
{
	struct runner *r = arg;
	(void)channel;
	if (r->state < RUN_SHIPPING)
		runner_renew(r);
}

/* Hints that something was asked: a connection of their own. Without one the next renewal says it. */
static int64_t lease_listen(struct runner *r, int64_t now)
{
	char channel[160];
	struct error err;
	if (r->control_channel || r->state >= RUN_SHIPPING)
		return INT64_MAX;
	if (now < r->listen_at)
		return r->listen_at;
	r->control_channel = jobs_subscriber(r->base, r->task->settings->jobs, &err);
	if (!r->control_channel) {
		log_failure(LOG_WARN, "a runner hears no hints", &err);
		r->listen_at = INT64_MAX;
		return INT64_MAX;
	}
	redis_on_message(r->control_channel, lease_on_hint, r);
	redis_on_subscribed(r->control_channel, lease_on_subscribed, r);
	jobs_control_channel(r->jobs, r->record->ref.queue, channel, sizeof channel);
	redis_subscribe(r->control_channel, channel);
	return INT64_MAX;
}

int64_t runner_lease_tick(struct runner *r, int64_t now)
{
	if (r->state == RUN_OVER || r->stop == STOP_STALE)
		return INT64_MAX;
	int64_t next = lease_listen(r, now);
	if (!r->is_renewing && r->is_connected && !runner_is_offered(r)) {
		if (now >= r->renew_at)
			runner_renew(r);
		else if (r->renew_at < next)
			next = r->renew_at;
	}
	if (lease_binds(r) && r->was_started && !r->is_reaped) {
		int64_t kill_at = r->lease_ends - lease_margin(r);
		if (now >= kill_at)
			runner_ask_stop(r, STOP_PARTITION, NULL);
		else if (kill_at < next)
			next = kill_at;
	}
	return next;
}

/* ---- connections ---- */

static void lease_on_state(void *arg, bool connected, const struct error *err)
{
	struct runner *r = arg;
	if (connected == r->is_connected)
		return;
	r->is_connected = connected;
	if (!connected) {
		log_failure(r->is_away_said ? LOG_DEBUG : LOG_WARN, "redis is away; the program goes on", err);
		r->is_away_said = true;
		return;
	}
	r->renew_at = 0; /* everything that waited for Redis is due now */
	r->commit_at = r->commit_at ? 1 : 0;
	r->report_at = r->report_at ? 1 : 0;
	feed_open(r->log_feed);
	feed_open(r->point_feed);
	feed_retry(r->log_feed);
	feed_retry(r->point_feed);
	runner_code_tell(r);
	runner_reconnected(r);
	runner_wake(r);
}

/* How long Redis may be silent before the connection is given up: a dead one must be noticed, and another one
 * made, while the lease still holds. */
static int64_t lease_patience(const struct runner *r)
{
	int64_t third = r->record->lease_ms / 3;
	if (third < LEASE_PATIENCE_LEAST_MS)
		return LEASE_PATIENCE_LEAST_MS;
	return third < LEASE_PATIENCE_MOST_MS ? third : LEASE_PATIENCE_MOST_MS;
}

bool runner_connect(struct runner *r, struct error *err)
{
	struct jobs_options options = *r->task->settings->jobs;
	options.redis.deadline_ms = lease_patience(r);
	r->jobs = jobs_new(r->base, &options, err);
	if (!r->jobs)
		return false;
	r->listen_at = clock_boot_ms() + LEASE_LISTEN_MS;
	jobs_on_state(r->jobs, lease_on_state, r);
	struct feed_options log_options = { .base = r->base,
					    .spool = &r->log,
					    .max_backlog = RUNNER_BACKLOG_BYTES,
					    .max_records = 100000,
					    .jobs = r->jobs,
					    .ref = &r->record->ref,
					    .send = feed_send_log,
					    .on_drained = runner_drained,
					    .arg = r };
	struct feed_options point_options = log_options;
	point_options.spool = &r->points;
	point_options.max_backlog = 0;
	point_options.max_records = 100;
	point_options.send = feed_send_metrics;
	r->log_feed = feed_new(&log_options);
	r->point_feed = feed_new(&point_options);
	return true;
}
