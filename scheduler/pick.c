#include "scheduler/pick.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/saved.h"

bool pick_is_word(const char *word, struct error *err)
{
	int64_t attempt, seq;
	size_t digits = strspn(word, "0123456789");
	if (strcmp(word, "latest") == 0 || strcmp(word, "best") == 0 || (digits > 0 && digits < 16 && !word[digits]) ||
	    saved_split_id(word, &attempt, &seq))
		return true;
	return error_set(err, ERR_INPUT, NULL,
			 "a checkpoint is latest, best, a step, or an id like 2-1, and not \"%.60s\"", word);
}

struct pick {
	const char *word;
	const char *metric; /* of best */
	bool is_max;
	int64_t attempt, seq; /* of the one found */
	double value;         /* of best */
	json_t *summary;      /* NULL: none yet */
};

static void pick_rule(struct pick *pick, const json_t *spec)
{
	const json_t *recovery = json_object_get(spec, "recovery");
	const json_t *keep = json_object_get(json_object_get(spec, "checkpoint"), "keep_best");
	bool is_recovery = *fields_text(recovery, "best_metric") || !keep;
	if (fields_is(recovery, "checkpoint", "best_loss")) {
		pick->metric = "loss";
		return;
	}
	const char *metric = fields_text(is_recovery ? recovery : keep, is_recovery ? "best_metric" : "metric");
	const char *mode = fields_text(recovery, "best_mode");
	if (!*mode && !is_recovery)
		mode = fields_text(keep, "mode");
	pick->metric = *metric ? metric : "loss";
	pick->is_max = strcmp(mode, "max") == 0;
}

static bool pick_metric(const struct pick *pick, const json_t *summary, double *value)
{
	return fields_number(json_object_get(summary, "metrics"), pick->metric, value) ||
	       (strcmp(pick->metric, "loss") == 0 && fields_number(summary, "loss", value));
}

static bool pick_is_newer(const struct pick *pick, int64_t attempt, int64_t seq)
{
	return attempt != pick->attempt ? attempt > pick->attempt : seq > pick->seq;
}

/* Is this one meant, rather than what was found before? */
static bool pick_prefers(struct pick *pick, const char *id, const json_t *summary, int64_t attempt, int64_t seq)
{
	char step[24];
	if (strcmp(id, pick->word) == 0)
		return true;
	if (!fields_is(summary, "state", "committed"))
		return false;
	bool is_newer = !pick->summary || pick_is_newer(pick, attempt, seq);
	if (strcmp(pick->word, "latest") == 0)
		return is_newer;
	if (strcmp(pick->word, "best") == 0) {
		double value;
		if (!pick_metric(pick, summary, &value) || !isfinite(value))
			return false;
		value = pick->is_max ? -value : value;
		if (pick->summary && (value > pick->value || (!(value < pick->value) && !is_newer)))
			return false;
		pick->value = value;
		return true;
	}
	str_format(step, sizeof step, "%lld", (long long)fields_int(summary, "step", -1));
	return strcmp(step, pick->word) == 0 && is_newer;
}

json_t *pick_checkpoint(const json_t *show, const char *word, struct error *err)
{
	struct pick pick = { .word = word, .attempt = -1 };
	const json_t *all = json_object_get(show, "checkpoints");
	const char *id;
	json_t *ignored;
	pick_rule(&pick, json_object_get(show, "spec"));
	json_object_foreach((json_t *)all, id, ignored)
	{
		json_auto_t *summary = fields_json(all, id);
		int64_t attempt, seq;
		if (!summary || !saved_split_id(id, &attempt, &seq) || !pick_prefers(&pick, id, summary, attempt, seq))
			continue;
		json_decref(pick.summary);
		pick.summary = json_incref(summary);
		pick.attempt = attempt;
		pick.seq = seq;
		json_object_set_new(summary, "id", json_string(id));
	}
	if (!pick.summary)
		error_set(err, ERR_NOT_FOUND, "stoker checkpoints lists what there is", "job %s has no checkpoint %s",
			  fields_text(show, "id"), word);
	return pick.summary;
}

char *pick_uri(const json_t *summary, int64_t object, struct error *err)
{
	static const char name[] = "/manifest.json";
	const char *uri = fields_text(summary, "uri");
	size_t i, len = strlen(uri);
	const json_t *seq;
	if (!object)
		return mem_strdup(uri);
	json_array_foreach(json_object_get(summary, "uses"), i, seq)
	{
		if (json_integer_value(seq) != object || len < sizeof name)
			continue;
		size_t folder = len - (sizeof name - 1);
		while (folder > 0 && uri[folder - 1] != '/')
			folder--;
		return mem_printf("%.*s%lld%s", (int)folder, uri, (long long)object, name);
	}
	error_set(err, ERR_NOT_FOUND, NULL, "the checkpoint uses no object %lld", (long long)object);
	return NULL;
}

char *pick_key(const char *store, const char *uri, struct error *err)
{
	size_t len = strlen(store);
	while (len > 0 && store[len - 1] == '/')
		len--;
	CLEANUP(free_p) char *url = mem_strndup(store, len);
	return saved_key_of_uri(url, uri, err);
}
