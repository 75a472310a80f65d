/* See the header. */
#include "cli/entry.h"

#include <stdlib.h>
#include <string.h>
#include "lib/fields.h"

bool entry_id_read(const json_t *entry, struct entry_id *id)
{
	const char *text = fields_text(entry, "id");
	char *end = NULL;
	id->attempt = strtoll(text, &end, 10);
	if (end == text || *end != '-')
		return false;
	const char *rest = end + 1;
	id->number = strtoll(rest, &end, 10);
	return end != rest && *end == '\0';
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

/* Names that read badly as they are; the rest loses its "job." */
struct event_words {
	const char *name;
	const char *words;
};
static const struct event_words event_words[] = {
	{ "job.claimed", "started" },
	{ "job.cancel_asked", "cancel asked for" },
	{ "checkpoint.committed", "checkpoint saved" },
	{ "checkpoint.rejected", "checkpoint does not verify" },
	{ "checkpoint.quarantined", "checkpoint quarantined" },
	{ "recovery.detected", "corruption detected" },
	{ "recovery.started", "recovery started" },
	{ "recovery.checkpoint_selected", "recovery selects checkpoint" },
	{ "recovery.resumed", "resumed from checkpoint" },
	{ "recovery.completed", "recovery completed" },
	{ "recovery.failed", "recovery failed" },
	{ "recovery.exhausted", "recovery given up" },
};

static const char *event_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(event_words); i++)
		if (strcmp(event_words[i].name, name) == 0)
			return event_words[i].words;
	return strncmp(name, "job.", 4) == 0 ? name + 4 : name;
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

void entry_event(const json_t *event, struct buf *into)
{
	if (fields_int(event, "attempt", 0) > 0)
		buf_printf(into, "attempt %lld ", (long long)fields_int(event, "attempt", 0));
	const char *name = fields_text(event, "event");
	if (fields_is(event, "checkpoint", "cold")) {
		buf_str(into, "started without a checkpoint");
	} else {
		buf_str(into, event_name(name));
		event_part(event, "checkpoint", " ", into);
		event_part(event, "step", " at step ", into);
	}
	event_part(event, "worker", " on ", into);
	/* "worker:<id>" says nothing new */
	if (strncmp(fields_text(event, "actor"), "worker:", 7) != 0)
		event_part(event, "actor", " by ", into);
	event_part(event, "error", ": ", into);
	event_part(event, "reason", ": ", into);
}
