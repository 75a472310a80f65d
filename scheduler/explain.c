#include "scheduler/explain.h"

#include <inttypes.h>
#include <string.h>
#include "lib/clock.h"
#include "lib/fields.h"

enum { EXPLAIN_MAX_ATTEMPTS = 3 }; /* retry.max_attempts, or that of recovery, of a spec that does not say */

static void explain_duration(struct buf *into, int64_t ms)
{
	char text[32];
	clock_human(ms < 0 ? 0 : ms, text, sizeof text);
	buf_str(into, text);
}

/* "exit 1", "killed by SIGKILL", or "": in the words of the runner's own sentences. */
static void explain_status(const json_t *job, char *into, size_t size)
{
	int64_t exit_code = fields_int(job, "exit", -1);
	int64_t signal = fields_int(job, "signal", 0);
	const char *name = signal > 0 && signal < 65 ? sigabbrev_np((int)signal) : NULL;
	into[0] = '\0';
	if (name)
		str_format(into, size, "killed by SIG%s", name);
	else if (signal > 0)
		str_format(into, size, "killed by signal %" PRId64, signal);
	else if (exit_code >= 0)
		str_format(into, size, "exit %" PRId64, exit_code);
}

void explain_end(const json_t *job, struct buf *into)
{
	char status[64], number[32];
	const char *error = fields_text(job, "error");
	str_format(number, sizeof number, "signal %" PRId64, fields_int(job, "signal", 0));
	explain_status(job, status, sizeof status);
	/* The error often has the same words; and how the program took it that it was stopped explains nothing. */
	bool was_stopped = fields_is(job, "cause", "timeout") || fields_is(job, "cause", "stalled");
	if (fields_is(job, "cause", "corrupted"))
		buf_printf(into, "corrupted: %s", *error ? error : "no reason was given");
	else if (*error && (was_stopped || strstr(error, status)))
		buf_str(into, error);
	else if (*error && strcmp(error, number) != 0 && !strstr(status, error))
		buf_printf(into, "%s: %s", status, error);
	else
		buf_str(into, *status ? status : "no cause was reported");
}

/* The step is that of the last report: part of the next one is done since, but never more than one. */
int64_t explain_left_ms(const json_t *job, int64_t now_ms)
{
	double pace;
	int64_t step = fields_int(job, "step", -1), total = fields_int(job, "total", 0);
	if (!fields_is(job, "state", "running") || step < 0 || total <= 0 || !fields_number(job, "pace", &pace))
		return -1;
	if (step >= total)
		return 0;
	double since = (double)(now_ms - fields_int(job, "renewed_ms", now_ms));
	double left = (double)(total - step) * pace - (since < 0 ? 0 : since < pace ? since : pace);
	return left < 9e15 ? (int64_t)left : -1;
}

void explain_add_left(json_t *job, int64_t now_ms)
{
	int64_t left_ms = explain_left_ms(job, now_ms);
	if (left_ms >= 0)
		json_object_set_new(job, "left_ms", json_integer(left_ms));
}

/* "2 of 3: ", the attempt that it waits for, or "recovery 1 of 3: ". */
static void explain_budget(const json_t *show, struct buf *why)
{
	const json_t *job = json_object_get(show, "job");
	bool is_corrupted = fields_is(job, "cause", "corrupted");
	int64_t used = fields_int(job, is_corrupted ? "corrupted" : "errors", 0);
	json_auto_t *spec = fields_json(show, "spec");
	if (used <= 0 || !spec)
		return;
	const json_t *section = json_object_get(spec, is_corrupted ? "recovery" : "retry");
	buf_printf(why, "%s%" PRId64 " of %" PRId64 ": ", is_corrupted ? "recovery " : "",
		   is_corrupted ? used : used + 1, fields_int(section, "max_attempts", EXPLAIN_MAX_ATTEMPTS));
}

/* "waits for a slot of user-7: 2 of 2 are taken (gpu-3, gpu-4)" */
static void explain_slot(const json_t *show, struct buf *why)
{
	const json_t *job = json_object_get(show, "job"), *holders = json_object_get(show, "holders");
	size_t i;
	json_t *id;
	buf_printf(why, "waits for a slot of %s, which has %" PRId64, fields_text(job, "slot"),
		   fields_int(job, "slot_max", 0));
	json_array_foreach(holders, i, id) buf_printf(why, "%s%s", i ? ", " : ": taken by ", json_string_value(id));
}

static void explain_held(const json_t *job, struct buf *why)
{
	const char *reason = fields_text(job, "held_reason");
	buf_str(why, "held");
	explain_who(why, fields_text(job, "held_by"), fields_int(job, "held_ms", 0));
	if (*reason)
		buf_printf(why, ": %s", reason);
}

/* Its schedule lets it wait for the job before it. */
static void explain_overlap(const json_t *show, const json_t *job, struct buf *why)
{
	const char *id = fields_text(show, "id");
	const char *hyphen = strrchr(id, '-');
	buf_printf(why, "waits for %.*s%" PRId64 " to end: the one before it of schedule %s",
		   hyphen ? (int)(hyphen - id + 1) : 0, id, fields_int(job, "behind", 0), fields_text(job, "schedule"));
}

