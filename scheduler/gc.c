#include "scheduler/gc.h"

#include <inttypes.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/config.h"
#include "lib/fields.h"

enum { GC_KEY_PARTS = 6 };
enum { GC_TERM_MS = 7 * 86400 * 1000 /* the default of recovery.quarantine */, GC_UPLOAD_MS = GC_TERM_MS };

/* The key in a URI, whichever way the store is written: "<installation>/checkpoints/<job>-<uid>/<token>/<seq>/
 * manifest.json" is its last six parts. */
static const char *gc_key(const char *uri)
{
	const char *at = uri + strlen(uri);
	for (int parts = 0; at > uri; at--)
		if (at[-1] == '/' && ++parts == GC_KEY_PARTS)
			return at;
	return at;
}

json_t *gc_lent(const json_t *uris)
{
	json_t *lent = uris ? json_object() : NULL;
	size_t i;
	const json_t *one;
	json_array_foreach(uris, i, one)
	{
		if (json_is_string(one))
			json_object_set_new(lent, gc_key(json_string_value(one)), json_true());
	}
	return lent;
}

/* Of another checkpoint of the same attempt. */
static void gc_lent_add_used(json_t *lent, const char *key, int64_t seq)
{
	const char *end = strrchr(key, '/');
	while (end > key && end[-1] != '/')
		end--;
	CLEANUP(free_p) char *other = mem_printf("%.*s%" PRId64 "/manifest.json", (int)(end - key), key, seq);
	json_object_set_new(lent, other, json_true());
}

void gc_lent_add(json_t *lent, const json_t *show)
{
	const json_t *all = json_object_get(show, "checkpoints"), *seq;
	const char *id;
	json_t *ignored;
	size_t i;
	json_object_foreach((json_t *)all, id, ignored)
	{
		json_auto_t *record = strncmp(id, "0-", 2) == 0 ? fields_json(all, id) : NULL;
		const char *key = gc_key(fields_text(record, "uri"));
		if (!strchr(key, '/'))
			continue;
		json_object_set_new(lent, key, json_true());
		json_array_foreach(json_object_get(record, "uses"), i, seq)
		{
			gc_lent_add_used(lent, key, json_integer_value(seq));
		}
	}
}

json_t *gc_records(const json_t *show)
{
	const json_t *all = json_object_get(show, "checkpoints");
	json_t *records = json_object();
	const char *id;
	json_t *ignored;
	json_object_foreach((json_t *)all, id, ignored)
	{
		json_t *record = fields_json(all, id);
		if (record)
			json_object_set_new(records, gc_key(fields_text(record, "uri")),
					    json_pack("{s:s, s:o}", "id", id, "record", record));
	}
	return records;
}

static bool gc_is_final(const json_t *job)
{
	return fields_is(job, "state", "succeeded") || fields_is(job, "state", "failed") ||
	       fields_is(job, "state", "cancelled");
}

static int64_t gc_term_ms(const json_t *show)
{
	const json_t *given = json_object_get(json_object_get(json_object_get(show, "spec"), "recovery"), "quarantine");
	int64_t ms = GC_TERM_MS;
	if (json_is_number(given))
		return (int64_t)(json_number_value(given) * 1000);
	if (json_is_string(given) && !config_parse_duration(json_string_value(given), &ms))
		return GC_TERM_MS;
	return ms;
}

/* Of a job that has ended: its records say what is needed. */
static const char *gc_judge_record(const struct stored_unit *unit, const struct gc_job *job, const char *key,
				   int64_t now_ms, char id[48])
{
	const json_t *known = json_object_get(job->records, key), *record = json_object_get(known, "record");
	const char *state = fields_text(record, "state");
	str_copy(id, 48, fields_text(known, "id"));
	if (!record)
		return unit->has_manifest ? "no record of its job names it" : "it has no manifest";
	if (strcmp(state, "deleting") == 0)
		return "it was to be deleted";
	bool is_aside = strcmp(state, "quarantined") == 0 || strcmp(state, "rejected") == 0;
	if (is_aside && now_ms - fields_int(record, "time_ms", now_ms) >= gc_term_ms(job->show))
		return "it was put aside, and its term is over";
	return NULL;
}

bool gc_is_dead(const struct stored_upload *upload, int64_t now_ms, int64_t older_ms)
{
	int64_t age_ms = now_ms - upload->begun_ms;
	return upload->begun_ms > 0 && age_ms >= GC_UPLOAD_MS && age_ms >= older_ms;
}

struct gc_verdict gc_judge(const struct stored_unit *unit, const struct gc_job *job, int64_t now_ms, int64_t older_ms)
{
	struct gc_verdict verdict = { .why = NULL };
	CLEANUP(free_p) char *key = mem_printf("%smanifest.json", unit->prefix);
	const json_t *record = json_object_get(job->show, "job");
	if (now_ms - unit->modified_ms < older_ms || json_object_get(job->lent, key))
		return verdict;
	if (!job->lent)
		verdict.doubt = "Redis does not have its queue";
	else if (!job->show && (unit->n > job->newest || unit->n <= job->lost))
		verdict.doubt = "Redis has not had its job: did it lose writes?";
	else if (!job->show)
		verdict.why = "its job was removed";
	else if (!fields_is(record, "uid", unit->uid))
		verdict.doubt = "Redis has another job of this number: did it lose writes?";
	else if (gc_is_final(record) &&
		 unit->kind != STORED_TRANSCRIPT) /* that belongs to the job as long as there is one */
		verdict.why = gc_judge_record(unit, job, key, now_ms, verdict.id);
	return verdict;
}
