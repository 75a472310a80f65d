#include <inttypes.h>
#include <string.h>
#include "lib/clock.h"
#include "lib/config.h"
#include "scheduler/explain.h"
#include "lib/fields.h"

enum { EXPLAIN_SEEN_MS = 15000 }; /* a worker says every 5 s that it is there */

struct explain_need {
	int64_t cpus;
	int64_t gpus;
	int64_t memory; /* bytes */
	const json_t *labels;
};

/* What the workers of the queue could do for one job. */
struct explain_crew {
	size_t total;    /* that are there and take jobs */
	size_t draining; /* that are there and take none */
	size_t fitting;  /* whose whole capacity would do */
	size_t ready;    /* that have it free now */
	size_t labelled; /* that carry the labels */
	struct explain_need most;
	size_t kept_off;       /* of those that fit: where the job is not to go */
	const char *drained;   /* why one of them drains; NULL: nobody said */
	const char *last_seen; /* the latest of those that are not there any more; NULL: none */
	int64_t last_seen_ms;
};

static struct explain_need explain_amounts(const json_t *amounts)
{
	return (struct explain_need){ .cpus = fields_int(amounts, "cpus", 0),
				      .gpus = fields_int(amounts, "gpus", 0),
				      .memory = fields_int(amounts, "memory", 0),
				      .labels = json_object_get(amounts, "labels") };
}

/* cpu4-gpu2-mem16384m-l1a2b3c4d: what the list knows of a job's requirement (the labels are a hash). */
static struct explain_need explain_class(const char *name)
{
	struct explain_need need = { 0 };
	while (*name) {
		if (strncmp(name, "cpu", 3) == 0)
			need.cpus = strtoll(name + 3, NULL, 10);
		else if (strncmp(name, "gpu", 3) == 0)
			need.gpus = strtoll(name + 3, NULL, 10);
		else if (strncmp(name, "mem", 3) == 0)
			need.memory = strtoll(name + 3, NULL, 10) * 1024 * 1024;
		name += strcspn(name, "-");
		name += *name == '-';
	}
	return need;
}

static bool explain_has_labels(const struct explain_need *has, const struct explain_need *need)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)need->labels, name,
			    value) if (!json_equal(json_object_get(has->labels, name), value)) return false;
	return true;
}

static bool explain_fits(const struct explain_need *has, const struct explain_need *need)
{
	return has->cpus >= need->cpus && has->gpus >= need->gpus && has->memory >= need->memory &&
	       explain_has_labels(has, need);
}

static void explain_count_worker(struct explain_crew *crew, const json_t *worker, const struct explain_need *need,
				 const char *not_on, int64_t now_ms)
{
	int64_t seen_ms = fields_int(worker, "seen_ms", now_ms);
	if (fields_is(worker, "state", "gone") || now_ms - seen_ms > EXPLAIN_SEEN_MS) {
		if (seen_ms > crew->last_seen_ms) {
			crew->last_seen = fields_text(worker, "id");
			crew->last_seen_ms = seen_ms;
		}
		return;
	}
	if (fields_is(worker, "state", "draining") || fields_is(worker, "drain", "1")) {
		const char *why = fields_text(worker, "why");
		crew->draining++;
		crew->drained = *why                                   ? why
				: *fields_text(worker, "drain_reason") ? fields_text(worker, "drain_reason")
								       : crew->drained;
		return;
	}
	json_auto_t *capacity = fields_json(worker, "capacity");
	json_auto_t *used = fields_json(worker, "used");
	struct explain_need has = explain_amounts(capacity), taken = explain_amounts(used);
	crew->total++;
	crew->most.cpus = has.cpus > crew->most.cpus ? has.cpus : crew->most.cpus;
	crew->most.gpus = has.gpus > crew->most.gpus ? has.gpus : crew->most.gpus;
	crew->most.memory = has.memory > crew->most.memory ? has.memory : crew->most.memory;
	crew->labelled += explain_has_labels(&has, need);
	crew->fitting += explain_fits(&has, need);
	if (fields_is(worker, "id", not_on)) {
		crew->kept_off += explain_fits(&has, need);
		return;
	}
	has.cpus -= taken.cpus;
	has.gpus -= taken.gpus;
	has.memory -= taken.memory;
	crew->ready += explain_fits(&has, need);
}