static void explain_waiting(const json_t *show, const json_t *workers, struct buf *why)
{
	(void)workers;
	const json_t *job = json_object_get(show, "job");
	int64_t left = fields_int(job, "due_ms", 0) - fields_int(show, "now_ms", 0);
	const char *reason = fields_text(job, "reason");
	bool is_retry = strcmp(reason, "retry") == 0, is_limit = strcmp(reason, "limit") == 0;
	if (strcmp(reason, "held") == 0) {
		explain_held(job, why);
		return;
	}
	if (strcmp(reason, "overlap") == 0) {
		explain_overlap(show, job, why);
		return;
	}
	if (strcmp(reason, "recovery") == 0) {
		buf_str(why, "waits until another recovery of the queue is done (max_recovering): ");
		explain_budget(show, why);
		explain_end(job, why);
		return;
	}
	if (strcmp(reason, "dependency") == 0) {
		explain_parents(show, why);
		return;
	}
	if (is_limit && !fields_int(job, "due_ms", 0)) {
		explain_slot(show, why);
		return;
	}
	if (!is_retry && !is_limit && strcmp(reason, "delay") != 0) {
		buf_printf(why, "waits: %s", *reason ? reason : "for its time");
		return;
	}
	buf_str(why, is_retry ? "retries " : "starts ");
	if (left > 0) {
		buf_str(why, "in ");
		explain_duration(why, left);
	} else {
		buf_str(why, "now");
	}
	if (is_limit)
		buf_str(why, ", as its rate limit allows");
	if (!is_retry)
		return;
	buf_str(why, " (");
	explain_budget(show, why);
	explain_end(job, why);
	buf_str(why, ")");
}

/* The lease is over: the reaper is about to take it back. */
static bool explain_silence(const json_t *job, int64_t now_ms, struct buf *why)
{
	int64_t silent_ms = now_ms - fields_int(job, "renewed_ms", now_ms);
	if (silent_ms <= fields_int(job, "lease_ms", 10000))
		return false;
	buf_printf(why, "its runner on %s has not been heard of for ", fields_text(job, "worker"));
	explain_duration(why, silent_ms);
	return true;
}

static void explain_running(const json_t *show, const json_t *workers, struct buf *why)
{
	(void)workers;
	static const struct {
		const char *phase;
		const char *sentence;
	} phases[] = {
		{ "restoring", "restoring its checkpoint" },
		{ "stopping", "stopping its program" },
		{ "shipping", "saving its last checkpoint" },
	};
	const json_t *job = json_object_get(show, "job");
	const char *stop = fields_text(job, "stop");
	const char *reason = fields_text(job, "stop_reason");
	if (explain_silence(job, fields_int(show, "now_ms", 0), why))
		return;
	if (*stop) {
		bool says_more = *reason && strcmp(reason, "cancelled") != 0; /* the word of who gave no reason */
		buf_printf(why, "asked to stop: %s%s%s", stop, says_more ? ": " : "", says_more ? reason : "");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(phases); i++)
		if (fields_is(job, "phase", phases[i].phase))
			buf_str(why, phases[i].sentence);
}

static void explain_failed(const json_t *show, const json_t *workers, struct buf *why)
{
	(void)workers;
	const json_t *job = json_object_get(show, "job");
	int64_t attempt = fields_int(job, "attempt", 0);
	int64_t started = fields_int(job, "started_ms", fields_int(job, "claimed_ms", 0));
	int64_t ended = fields_int(job, "ended_ms", 0);
	if (attempt > 0)
		buf_printf(why, "attempt %" PRId64 " failed", attempt);
	else
		buf_str(why, "never started");
	if (attempt > 0 && started > 0 && ended >= started) {
		buf_str(why, " after ");
		explain_duration(why, ended - started);
	}
	buf_str(why, ": ");
	explain_end(job, why);
}

static void explain_cancelled(const json_t *show, const json_t *workers, struct buf *why)
{
	(void)workers;
	const json_t *job = json_object_get(show, "job");
	const char *reason = fields_text(job, "stop_reason");
	if (!*reason)
		reason = fields_text(job, "error");
	buf_str(why, fields_int(job, "attempt", 0) > 0 ? "stopped on request" : "cancelled before it began");
	if (*reason && strcmp(reason, "cancelled") != 0)
		buf_printf(why, ": %s", reason);
}

void explain_who(struct buf *into, const char *who, int64_t since_ms)
{
	char since[32];
	if (*who)
		buf_printf(into, " by %s", who);
	clock_rfc3339(since_ms, since, sizeof since);
	if (since_ms > 0) /* 2026-11-22T09:15:00.000Z */
		buf_printf(into, " since %.10s %.5s UTC", since, since + 11);
}

void explain_job(const json_t *show, const json_t *workers, struct buf *why)
{
	static const struct {
		const char *state;
		void (*explain)(const json_t *show, const json_t *workers, struct buf *why);
	} states[] = {
		{ "waiting", explain_waiting }, { "queued", explain_queued },       { "running", explain_running },
		{ "failed", explain_failed },   { "cancelled", explain_cancelled },
	};
	const json_t *job = json_object_get(show, "job");
	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (fields_is(job, "state", states[i].state))
			states[i].explain(show, workers, why);
}
