/*
 * Following a job to its end: everything from its first line, live afterwards, once
 * each. When the scheduler goes away it is waited for, and the stream goes on after
 * the last entry seen: entry ids rise, so what is not newer was shown before.
 */
#ifndef STOKER_CLI_FOLLOW_H
#define STOKER_CLI_FOLLOW_H

#include "cli/cli.h"
#include "cli/entry.h"

struct follow {
	struct cli *cli;
	const char *id;
	/* Each may be NULL: then it is not asked for. on_job: whenever state, attempt or phase changed. */
	void (*on_job)(void *arg, const json_t *job);
	void (*on_log)(void *arg, struct entry_id id, const json_t *entry);
	void (*on_metric)(void *arg, struct entry_id id, const json_t *entry);
	void (*on_event)(void *arg, const json_t *event);
	void *arg;
	struct entry_id log_seen; /* start after this one */

	/* the outcome */
	json_t *job; /* final; NULL when interrupted */
	char *why;

	struct entry_id metric_seen;
	int64_t event_ms;   /* time of the newest history entry seen */
	int64_t events_at;  /* how many of that time were seen */
	int64_t events_now; /* … in this stream */
	char *job_seen;     /* the last job shown, as text */
	bool is_lost;       /* the scheduler is away, and that was said */
};

/* Until the job is final (cli->exit_code says how it ended) or Ctrl-C (130). */
bool follow_run(struct follow *follow, struct error *err) MUST_CHECK;
void follow_done(struct follow *follow);

/* The line that ends every following: "default-1  succeeded in 2 min 51 s · 2 attempts", on stderr.
 * more is put behind it; "" for nothing. */
void follow_print_outcome(const struct follow *follow, const char *more);

#endif