static void explain_size(struct buf *into, int64_t bytes)
{
	const int64_t mib = 1024 * 1024, gib = 1024 * mib;
	if (bytes >= gib)
		buf_printf(into, bytes % gib ? "%.1f GiB" : "%.0f GiB", (double)bytes / (double)gib);
	else
		buf_printf(into, "%" PRId64 " MiB", bytes / mib);
}

static void explain_units(struct buf *into, int64_t count, const char *unit)
{
	buf_printf(into, "%" PRId64 " %s%s", count, unit, count == 1 ? "" : "s");
}

/* Memory is counted in steps, and in a queue of many classes processors are, too: what was asked for in the spec is
 * less. */
static void explain_rounding(const json_t *show, const char *what, int64_t needed, struct buf *why)
{
	json_auto_t *spec = fields_json(show, "spec");
	const json_t *value = json_object_get(json_object_get(spec, "resources"), what);
	int64_t asked;
	if (json_is_string(value) && config_parse_size(json_string_value(value), &asked) && asked < needed)
		buf_printf(why, " (%s, rounded up)", json_string_value(value));
	else if (json_is_number(value) && json_number_value(value) < (double)needed)
		buf_printf(why, " (%.0f, rounded up)", json_number_value(value));
}

/* No worker could ever run it: which of its wishes is it? */
static void explain_misfit(const json_t *show, const struct explain_need *need, const struct explain_crew *crew,
			   struct buf *why)
{
	buf_str(why, "needs ");
	if (need->gpus > crew->most.gpus) {
		explain_units(why, need->gpus, "GPU");
		if (crew->most.gpus > 0)
			buf_printf(why, "; no worker has more than %" PRId64, crew->most.gpus);
		else
			buf_str(why, "; no worker has any");
	} else if (need->cpus > crew->most.cpus) {
		explain_units(why, need->cpus, "CPU");
		explain_rounding(show, "cpus", need->cpus, why);
		buf_printf(why, "; no worker has more than %" PRId64, crew->most.cpus);
	} else if (need->memory > crew->most.memory) {
		explain_size(why, need->memory);
		explain_rounding(show, "memory", need->memory, why);
		buf_str(why, " of memory; no worker has more than ");
		explain_size(why, crew->most.memory);
	} else if (crew->labelled == 0) {
		const char *name;
		json_t *value;
		const char *comma = "";
		buf_str(why, "a worker labelled ");
		json_object_foreach((json_t *)need->labels, name, value)
		{
			buf_printf(why, "%s%s=%s", comma, name,
				   json_string_value(value) ? json_string_value(value) : "");
			comma = ", ";
		}
		buf_str(why, "; there is none");
	} else {
		explain_units(why, need->cpus, "CPU");
		if (need->gpus > 0) {
			buf_str(why, ", ");
			explain_units(why, need->gpus, "GPU");
		}
		if (need->memory > 0) {
			buf_str(why, ", ");
			explain_size(why, need->memory);
		}
		buf_str(why, json_object_size(need->labels) ? " and its labels" : "");
		buf_str(why, "; no worker has all of it");
	}
}

/* Nobody of this queue takes jobs. */
static void explain_nobody(const json_t *show, const struct explain_crew *crew, int64_t now_ms, struct buf *why)
{
	const char *id = fields_text(show, "id");
	const char *hyphen = strrchr(id, '-');
	int queue_len = hyphen ? (int)(hyphen - id) : 0;
	if (crew->draining > 0) {
		buf_printf(why,
			   crew->draining == 1 ? "the only worker of queue %.*s is draining"
					       : "all workers of queue %.*s are draining",
			   queue_len, id);
		if (crew->drained)
			buf_printf(why, ": %s", crew->drained);
		return;
	}
	buf_printf(why, "no worker serves queue %.*s", queue_len, id);
	if (crew->last_seen) {
		char ago[32];
		clock_human(now_ms - crew->last_seen_ms, ago, sizeof ago);
		buf_printf(why, "; the last one, %s, was seen %s ago", crew->last_seen, ago);
	}
}

