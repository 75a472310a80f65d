/* GET /metrics: what Prometheus watches. Figures of Redis are read when it asks; when Redis is away the rest is told.
 */
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "lib/prometheus.h"
#include "scheduler/api_gather.h"
#include "scheduler/goodput.h"
#include "scheduler/tally.h"
#include "scheduler/ticker.h"

enum { FIGURES_MAX = 16 * 1024 * 1024 };
enum { FIGURES_STATS, FIGURES_TALLY, FIGURES_QUESTIONS }; /* what is asked of each queue */

static const struct prometheus_label none = { NULL, NULL };

static struct prometheus_label figures_label(const char *name, const char *value)
{
	return (struct prometheus_label){ name, value };
}

static void figures_single(struct buf *out, const char *name, const char *help, double value)
{
	prometheus_family(out, name, PROMETHEUS_GAUGE, help);
	prometheus_sample(out, name, none, none, value);
}

/* ---- of this process ---- */

static void figures_of_process(const struct scheduler *s, struct buf *out)
{
	struct ticker_state tick;
	ticker_look(s->ticker, &tick);
	prometheus_family(out, "stoker_build_info", PROMETHEUS_GAUGE, "1, and the version as a label.");
	prometheus_sample(out, "stoker_build_info", figures_label("version", STOKER_VERSION), none, 1);
	figures_single(out, "stoker_redis_up", "1 while Redis is reachable and has the function library.",
		       scheduler_is_ready(s));
	if (tick.good_ms_ago >= 0)
		figures_single(out, "stoker_tick_age_seconds",
			       "Since promote and reap last went well; one a second is the rule.",
			       (double)tick.good_ms_ago / 1000);
	figures_single(out, "stoker_http_connections", "Connections that are open.",
		       (double)http_server_connections(s->http));
	prometheus_family(out, "stoker_redis_roundtrip_seconds", PROMETHEUS_HISTOGRAM,
			  "From the sending of a call to its answer, to the millisecond.");
	prometheus_histogram(out, "stoker_redis_roundtrip_seconds", none, &s->round_trips);
}

/* ---- of each queue, as stoker_stats has it ---- */

static const struct figure {
	const char *name, *field, *label; /* of the family; of the document; the value of the label */
	enum prometheus_type type;
	double scale;
	const char *label_name, *help; /* help: of the first row of a family */
} figures[] = {
	{ "stoker_jobs", "waiting", "waiting", PROMETHEUS_GAUGE, 1, "state", "Jobs in Redis." },
	{ "stoker_jobs", "queued", "queued", PROMETHEUS_GAUGE, 1, "state", NULL },
	{ "stoker_jobs", "running", "running", PROMETHEUS_GAUGE, 1, "state", NULL },
	{ "stoker_jobs", "succeeded", "succeeded", PROMETHEUS_GAUGE, 1, "state", NULL },
	{ "stoker_jobs", "failed", "failed", PROMETHEUS_GAUGE, 1, "state", NULL },
	{ "stoker_jobs", "cancelled", "cancelled", PROMETHEUS_GAUGE, 1, "state", NULL },
	{ "stoker_jobs_submitted_total", "submitted", NULL, PROMETHEUS_COUNTER, 1, NULL,
	  "Numbers that were given to jobs." },
	{ "stoker_workers", "workers", NULL, PROMETHEUS_GAUGE, 1, NULL, "Workers that were heard of lately." },
	{ "stoker_goodput_seconds_total", "goodput.setup_ms", "setup", PROMETHEUS_COUNTER, 0.001, "phase",
	  "Where the time of attempts that ended went." },
	{ "stoker_goodput_seconds_total", "goodput.restore_ms", "restore", PROMETHEUS_COUNTER, 0.001, "phase", NULL },
	{ "stoker_goodput_seconds_total", "goodput.training_ms", "training", PROMETHEUS_COUNTER, 0.001, "phase", NULL },
	{ "stoker_goodput_seconds_total", "goodput.saving_ms", "saving", PROMETHEUS_COUNTER, 0.001, "phase", NULL },
	{ "stoker_goodput_seconds_total", "goodput.lost_ms", "lost", PROMETHEUS_COUNTER, 0.001, "phase", NULL },
};

static bool figures_value(const json_t *stats, const char *field, double *value)
{
	const char *dot = strchr(field, '.');
	const json_t *from = dot ? json_object_get(stats, "goodput") : stats;
	const json_t *number = json_object_get(from, dot ? dot + 1 : field);
	*value = json_number_value(number);
	return json_is_number(number);
}

