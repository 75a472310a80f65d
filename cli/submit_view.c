/* See the header. */
#include "cli/submit_view.h"

#include <string.h>
#include "cli/client.h"
#include "cli/follow.h"
#include "cli/job.h"
#include "cli/log_print.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "lib/fields.h"

struct submit_view {
	struct cli *cli;
	const char *id;
	const char *name;
	bool is_training; /* its points are shown instead of its log */
	struct progress progress;
	struct log_print log;
	struct entry_id checkpoint; /* the newest one said: one that was quarantined brings an older one back */
	char *state;                /* the last one said */
	int64_t lost_ms;            /* when the last attempt ended badly */
};

static void submit_view_checkpoint(struct submit_view *view, const json_t *job)
{
	const char *id = fields_text(job, "checkpoint");
	int64_t step = fields_int(job, "checkpoint_step", -1);
	struct entry_id at;
	if (!entry_id_parse(id, &at) || !entry_id_after(at, view->checkpoint))
		return;
	view->checkpoint = at;
	if (step >= 0)
		fprintf(stderr, "        checkpoint %s saved at step %lld\n", id, (long long)step);
	else
		fprintf(stderr, "        checkpoint %s saved\n", id);
}

/* What a running job does: restoring, running, stopping, shipping. */
static const char *submit_view_phase(const json_t *job)
{
	const char *phase = fields_text(job, "phase");
	return *phase ? phase : fields_text(job, "state");
}

/* "default-1  charlm  queued", "default-1  running on host-a (attempt 2) after 0.6 s". */
static void submit_view_state(struct submit_view *view, const json_t *job)
{
	const char *state = fields_text(job, "state");
	int64_t started_ms = fields_int(job, "started_ms", fields_int(job, "claimed_ms", 0));
	if (strcmp(state, "running") != 0) {
		fprintf(stderr, "%s  %s%s%s\n", view->id, view->name, *view->name ? "  " : "", state);
		return;
	}
	fprintf(stderr, "%s  %s on %s (attempt %lld)", view->id, submit_view_phase(job), fields_text(job, "worker"),
		(long long)fields_int(job, "attempt", 0));
	if (view->lost_ms && started_ms > view->lost_ms) {
		fprintf(stderr, " after %.1f s", (double)(started_ms - view->lost_ms) / 1000);
		view->lost_ms = 0;
	}
	fputc('\n', stderr);
}

static void submit_view_job(void *arg, const json_t *job)
{
	struct submit_view *view = arg;
	submit_view_checkpoint(view, job);
	CLEANUP(free_p)
	char *said = mem_printf("%s %s %lld", fields_text(job, "state"), submit_view_phase(job),
				(long long)fields_int(job, "attempt", 0));
	if (job_is_final(job) || (view->state && strcmp(said, view->state) == 0))
		return; /* the outcome comes by itself */
	free(view->state);
	view->state = STEAL(said);
	submit_view_state(view, job);
}

static void submit_view_log(void *arg, struct entry_id id, const json_t *entry)
{
	struct submit_view *view = arg;
	log_print_entry(&view->log, id, entry);
	fflush(stdout);
}

static void submit_view_metric(void *arg, struct entry_id id, const json_t *entry)
{
	struct submit_view *view = arg;
	CLEANUP(buf) struct buf line;
	buf_init(&line, 8192);
	progress_metric(&view->progress, id, entry, &line);
	if (view->cli->common.json)
		cli_print_json_line(entry);
	else if (view->is_training)
		cli_print(&line);
	fflush(stdout);
}

static void submit_view_event(void *arg, const json_t *event)
{
	struct submit_view *view = arg;
	bool is_loss = fields_is(event, "event", "job.lost") || fields_is(event, "event", "job.retrying") ||
		       fields_is(event, "event", "job.preempted");
	CLEANUP(buf) struct buf line;
	CLEANUP(buf) struct buf clean;
	buf_init(&line, 8192);
	buf_init(&clean, 16384);
	if (is_loss)
		view->lost_ms = fields_int(event, "time_ms", 0);
	entry_event(event, &line);
	text_clean(&clean, buf_text(&line));
	fprintf(stderr, "        %s\n", buf_text(&clean));
}

void submit_view_failure(struct cli *cli, const char *id)
{
	struct error ignored; /* the outcome is told; this only explains it */
	json_auto_t *shown = NULL;
	CLEANUP(buf) struct buf lines;
	CLEANUP(free_p) char *path = client_job_path(id, "", &ignored);
	buf_init(&lines, 64 * 1024);
	if (cli->exit_code != EXIT_JOB_FAILED || !path || !client_get(cli, path, &shown, &ignored))
		return;
	job_last_lines(shown, &lines);
	fputs(buf_text(&lines), stderr);
}

static void submit_view_outcome(const struct submit_view *view, const struct follow *follow)
{
	CLEANUP(buf) struct buf more;
	buf_init(&more, 1024);
	if (follow->job)
		progress_summary(&view->progress, &more);
	follow_print_outcome(follow, buf_text(&more));
	if (view->is_training)
		submit_view_failure(view->cli, view->id);
	if (!follow->job)
		return;
	CLEANUP(buf) struct buf next;
	buf_init(&next, 1024);
	buf_printf(&next, "stoker show %s", view->id);
	job_commands(follow->job, view->id, &next);
	fprintf(stderr, "%*s  %s\n", (int)strlen(view->id), "", buf_text(&next));
}

bool submit_view_follow(struct cli *cli, const char *id, const json_t *spec, struct error *err)
{
	const json_t *train = json_object_get(spec, "train");
	struct submit_view view = {
		.cli = cli,
		.id = id,
		.name = fields_text(spec, "name"),
		.is_training = json_is_object(train),
		.progress = { .total = fields_int(train, "steps", 0) },
		.log = { .cli = cli },
	};
	struct follow follow = {
		.cli = cli,
		.id = id,
		.on_job = submit_view_job,
		.on_log = view.is_training ? NULL : submit_view_log,
		.on_metric = submit_view_metric,
		.on_event = submit_view_event,
		.arg = &view,
	};
	bool ok = follow_run(&follow, err);
	if (ok)
		submit_view_outcome(&view, &follow);
	follow_done(&follow);
	free(view.state);
	return ok;
}
