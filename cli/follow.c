/* See the header. */
#include "cli/follow.h"

#include <string.h>
#include "cli/client.h"
#include "cli/interrupt.h"
#include "cli/job.h"
#include "cli/text.h"
#include "lib/fields.h"

#define FOLLOW_RETRY_MIN_MS 100
#define FOLLOW_RETRY_MAX_MS 2000

static void follow_job(struct follow *f, const json_t *job)
{
	if (!f->on_job)
		return;
	CLEANUP(free_p)
	char *shown = mem_printf("%s %lld %s %s", fields_text(job, "state"), (long long)fields_int(job, "attempt", 0),
				 fields_text(job, "phase"), fields_text(job, "checkpoint"));
	if (f->job_seen && strcmp(shown, f->job_seen) == 0)
		return;
	free(f->job_seen);
	f->job_seen = STEAL(shown);
	f->on_job(f->arg, job);
}

/* History entries have no ids, but their times do not fall: those of one millisecond are counted. */
static void follow_event(struct follow *f, const json_t *event)
{
	int64_t time_ms = fields_int(event, "time_ms", 0);
	if (!f->on_event || time_ms < f->event_ms)
		return;
	if (time_ms > f->event_ms) {
		f->event_ms = time_ms;
		f->events_at = 0;
		f->events_now = 0;
	}
	if (++f->events_now <= f->events_at)
		return;
	f->events_at = f->events_now;
	f->on_event(f->arg, event);
}

static void follow_entry(struct follow *f, const json_t *entry, struct entry_id *seen,
			 void (*fn)(void *, struct entry_id, const json_t *))
{
	struct entry_id id;
	if (!fn || !entry_id_read(entry, &id) || !entry_id_after(id, *seen))
		return;
	*seen = id;
	fn(f->arg, id, entry);
}

static bool follow_object(void *arg, const json_t *object)
{
	struct follow *f = arg;
	const char *kind = fields_text(object, "kind");
	const json_t *entry = json_object_get(object, "entry");
	if (f->is_lost)
		fprintf(stderr, "stoker: the scheduler is back\n");
	f->is_lost = false;
	if (strcmp(kind, "job") == 0) {
		follow_job(f, json_object_get(object, "job"));
	} else if (strcmp(kind, "log") == 0) {
		follow_entry(f, entry, &f->log_seen, f->on_log);
	} else if (strcmp(kind, "metric") == 0) {
		follow_entry(f, entry, &f->metric_seen, f->on_metric);
	} else if (strcmp(kind, "event") == 0) {
		follow_event(f, entry);
	} else if (strcmp(kind, "gap") == 0 && f->on_log) {
		fprintf(stderr, "stoker: %lld lines are not kept any more\n",
			(long long)fields_int(object, "lines", 0));
	} else if (strcmp(kind, "end") == 0) {
		f->job = json_incref(json_object_get(object, "job"));
		f->why = mem_strdup(fields_text(object, "why"));
		follow_job(f, f->job);
	}
	fflush(stdout); /* live in a pipe, too */
	return !f->job;
}

/* One connection: true when the job ended or Ctrl-C was pressed; err->kind ERR_NONE when the server just
 * closed the stream (a restart, or a reader that was too slow). */
static bool follow_once(struct follow *f, int interrupt, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(f->id, "/follow", err);
	if (!path)
		return false;
	CLEANUP(free_p)
	char *query = mem_printf("%s?logs=%d&metrics=%d&events=%d", path, f->on_log != NULL, f->on_metric != NULL,
				 f->on_event != NULL);
	struct client_stream stream = { .path = query, .fn = follow_object, .arg = f, .interrupt_fd = interrupt };
	f->events_now = 0;
	*err = (struct error){ 0 };
	bool ok = client_stream(f->cli, &stream, err);
	fflush(stdout);
	if (!stream.interrupted)
		return ok && f->job;
	f->cli->exit_code = EXIT_INTERRUPTED;
	return true;
}

bool follow_run(struct follow *f, struct error *err)
{
	int64_t wait_ms = FOLLOW_RETRY_MIN_MS;
	CLEANUP(close_fd) int interrupt = interrupt_open(err);
	if (interrupt < 0)
		return false;
	for (bool first = true; !follow_once(f, interrupt, err); first = false) {
		bool closed = err->kind == ERR_NONE;
		if (!closed && !client_is_worth_waiting(err, first))
			return false;
		if (!closed && !f->is_lost) {
			fprintf(stderr, "stoker: %s; waiting for it\n", err->message);
			f->is_lost = true;
		}
		if (interrupt_wait(interrupt, wait_ms)) {
			f->cli->exit_code = EXIT_INTERRUPTED;
			return true;
		}
		wait_ms = wait_ms * 2 > FOLLOW_RETRY_MAX_MS ? FOLLOW_RETRY_MAX_MS : wait_ms * 2;
		/* It may have come back elsewhere: look again. */
		http_client_free(f->cli->client);
		f->cli->client = NULL;
	}
	if (f->job)
		f->cli->exit_code = job_exit_code(f->job);
	return true;
}

void follow_done(struct follow *f)
{
	json_decref(f->job);
	free(f->why);
	free(f->job_seen);
}

void follow_print_outcome(const struct follow *f, const char *more)
{
	if (!f->job) {
		fprintf(stderr, "%s  goes on; stoker logs %s -f follows it again\n", f->id, f->id);
		return;
	}
	CLEANUP(buf) struct buf line;
	CLEANUP(buf) struct buf clean;
	buf_init(&line, 8192);
	buf_init(&clean, 16384);
	job_outcome(f->job, f->why, &line);
	text_clean(&clean, buf_text(&line));
	fprintf(stderr, "%s  %s%s\n", f->id, buf_text(&clean), more);
}
