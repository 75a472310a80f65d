#include "scheduler/gc.h"

#include <string.h>

#include "lib/buf.h"
#include "lib/config.h"
#include "lib/fields.h"

enum { GC_TERM_MS = 7 * 86400 * 1000 }; /* the default of recovery.quarantine */

/* By its key: which way the store is written is no part of what it is, and a prefix names installation, job, uid, token
 * and sequence. */
static bool gc_names(const char *uri, const char *key)
{
	size_t len = strlen(uri), key_len = strlen(key);
	return len > key_len && uri[len - key_len - 1] == '/' && strcmp(uri + len - key_len, key) == 0;
}

static bool gc_is_lent(const json_t *lent, const char *key)
{
	size_t i;
	const json_t *one;
	json_array_foreach(lent, i, one)
	{
		if (json_is_string(one) && gc_names(json_string_value(one), key))
			return true;
	}
	return false;
}

static bool gc_is_final(const json_t *job)
{
	return fields_is(job, "state", "succeeded") || fields_is(job, "state", "failed") ||
	       fields_is(job, "state", "cancelled");
}

/* The record that names it: a new reference, and its id. */
static json_t *gc_record(const json_t *show, const char *key, char id[48])
{
	const json_t *all = json_object_get(show, "checkpoints");
	const char *name;
	json_t *ignored;
	json_object_foreach((json_t *)all, name, ignored)
	{
		json_t *record = fields_json(all, name);
		if (record && gc_names(fields_text(record, "uri"), key) && str_copy(id, 48, name))
			return record;
		json_decref(record);
	}
	return NULL;
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
static const char *gc_judge_record(const struct stored_unit *unit, const json_t *show, const char *key, int64_t now_ms,
				   char id[48])
{
	json_auto_t *record = gc_record(show, key, id);
	const char *state = fields_text(record, "state");
	if (!record)
		return unit->has_manifest ? "no record of its job names it" : "it has no manifest";
	if (strcmp(state, "deleting") == 0)
		return "it was to be deleted";
	bool is_aside = strcmp(state, "quarantined") == 0 || strcmp(state, "rejected") == 0;
	if (is_aside && now_ms - fields_int(record, "time_ms", now_ms) >= gc_term_ms(show))
		return "it was put aside, and its term is over";
	return NULL;
}

struct gc_verdict gc_judge(const struct stored_unit *unit, const struct gc_job *job, int64_t now_ms, int64_t older_ms)
{
	struct gc_verdict verdict = { .why = NULL };
	CLEANUP(free_p) char *key = mem_printf("%smanifest.json", unit->prefix);
	const json_t *record = json_object_get(job->show, "job");
	if (now_ms - unit->modified_ms < older_ms || gc_is_lent(job->lent, key))
		return verdict;
	if (!job->lent)
		verdict.doubt = "Redis does not have its queue";
	else if (!job->show && unit->n > job->newest)
		verdict.doubt = "Redis has not had its job: did it lose writes?";
	else if (!job->show)
		verdict.why = "its job was removed";
	else if (!fields_is(record, "uid", unit->uid))
		verdict.doubt = "Redis has another job of this number: did it lose writes?";
	else if (gc_is_final(record))
		verdict.why = gc_judge_record(unit, job->show, key, now_ms, verdict.id);
	return verdict;
}
