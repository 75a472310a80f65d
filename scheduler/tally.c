#include "scheduler/tally.h"

#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"

enum {
	TALLY_PAGE = 1000,
	TALLY_KNOWN_MAX = 100000 /* jobs whose beginning is remembered; of those beyond no time is measured */
};

struct tally {
	struct jobs *jobs;
	struct tally_queue *queues;
};

struct tally_call {
	struct tally *tally;
	struct tally_queue *q;
	jobs_text_fn *fn;
	void *arg;
};

struct tally *tally_new(struct jobs *jobs)
{
	struct tally *tally = mem_alloc(sizeof *tally);
	tally->jobs = jobs;
	return tally;
}

void tally_free(struct tally *tally)
{
	if (!tally)
		return;
	for (struct tally_queue *q = tally->queues, *next; q; q = next) {
		next = q->next;
		json_decref(q->events);
		json_decref(q->waiting_ms);
		json_decref(q->began_ms);
		free(q);
	}
	free(tally);
}

const struct tally_queue *tally_all(const struct tally *tally)
{
	return tally->queues;
}

static struct tally_queue *tally_queue(struct tally *tally, const char *name)
{
	struct tally_queue *q = tally->queues;
	while (q && strcmp(q->name, name) != 0)
		q = q->next;
	if (q)
		return q;
	q = mem_alloc(sizeof *q);
	str_copy(q->name, sizeof q->name, name);
	q->events = json_object();
	q->waiting_ms = json_object();
	q->began_ms = json_object();
	q->wait = (struct histogram){ .first = 0.01, .step = 4 }; /* to 12 h */
	q->run = (struct histogram){ .first = 0.1, .step = 4 };   /* to 5 days */
	q->next = tally->queues;
	return tally->queues = q;
}

/* ---- one entry ---- */

static void tally_begin(json_t *since, const char *job, int64_t now_ms)
{
	if (json_object_size(since) < TALLY_KNOWN_MAX)
		json_object_set_new(since, job, json_integer(now_ms));
}

static void tally_end(json_t *since, const char *job, int64_t now_ms, struct histogram *into)
{
	const json_t *began = json_object_get(since, job);
	if (began && into)
		histogram_add(into, (double)(now_ms - json_integer_value(began)) / 1000);
	json_object_del(since, job);
}

static void tally_job(struct tally_queue *q, const char *event, const char *state, const char *job, int64_t now_ms)
{
	bool is_claim = strcmp(event, "job.claimed") == 0;
	if (strcmp(event, "job.submitted") == 0) {
		tally_begin(q->waiting_ms, job, now_ms);
	} else if (is_claim) {
		tally_end(q->waiting_ms, job, now_ms, &q->wait);
		tally_begin(q->began_ms, job, now_ms);
	} else if (*state && strcmp(state, "running") != 0) {
		tally_end(q->began_ms, job, now_ms, &q->run);
		if (strcmp(state, "waiting") != 0 && strcmp(state, "queued") != 0)
			tally_end(q->waiting_ms, job, now_ms, NULL); /* ended, and never ran */
	}
}

void tally_count(struct tally_queue *q, const json_t *entry)
{
	const char *event = fields_text(entry, "event"), *state = fields_text(entry, "state");
	const char *one = fields_text(entry, "job"), *many = fields_text(entry, "jobs");
	int64_t now_ms = strtoll(fields_text(entry, "id"), NULL, 10), count = !*many;
	if (*one)
		tally_job(q, event, state, one, now_ms);
	while (*many) { /* "default-1:1 default-2:1" */
		char job[96];
		size_t len = strcspn(many, " "), id_len = strcspn(many, ": ");
		count++;
		if (str_format(job, sizeof job, "%.*s", (int)id_len, many))
			tally_job(q, event, state, job, now_ms);
		many += len + (many[len] == ' ');
	}
	json_object_set_new(q->events, event, json_integer(fields_int(q->events, event, 0) + count));
}

/* ---- reading ---- */

static void tally_page(struct tally_call *call);

static void tally_done(struct tally_call *call, const struct error *err)
{
	call->q->is_reading = false;
	call->fn(call->arg, "{}", 2, err);
	free(call);
}

static void tally_on_page(void *arg, const char *text, size_t len, const struct error *err)
{
	struct tally_call *call = arg;
	struct tally_queue *q = call->q;
	json_auto_t *entries = err ? NULL : fields_parse(text, len);
	size_t i, count = json_array_size(entries);
	json_t *entry;
	json_array_foreach(entries, i, entry)
	{
		if (q->is_begun)
			tally_count(q, entry);
		str_copy(q->after, sizeof q->after, fields_text(entry, "id"));
	}
	bool was_begun = q->is_begun;
	q->is_begun = q->is_begun || !err;
	if (was_begun && count == TALLY_PAGE)
		tally_page(call);
	else
		tally_done(call, err);
}

static void tally_page(struct tally_call *call)
{
	struct tally_queue *q = call->q;
	if (q->is_begun)
		jobs_read_stream(call->tally->jobs, q->name, STREAM_EVENTS, 0, q->after, TALLY_PAGE, tally_on_page,
				 call);
	else
		jobs_read_tail(call->tally->jobs, q->name, STREAM_EVENTS, 0, 1, tally_on_page, call);
}

void tally_read(struct tally *tally, const char *queue, jobs_text_fn *fn, void *arg)
{
	struct tally_call *call = mem_alloc(sizeof *call);
	*call = (struct tally_call){ tally, tally_queue(tally, queue), fn, arg };
	if (call->q->is_reading) { /* for somebody else, who asked a moment ago */
		fn(arg, "{}", 2, NULL);
		free(call);
		return;
	}
	call->q->is_reading = true;
	tally_page(call);
}