static void explain_line(int64_t ahead, const struct explain_crew *crew, struct buf *why)
{
	if (ahead > 0) {
		buf_str(why, "queued behind ");
		explain_units(why, ahead, "job");
	} else if (ahead == 0) {
		buf_str(why, crew->ready ? "about to start" : "next in line");
	}
	if (crew->ready) {
		buf_str(why, ahead < 0 ? "about to start" : "");
		return;
	}
	buf_str(why, ahead >= 0 ? "; " : "");
	const char *that_fit = crew->fitting < crew->total ? " that fit" : "";
	if (crew->fitting == 1)
		buf_printf(why, "the only worker%s is full", *that_fit ? " that fits" : "");
	else
		buf_printf(why, "all %zu workers%s are full", crew->fitting, that_fit);
}

static void explain_paused(const json_t *show, const json_t *paused, struct buf *why)
{
	const char *id = fields_text(show, "id"), *reason = fields_text(paused, "reason");
	const char *hyphen = strrchr(id, '-');
	buf_printf(why, "queue %.*s is paused", hyphen ? (int)(hyphen - id) : 0, id);
	explain_who(why, fields_text(paused, "by"), fields_int(paused, "since_ms", 0));
	if (*reason)
		buf_printf(why, ": %s", reason);
}

/* "cpu1:5:!not@w1": the worker that it is kept off; "": none. */
static const char *explain_not_on(const json_t *job)
{
	const char *at = strstr(fields_text(job, "lane"), ":!not@");
	return at ? at + strlen(":!not@") : "";
}

/* It waits for another worker than its last one (retry.elsewhere). */
static void explain_elsewhere(const json_t *show, const struct explain_crew *crew, const char *not_on, int64_t now_ms,
			      struct buf *why)
{
	int64_t until_ms = fields_int(show, "elsewhere_until_ms", 0);
	char left[32];
	buf_printf(why, "not on %s, where it ended badly", not_on);
	if (until_ms) { /* the list does not know */
		clock_human(until_ms > now_ms ? until_ms - now_ms : 0, left, sizeof left);
		buf_printf(why, ", for another %s", left);
	}
	size_t others = crew->fitting - crew->kept_off;
	if (others == 0)
		buf_str(why, "; no other worker fits");
	else if (!crew->ready)
		buf_printf(why, others == 1 ? "; the other worker is full" : "; all %zu others are full", others);
	else
		buf_str(why, "; about to start");
}

void explain_queued(const json_t *show, const json_t *workers, struct buf *why)
{
	const json_t *job = json_object_get(show, "job");
	const json_t *requirement = json_object_get(show, "requirement");
	const json_t *paused = json_object_get(show, "paused");
	int64_t now_ms = fields_int(show, "now_ms", 0);
	struct explain_need need =
		json_is_object(requirement) ? explain_amounts(requirement) : explain_class(fields_text(job, "class"));
	struct explain_crew crew = { 0 };
	size_t i;
	const json_t *worker;
	int64_t running = fields_int(show, "running", 0), max_running = fields_int(show, "max_running", 0);
	if (json_is_object(paused) && !fields_is(paused, "state", "draining")) {
		explain_paused(show, paused, why);
		return;
	}
	if (max_running > 0 && running >= max_running) {
		buf_printf(why, "the queue is at its limit: %" PRId64 " of %" PRId64 " jobs run (max_running)", running,
			   max_running);
		return;
	}
	if (!workers)
		return;
	const char *not_on = explain_not_on(job);
	json_array_foreach(workers, i, worker) explain_count_worker(&crew, worker, &need, not_on, now_ms);
	const char *reserved = fields_text(show, "reserved");
	if (*reserved)
		buf_printf(why, "%s takes no more small jobs, so that it fits there", reserved);
	else if (crew.total == 0)
		explain_nobody(show, &crew, now_ms, why);
	else if (crew.fitting == 0)
		explain_misfit(show, &need, &crew, why);
	else if (*not_on)
		explain_elsewhere(show, &crew, not_on, now_ms, why);
	else
		explain_line(fields_int(show, "ahead", -1), &crew, why);
}
