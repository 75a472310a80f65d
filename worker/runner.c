#include "worker/runner_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "lib/store.h"
#include "worker/descendants.h"
#include "worker/notice.h"

struct run_transition {
	enum run_state from;
	enum run_event event;
	enum run_state to;
	void (*enter)(struct runner *r);
	const char *help;
};

static const struct run_transition run_transitions[] = {
	{ RUN_RESTORING, ON_READY, RUN_RUNNING, runner_start_program, "the checkpoint is in place, or there is none" },
	{ RUN_RESTORING, ON_REFUSED, RUN_SHIPPING, runner_ship_last, "the spec or the checkpoint is no good" },
	{ RUN_RESTORING, ON_STOP, RUN_SHIPPING, runner_ship_last, "asked to stop before it was started" },
	{ RUN_RUNNING, ON_REFUSED, RUN_SHIPPING, runner_ship_last, "there is no such program" },
	{ RUN_RUNNING, ON_STOP, RUN_STOPPING, runner_terminate, "SIGTERM, the grace, SIGKILL" },
	{ RUN_RUNNING, ON_ENDED, RUN_SHIPPING, runner_ship_last, "it ended by itself; its last checkpoint is shipped" },
	{ RUN_STOPPING, ON_STOP, RUN_STOPPING, runner_terminate, "a weightier reason to stop" },
	{ RUN_STOPPING, ON_ENDED, RUN_SHIPPING, runner_ship_last, "it ended; its last checkpoint is shipped" },
	{ RUN_SHIPPING, ON_SHIPPED, RUN_REPORTING, runner_report, "log, metrics and checkpoints are in place" },
	{ RUN_REPORTING, ON_REPORTED, RUN_OVER, runner_leave, "Redis knows the end" },
};

static const char *const run_state_names[] = {
	[RUN_RESTORING] = "restoring", [RUN_RUNNING] = "running",     [RUN_STOPPING] = "stopping",
	[RUN_SHIPPING] = "shipping",   [RUN_REPORTING] = "reporting", [RUN_OVER] = "over",
};

void runner_step(struct runner *r, enum run_event event)
{
	for (size_t i = 0; i < ARRAY_LEN(run_transitions); i++) {
		const struct run_transition *t = &run_transitions[i];
		if (t->from != r->state || t->event != event)
			continue;
		log_debug("run", "job=%s attempt=%lld from=%s to=%s why=\"%s\"", r->record->id,
			  (long long)r->record->attempt, run_state_names[t->from], run_state_names[t->to], t->help);
		r->state = t->to;
		t->enter(r);
		runner_wake(r);
		return;
	}
	log_error("no such transition", "job=%s state=%s event=%d", r->record->id, run_state_names[r->state],
		  (int)event);
}

const char *runner_phase(const struct runner *r)
{
	return r->state >= RUN_SHIPPING ? "shipping" : run_state_names[r->state];
}

void runner_wake(struct runner *r)
{
	struct timeval now = { 0 };
	r->is_woken = true;
	event_add(r->timer, &now);
}

static void runner_tick(evutil_socket_t fd, short what, void *arg)
{
	struct runner *r = arg;
	static int64_t (*const parts[])(struct runner *, int64_t) = {
		runner_lease_tick, runner_offer_tick,  runner_code_tick, runner_restore_tick, runner_program_tick,
		runner_ship_tick,  runner_report_tick, runner_ask_tick,  runner_stall_tick,
	};
	int64_t now = clock_boot_ms(), next = INT64_MAX;
	(void)fd;
	(void)what;
	r->is_woken = false;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int64_t due = parts[i](r, now);
		next = due < next ? due : next;
	}
	runner_flush(r);
	if (next == INT64_MAX || r->state == RUN_OVER || r->is_woken)
		return;
	struct timeval wait = clock_timeval(next - now);
	event_add(r->timer, &wait);
}

void runner_say(struct runner *r, const char *fmt, ...)
{
	char text[1024];
	va_list args;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	if (len < 0)
		return;
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	spool_add(&r->log, 's', clock_wall_ms(), text, strlen(text));
	log_info(text, "job=%s attempt=%lld", r->record->id, (long long)r->record->attempt);
	runner_wake(r); /* which flushes */
}

void runner_ask_stop(struct runner *r, enum stop_reason stop, const char *why)
{
	if (r->state == RUN_OVER || stop <= r->stop)
		return;
	if (stop != STOP_STALE && (r->is_reaped || r->state >= RUN_SHIPPING))
		return; /* it has ended by itself: what it did stands */
	r->stop = stop;
	str_format(r->why, sizeof r->why, "%.*s", OUTCOME_ERROR_MAX - 1, why ? why : "");
	if (r->state >= RUN_SHIPPING) {
		runner_check_shipped(r);
		return;
	}
	runner_step(r, ON_STOP);
}

void runner_refuse(struct runner *r, bool is_permanent, const struct error *err)
{
	str_format(r->failure, sizeof r->failure, "%.*s", OUTCOME_ERROR_MAX - 1, err->message);
	r->is_permanent = is_permanent;
	runner_say(r, "cannot start: %s%s%s", err->message, err->hint[0] ? " - " : "", err->hint);
	runner_step(r, ON_REFUSED);
}

