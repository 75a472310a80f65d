/* See the header. */
#include "cli/entry.h"

#include <stdlib.h>
#include <string.h>
#include "lib/fields.h"

bool entry_id_parse(const char *text, struct entry_id *id)
{
	char *end = NULL;
	id->attempt = strtoll(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	const char *rest = end + 1;
	id->number = strtoll(rest, &end, 10);
	return end != rest && *end == '\0';
}

bool entry_id_read(const json_t *entry, struct entry_id *id)
{
	return entry_id_parse(fields_text(entry, "id"), id);
}

bool entry_id_after(struct entry_id a, struct entry_id b)
{
	return a.attempt != b.attempt ? a.attempt > b.attempt : a.number > b.number;
}

bool entry_log(const json_t *entry, struct log_text *log)
{
	static const char *const streams[] = { "stdout", "stderr", "stoker", "gap" };
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		const char *text = json_string_value(json_object_get(entry, streams[i]));
		if (!text)
			continue;
		*log = (struct log_text){ streams[i], text, fields_int(entry, "lines", 1) };
		return true;
	}
	return false;
}

/* "attempt 2 <words> <checkpoint> at step 5 on <worker><after> by <actor>: <why>". */
struct event_row {
	const char *name;
	const char *words;
	const char *after;
	bool names_checkpoint;
	bool is_cold; /* from the beginning: step 0 says nothing */
};

static const struct event_row event_rows[] = {
	{ "job.submitted", "submitted", "", false, false },
	{ "job.queued", "queued", "", false, false },
	{ "job.claimed", "started", "", false, false },
	{ "job.succeeded", "succeeded", "", false, false },
	{ "job.failed", "failed", "", false, false },
	{ "job.cancelled", "cancelled", "", false, false },
	{ "job.lost", "lost", "", false, false },
	{ "job.stalled", "stalled", "", false, false },
	{ "job.preempted", "preempted", "", false, false },
	{ "job.adopted", "adopted", "", false, false },
	{ "job.unmet", "held", "", false, false },
	{ "job.cancel_asked", "asked to stop", "", false, false },
	{ "job.preempt_asked", "asked to make room", "", false, false },
	{ "job.held", "held", "", false, false },
	{ "job.released", "released", "", false, false },
	{ "job.updated", "updated", "", false, false },
	{ "job.removed", "removed", "", false, false },
	{ "checkpoint.committed", "saved checkpoint", "", true, false },
	{ "checkpoint.rejected", "rejected checkpoint", "", true, false },
	{ "checkpoint.quarantined", "quarantined checkpoint", "", true, false },
	{ "checkpoint.discarded", "discarded checkpoint", "", true, false },
	{ "recovery.detected", "corrupted", "", false, false },
	{ "recovery.started", "goes back to checkpoint", "", true, false },
	{ "recovery.checkpoint_selected", "goes on from checkpoint", "", true, false },
	{ "recovery.resumed", "resumed from checkpoint", "", true, false },
	{ "recovery.completed", "recovered", "", false, false },
	{ "recovery.failed", "recovery failed", "", false, false },
	{ "recovery.exhausted", "recovery given up", "", false, false },
	{ "batch.done", "batch done", "", false, false },
	{ "queue.created", "queue created", "", false, false },
	{ "queue.writes_lost", "redis lost writes", "", false, false },
	{ "queue.run_refused", "run refused", "", false, false },
	{ "queue.paused", "queue paused", "", false, false },
	{ "queue.draining", "queue draining", "", false, false },
	{ "queue.resumed", "queue resumed", "", false, false },
	{ "worker.up", "worker up", "", false, false },
	{ "worker.gone", "worker gone", "", false, false },
	{ "worker.drained", "worker draining", "", false, false },
	{ "worker.resumed", "worker resumed", "", false, false },
	{ "schedule.created", "created", "", false, false },
	{ "schedule.changed", "changed", "", false, false },
	{ "schedule.deleted", "deleted", "", false, false },
	{ "schedule.paused", "paused", "", false, false },
	{ "schedule.resumed", "resumed", "", false, false },
	{ "schedule.skipped", "left out", "", false, false },
	{ "schedule.missed", "missed while no scheduler ran", "", false, false },
	{ "schedule.refused", "cannot be followed", "", false, false },
	{ "retention.dropped", "finished jobs dropped", "", false, false },
};

/* What an event means besides its name. */
static struct event_row event_row(const json_t *event)
{
	static const struct event_row retried = { "job.retrying", "retried", "", false, false };
	static const struct event_row retrying = { "job.retrying", "ended", ", to be tried again", false, false };
	static const struct event_row cold = { "recovery.resumed", "started without a checkpoint", "", false, true };
	static const struct event_row none = { "recovery.checkpoint_selected", "starts from the beginning", "", false,
					       true };
	static const struct event_row restart = { "recovery.started", "goes back to the beginning", "", false, true };
	const char *name = fields_text(event, "event");
	const char *checkpoint = fields_text(event, "checkpoint");
	if (strcmp(name, retried.name) == 0)
		return *fields_text(event, "cause") ? retrying : retried;
	if (strcmp(checkpoint, "cold") == 0)
		return cold;
	if (strcmp(checkpoint, "none") == 0)
		return none;
	if (strcmp(name, restart.name) == 0 && !*checkpoint)
		return restart;
	for (size_t i = 0; i < ARRAY_LEN(event_rows); i++)
		if (strcmp(event_rows[i].name, name) == 0)
			return event_rows[i];
	return (struct event_row){ name, name, "", true, false }; /* of a newer scheduler */
}

static void event_part(const json_t *event, const char *field, const char *before, struct buf *into)
{
	const char *text = fields_text(event, field);
	int64_t number = fields_int(event, field, 0);
	if (*text)
		buf_printf(into, "%s%s", before, text);
	else if (number)
		buf_printf(into, "%s%lld", before, (long long)number);
}

/* "worker:<id>" says nothing that the worker does not. */
static bool event_names_actor(const json_t *event)
{
	return strncmp(fields_text(event, "actor"), "worker:", 7) != 0;
}

void entry_event(const json_t *event, struct buf *into)
{
	const struct event_row row = event_row(event);
	int64_t attempt = fields_int(event, "attempt", 0);
	bool is_next = strcmp(row.name, "job.queued") == 0; /* the attempt that was is told already */
	if (attempt > 0 && !is_next)
		buf_printf(into, "attempt %lld ", (long long)attempt);
	if (strncmp(row.name, "schedule.", 9) == 0)
		event_part(event, "schedule", "schedule ", into);
	buf_str(into, strncmp(row.name, "schedule.", 9) == 0 ? " " : "");
	buf_str(into, row.words);
	if (attempt > 0 && is_next)
		buf_printf(into, " for attempt %lld", (long long)attempt + 1);
	if (row.names_checkpoint)
		event_part(event, "checkpoint", " ", into);
	if (!row.is_cold)
		event_part(event, "step", " at step ", into);
	event_part(event, "batch", " ", into);
	event_part(event, "count", ", ", into);
	event_part(event, "worker", " on ", into);
	buf_str(into, row.after);
	if (event_names_actor(event))
		event_part(event, "actor", " by ", into);
	event_part(event, "error", ": ", into);
	if (!fields_is(event, "reason", "cancelled"))
		event_part(event, "reason", ": ", into);
}
