#include "scheduler/attempts.h"

#include <string.h>
#include "lib/cleanup.h"
#include "lib/fields.h"

struct attempts_end {
	const char *event;
	const char *cause; /* NULL: the event says it */
};

static const struct attempts_end attempts_ends[] = {
	{ "job.retrying", NULL },         { "job.failed", NULL },           { "job.lost", NULL },
	{ "job.preempted", "preempted" }, { "job.cancelled", "cancelled" },
};

static json_t *attempts_get(json_t *attempts, int64_t number)
{
	size_t i;
	json_t *attempt;
	json_array_foreach(attempts, i, attempt) if (fields_int(attempt, "attempt", 0) == number) return attempt;
	attempt = json_pack("{s:I}", "attempt", (json_int_t)number);
	json_array_append_new(attempts, attempt);
	return attempt;
}

static void attempts_copy(json_t *attempt, const char *name, const json_t *from, const char *field)
{
	json_t *value = json_object_get(from, field);
	if (value)
		json_object_set(attempt, name, value);
}

static void attempts_begun(json_t *attempt, const json_t *from, const char *checkpoint, const char *step)
{
	const char *id = fields_text(from, checkpoint);
	bool is_cold = !*id || strcmp(id, "cold") == 0;
	json_object_set_new(attempt, "checkpoint", json_string(is_cold ? "none" : id));
	json_object_set_new(attempt, "step", json_integer(fields_int(from, step, 0)));
	attempts_copy(attempt, "worker", from, "worker");
}

static void attempts_ended(json_t *attempt, const json_t *event, const char *cause)
{
	json_object_set_new(attempt, "cause", json_string(cause));
	json_object_set_new(attempt, "ended_ms", json_integer(fields_int(event, "time_ms", 0)));
	attempts_copy(attempt, "worker", event, "worker");
	attempts_copy(attempt, "error", event, "error");
	attempts_copy(attempt, "reason", event, "reason");
}

static void attempts_read(json_t *attempts, const json_t *event)
{
	const char *name = fields_text(event, "event");
	int64_t number = fields_int(event, "attempt", 0);
	if (number <= 0)
		return;
	if (strcmp(name, "recovery.resumed") == 0)
		attempts_begun(attempts_get(attempts, number), event, "checkpoint", "step");
	if (strcmp(name, "recovery.detected") == 0)
		attempts_copy(attempts_get(attempts, number), "onset", event, "step");
	if (strcmp(name, "job.adopted") == 0) { /* it had not ended after all */
		json_t *attempt = attempts_get(attempts, number);
		json_object_del(attempt, "cause");
		json_object_del(attempt, "error");
		json_object_del(attempt, "reason");
		json_object_del(attempt, "ended_ms");
	}
	for (size_t i = 0; i < ARRAY_LEN(attempts_ends); i++) {
		const char *cause = attempts_ends[i].cause ? attempts_ends[i].cause : fields_text(event, "cause");
		if (strcmp(attempts_ends[i].event, name) == 0 && *cause)
			attempts_ended(attempts_get(attempts, number), event, cause);
	}
}

json_t *attempts_of(const json_t *show)
{
	const json_t *job = json_object_get(show, "job");
	json_t *attempts = json_array(), *event;
	json_auto_t *history = fields_json(show, "history");
	int64_t last = fields_int(job, "attempt", 0);
	size_t i;
	json_array_foreach(history, i, event)
	{
		json_auto_t *parsed =
			json_is_string(event) ? json_loads(json_string_value(event), 0, NULL) : json_incref(event);
		attempts_read(attempts, parsed);
	}
	if (last == 0)
		return attempts;
	json_t *attempt = attempts_get(attempts, last);
	if (!json_object_get(attempt, "cause")) {
		attempts_begun(attempt, job, "resume", "resumed_at");
		attempts_copy(attempt, "state", job, "state");
	}
	return attempts;
}