bool runner_lacks_room(struct runner *r, const struct error *err)
{
	char why[OUTCOME_ERROR_MAX];
	if (err->kind != ERR_FULL || ++r->full_tries < RUNNER_FULL_TRIES)
		return false;
	str_format(why, sizeof why, "there is no room on this worker: %.*s", OUTCOME_ERROR_MAX / 2, err->message);
	runner_say(r, "given back: %s", why);
	runner_ask_stop(r, STOP_PREEMPT, why);
	return true;
}

void runner_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGCHLD);
}

/* The worker asks for its runs: because it was asked to drain, or because of what stands in its notice. */
static void runner_give_back(struct runner *r)
{
	char why[OUTCOME_ERROR_MAX] = "its worker drains", notice[NOTICE_MAX + 1];
	run_notice_read(r->folder, notice, sizeof notice);
	if (*notice)
		str_format(why, sizeof why, "its machine will be taken away: %s", notice);
	runner_ask_stop(r, STOP_PREEMPT, why);
}

static void runner_signal(void *arg, int number)
{
	struct runner *r = arg;
	if (number == SIGCHLD)
		runner_orphans(r);
	else
		runner_give_back(r);
}

/* What needs no job. */
static bool runner_open(struct runner *r, struct error *err)
{
	sigset_t set;
	const struct run_pid self = { getpid(), proc_start_time(getpid()) };
	/* First of all: a worker that adopts must find us. */
	if (!run_pid_note(r->folder, "runner", &self, err))
		return false;
	descendants_adopt();
	runner_signals(&set);
	r->signals = signals_new(r->base, &set, runner_signal, r, err);
	r->timer = evtimer_new(r->base, runner_tick, r);
	return r->signals && runner_open_spools(r, err);
}

/* A spare waits here for its run. It has no record afterwards: nobody needs it any more. */
static bool runner_await(struct runner *r, struct error *err)
{
	char text[PATH_MAX];
	ssize_t got;
	/* From now on the folder may get its name: nothing is made in it by the old one any more. */
	if (send(r->task->call_fd, "r", 1, MSG_NOSIGNAL) < 0)
		return errno == EPIPE ||
		       error_errno(err, ERR_SYSTEM, NULL, "a spare runner cannot say that it is ready");
	do
		got = recv(r->task->call_fd, text, sizeof text - 1, 0);
	while (got < 0 && errno == EINTR);
	close(r->task->call_fd);
	if (got <= 0) /* reset: the worker has ended without looking whether we are ready */
		return got == 0 || errno == ECONNRESET ||
		       error_errno(err, ERR_SYSTEM, NULL, "a spare runner cannot be called");
	text[got] = '\0';
	r->folder = mem_strdup(text);
	r->record = &r->called;
	return run_folder_read(r->folder, &r->called, err);
}

/* A runner should be the last to go when memory is short: it needs little, and its death ends the run. */
static void runner_protect(void)
{
	CLEANUP(close_fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "-500", 4) < 0)
		log_debug("the runner is as likely as others to be killed for memory", NULL);
}

static bool runner_begin(struct runner *r, struct error *err)
{
	struct error why = { 0 };
	r->lease_ends = r->record->claimed_boot_ms + r->record->lease_ms;
	r->checkpoint_dir = run_path(r->folder, "checkpoints");
	r->output_dir = run_path(r->folder, "output");
	r->ask_fd = -1;
	store_expect(r->task->settings->store, r->record->installation, r->record->is_marked);
	r->has_spec = spec_from_json(r->record->spec_json, strlen(r->record->spec_json), &r->spec, &why);
	r->work_dir = r->spec.workdir ? mem_strdup(r->spec.workdir) : run_path(r->folder, "work");
	if (!runner_connect(r, err))
		return false;
	if (r->has_spec) {
		r->marks = marks_of_spec(&r->spec);
		runner_code(r);
	} else {
		runner_refuse(r, true, &why);
	}
	return true;
}

int runner_main(struct event_base *base, void *task)
{
	struct error err = { 0 };
	struct runner *r = mem_alloc(sizeof *r);
	r->base = base;
	r->task = task;
	r->folder = r->task->folder;
	r->record = r->task->record;
	r->onset = r->good = r->step = r->resume_step = -1;
	r->program = -1;
	log_setup("stoker-runner", r->task->settings->log_level, r->task->settings->log_json);
	signal(SIGPIPE, SIG_IGN); /* a Redis that went away is an error, not our death */
	runner_protect();
	bool ok = runner_open(r, &err) && (r->record || runner_await(r, &err));
	if (ok && !r->record)
		return 0;
	if (!ok || !runner_begin(r, &err)) {
		log_failure(LOG_ERROR, "a runner cannot work", &err);
		return 1; /* the worker cleans up and reports it lost */
	}
	runner_wake(r);
	event_base_dispatch(base);
	return r->state == RUN_OVER ? (int)r->report_end : 1;
}
