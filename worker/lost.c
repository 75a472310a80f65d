#include "worker/lost.h"

#include <jansson.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "worker/tail.h"

enum {
	LOST_SWEEP_MS = 5,        /* a killed process needs a moment to go */
	LOST_SWEEP_SLOW_MS = 200, /* one that is stuck in the kernel may need long */
	LOST_SWEEPS_FAST = 20,
	LOST_REPORT_MS = 500,
};

struct lost {
	struct lost_options o;
	struct event *timer;
	char mark[96], error[400];
	struct proc_run run;
	bool is_of_this_boot;
	bool is_swept;
	int sweeps;
	struct tail *tail;
	bool is_tail_sent;
	struct lost_call *call; /* the report on its way */
};

/* Outlives a struct lost that is freed before the answer. */
struct lost_call {
	struct lost *lost;
};

static void lost_arm(struct lost *lost, int64_t ms)
{
	struct timeval tv = clock_timeval(ms);
	event_add(lost->timer, &tv);
}

/* What Redis had of it when it died is not known here: the whole is owed to the store. */
static void lost_finish(struct lost *lost, bool is_known)
{
	struct error err;
	bool is_owed = is_known && run_folder_has_output(lost->o.folder);
	if (!run_folder_retire(lost->o.folder, is_owed ? RUN_OWED : RUN_FINISHED, NULL, &err))
		log_failure(LOG_WARN, "a lost run's folder stays where it is", &err);
	lost->o.on_done(lost->o.arg);
}

static void lost_reported(void *arg, const char *state, size_t len, const struct error *err)
{
	struct lost_call *call = arg;
	struct lost *lost = call->lost;
	free(call);
	if (!lost)
		return;
	lost->call = NULL;
	/* STALE: the reaper, or a client, was faster. NOT_FOUND: Redis does not know the job any more. */
	if (!err || err->kind == ERR_STALE || err->kind == ERR_NOT_FOUND) {
		log_info("lost attempt reported", "job=%s attempt=%lld state=%.*s", lost->o.record->id,
			 (long long)lost->o.record->attempt, (int)len, state ? state : "");
		lost_finish(lost, !err || err->kind == ERR_STALE);
		return;
	}
	log_failure(LOG_WARN, "a lost attempt cannot be reported yet", err);
	lost_arm(lost, LOST_REPORT_MS);
}

static void lost_report(struct lost *lost)
{
	lost->call = mem_alloc(sizeof *lost->call);
	lost->call->lost = lost;
	json_auto_t *detail = json_pack("{s:s, s:b}", "error", lost->error, "cut", 1);
	CLEANUP(free_p) char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;
	jobs_finish(lost->o.jobs, &lost->o.record->ref, "lost", text ? text : "{}", lost_reported, lost->call);
}

static void lost_tail_sent(void *arg)
{
	struct lost *lost = arg;
	lost->is_tail_sent = true;
	lost_arm(lost, 0);
}

static void lost_step(evutil_socket_t fd, short what, void *arg)
{
	struct lost *lost = arg;
	(void)fd;
	(void)what;
	if (!lost->is_swept && lost->is_of_this_boot) {
		size_t left = proc_sweep(&lost->run);
		if (left) {
			if (++lost->sweeps == LOST_SWEEPS_FAST)
				log_warn("processes of a run do not go", "job=%s count=%zu", lost->o.record->id, left);
			lost_arm(lost, lost->sweeps < LOST_SWEEPS_FAST ? LOST_SWEEP_MS : LOST_SWEEP_SLOW_MS);
			return;
		}
	}
	lost->is_swept = true;
	if (!lost->tail && !lost->is_tail_sent)
		lost->tail = tail_new(lost->o.base, lost->o.jobs, &lost->o.record->ref, lost->o.folder, lost_tail_sent,
				      lost);
	if (!lost->tail || lost->is_tail_sent)
		lost_report(lost);
}

struct lost *lost_new(const struct lost_options *options)
{
	char boot[40];
	struct run_pid runner, program;
	struct lost *lost = mem_alloc(sizeof *lost);
	lost->o = *options;
	if (!str_format(lost->error, sizeof lost->error, "the runner on its worker died (%s), and the program with it",
			options->how))
		str_copy(lost->error, sizeof lost->error, "the runner on its worker died, and the program with it");
	lost->timer = evtimer_new(options->base, lost_step, lost);
	run_record_mark(options->record, lost->mark, sizeof lost->mark);
	run_pids_read(options->folder, &runner, &program);
	lost->run = (struct proc_run){ .mark = lost->mark, .session = runner.pid, .session_start = runner.start };
	proc_boot_id(boot, sizeof boot);
	lost->is_of_this_boot = !strcmp(boot, options->record->boot);
	lost_arm(lost, 0);
	return lost;
}

void lost_free(struct lost *lost)
{
	if (!lost)
		return;
	if (lost->call)
		lost->call->lost = NULL;
	tail_free(lost->tail);
	event_free(lost->timer);
	free(lost);
}