static void figures_of_stats(const struct gathered *all, size_t count, struct buf *out)
{
	for (size_t row = 0; row < ARRAY_LEN(figures); row++) {
		const struct figure *f = &figures[row];
		double value;
		if (f->help)
			prometheus_family(out, f->name, f->type, f->help);
		for (size_t i = 0; i < count; i++)
			if (figures_value(all[i].answers[FIGURES_STATS], f->field, &value))
				prometheus_sample(out, f->name, figures_label("queue", all[i].queue),
						  figures_label(f->label_name, f->label), value * f->scale);
	}
	prometheus_family(out, "stoker_queue_oldest_seconds", PROMETHEUS_GAUGE,
			  "How long the job that is queued longest has been; 0: none is.");
	for (size_t i = 0; i < count; i++) {
		const json_t *stats = all[i].answers[FIGURES_STATS];
		double now_ms, oldest_ms;
		if (!figures_value(stats, "now_ms", &now_ms))
			continue;
		bool is_one = figures_value(stats, "oldest_ms", &oldest_ms);
		prometheus_sample(out, "stoker_queue_oldest_seconds", figures_label("queue", all[i].queue), none,
				  is_one ? (now_ms - oldest_ms) / 1000 : 0);
	}
}

/* ---- of each queue, as its events say ---- */

static void figures_of_times(const struct tally_queue *first, bool is_wait, const char *name, const char *help,
			     struct buf *out)
{
	prometheus_family(out, name, PROMETHEUS_HISTOGRAM, help);
	for (const struct tally_queue *q = first; q; q = q->next)
		prometheus_histogram(out, name, figures_label("queue", q->name), is_wait ? &q->wait : &q->run);
}

static void figures_of_events(const struct tally *tally, struct buf *out)
{
	static const char name[] = "stoker_job_transitions_total", lost[] = "stoker_leases_lost_total";
	const struct tally_queue *first = tally_all(tally);
	prometheus_family(out, name, PROMETHEUS_COUNTER,
			  "Events since this scheduler was first asked, of all schedulers.");
	for (const struct tally_queue *q = first; q; q = q->next) {
		const char *event;
		json_t *count;
		json_object_foreach(q->events, event, count)
			prometheus_sample(out, name, figures_label("queue", q->name), figures_label("event", event),
					  (double)json_integer_value(count));
	}
	prometheus_family(out, lost, PROMETHEUS_COUNTER,
			  "Runs that were taken back because their lease ended, likewise.");
	for (const struct tally_queue *q = first; q; q = q->next)
		prometheus_sample(out, lost, figures_label("queue", q->name), none,
				  (double)fields_int(q->events, "job.lost", 0));
	figures_of_times(first, true, "stoker_queue_wait_seconds", "From the submit of a job to its first claim.", out);
	figures_of_times(first, false, "stoker_run_seconds", "From a claim to what ended the attempt.", out);
}

/* ---- the request ---- */

static void figures_send(struct http_reply *reply, const struct buf *out)
{
	http_reply_plain(reply, 200, "text/plain; version=0.0.4; charset=utf-8", buf_text(out), out->len);
}

static void api_figures_ask(struct api_call *call, const char *queue, size_t which, jobs_text_fn *fn, void *arg)
{
	if (which == FIGURES_STATS)
		jobs_stats(call->scheduler->jobs, queue, fn, arg);
	else
		tally_read(call->scheduler->tally, queue, fn, arg);
}

static void api_figures_answer(struct api_call *call, const struct gathered *all, size_t count)
{
	CLEANUP(buf) struct buf out;
	buf_init(&out, FIGURES_MAX);
	for (size_t i = 0; i < count; i++) {
		json_t *stats = all[i].answers[FIGURES_STATS];
		if (stats)
			json_object_set_new(stats, "goodput", goodput_of_sums(json_object_get(stats, "goodput")));
	}
	figures_of_process(call->scheduler, &out);
	figures_of_stats(all, count, &out);
	figures_of_events(call->scheduler->tally, &out);
	figures_send(call->reply, &out);
	api_forget(call);
}

void api_figures(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const struct api_gather_options options = { FIGURES_QUESTIONS, api_figures_ask, api_figures_answer };
	struct scheduler *s = arg;
	if (scheduler_is_ready(s)) {
		struct api_call *call = api_call_new(s, request, reply);
		if (call)
			api_gather(call, &options);
		return;
	}
	CLEANUP(buf) struct buf out;
	buf_init(&out, FIGURES_MAX);
	figures_of_process(s, &out);
	figures_send(reply, &out);
}
