#include "scheduler/goodput.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"

enum { GOODPUT_KNOWN_MS = 60000 }; /* of a queue's running time; less says nothing */

struct goodput { /* ms */
	int64_t setup, restore, loading, saving;
	int64_t training; /* all of it */
	int64_t trained;  /* what is kept of it */
};

struct goodput_field {
	const char *name;
	size_t offset;
};

#define GOODPUT(field)                                                                                                 \
	{                                                                                                              \
#field, offsetof(struct goodput, field)                                                                \
	}
static const struct goodput_field goodput_fields[] = { GOODPUT(setup),  GOODPUT(restore),  GOODPUT(loading),
						       GOODPUT(saving), GOODPUT(training), GOODPUT(trained) };

/* suffix: "_ms" in a job, "" in the sums of a queue. */
static struct goodput goodput_read(const json_t *from, const char *suffix)
{
	struct goodput g = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(goodput_fields); i++) {
		char name[32];
		str_format(name, sizeof name, "%s%s", goodput_fields[i].name, suffix);
		*(int64_t *)((char *)&g + goodput_fields[i].offset) = fields_int(from, name, 0);
	}
	return g;
}

static int64_t goodput_ran(const struct goodput *g)
{
	return g->setup + g->restore + g->loading + g->saving + g->training;
}

static json_t *goodput_json(const struct goodput *g)
{
	json_t *json = json_object();
	int64_t ran_ms = goodput_ran(g), lost_ms = g->training > g->trained ? g->training - g->trained : 0;
	json_object_set_new(json, "setup_ms", json_integer(g->setup + g->loading));
	json_object_set_new(json, "loading_ms", json_integer(g->loading));
	json_object_set_new(json, "restore_ms", json_integer(g->restore));
	json_object_set_new(json, "training_ms", json_integer(g->training - lost_ms));
	json_object_set_new(json, "saving_ms", json_integer(g->saving));
	json_object_set_new(json, "lost_ms", json_integer(lost_ms));
	if (ran_ms > 0)
		json_object_set_new(json, "productive",
				    json_real(round((double)(g->training - lost_ms) / (double)ran_ms * 1e4) / 1e4));
	return json;
}

/* The attempt that runs: "<setup>:<restore>:<loading>" as far as its runner has said it. */
static void goodput_add_running(struct goodput *g, const json_t *job, int64_t ran_ms)
{
	const char *text = fields_text(job, "spent");
	int64_t started_ms = fields_int(job, "started_ms", 0), claimed_ms = fields_int(job, "claimed_ms", 0);
	int64_t *parts[] = { &g->setup, &g->restore, &g->loading };
	int64_t setup_ms = started_ms > claimed_ms ? started_ms - claimed_ms : started_ms ? 0 : ran_ms;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char *end = NULL;
		int64_t ms = *text ? strtoll(text, &end, 10) : i == 0 ? setup_ms : 0;
		text = end && *end == ':' ? end + 1 : "";
		ms = ms < 0 ? 0 : ms > ran_ms ? ran_ms : ms;
		*parts[i] += ms;
		ran_ms -= ms;
	}
	g->training += ran_ms;
	g->trained += ran_ms; /* nothing of it is lost yet */
}

json_t *goodput_of_job(const json_t *show)
{
	const json_t *job = json_object_get(show, "job");
	int64_t now_ms = fields_int(show, "now_ms", 0), ran_ms = fields_int(job, "ran_ms", 0);
	int64_t end_ms = fields_int(job, "ended_ms", now_ms);
	struct goodput g = goodput_read(job, "_ms");
	if (goodput_ran(&g) < ran_ms) { /* it succeeded at once, with nothing to tell */
		int64_t plain_ms = ran_ms - goodput_ran(&g);
		g.training += plain_ms;
		g.trained += plain_ms;
	}
	if (fields_is(job, "state", "running")) {
		int64_t now_ran_ms = now_ms - fields_int(job, "claimed_ms", now_ms);
		ran_ms += now_ran_ms > 0 ? now_ran_ms : 0;
		goodput_add_running(&g, job, now_ran_ms > 0 ? now_ran_ms : 0);
	}
	int64_t queued_ms = end_ms - fields_int(job, "submitted_ms", end_ms) - ran_ms;
	json_t *json = goodput_json(&g);
	json_object_set_new(json, "queued_ms", json_integer(queued_ms > 0 ? queued_ms : 0));
	return json;
}

static struct goodput goodput_of_queue(const json_t *sums)
{
	struct goodput g = goodput_read(sums, "");
	int64_t plain_ms = fields_int(sums, "plain", 0);
	g.training += plain_ms;
	g.trained += plain_ms;
	return g;
}

json_t *goodput_of_sums(const json_t *sums)
{
	struct goodput g = goodput_of_queue(sums);
	json_t *json = goodput_json(&g);
	json_object_set_new(json, "ran_ms", json_integer(goodput_ran(&g)));
	json_object_set_new(json, "ends", json_integer(fields_int(sums, "ends", 0)));
	return json;
}

void goodput_add(json_t *all, const json_t *sums)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)sums, name, value)
		json_object_set_new(all, name, json_integer(fields_int(all, name, 0) + fields_int(sums, name, 0)));
}

json_t *goodput_interval(const json_t *show)
{
	const json_t *job = json_object_get(show, "job"), *sums = json_object_get(show, "goodput");
	json_auto_t *all = fields_json(show, "checkpoints");
	json_auto_t *newest = fields_json(all, fields_text(job, "checkpoint"));
	struct goodput g = goodput_of_queue(sums);
	int64_t save_ms = fields_int(newest, "save_ms", 0), ends = fields_int(sums, "ends", 0);
	int64_t ran_ms = goodput_ran(&g);
	if (save_ms <= 0 || ran_ms < GOODPUT_KNOWN_MS)
		return NULL;
	double mtbf_ms = (double)ran_ms / (double)(ends > 0 ? ends : 1);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "every_ms",
			 (json_int_t)llround(sqrt(2 * (double)save_ms * mtbf_ms)), "save_ms", (json_int_t)save_ms,
			 "mtbf_ms", (json_int_t)llround(mtbf_ms), "ends", (json_int_t)ends, "ran_ms",
			 (json_int_t)ran_ms);
}
