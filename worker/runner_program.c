/* The program of a run: its start, the stop ladder (TERM to the group, the grace, KILL), and its end: reaped,
 * its pipes closed, and nothing of it left. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/proc.h"
#include "worker/descendants.h"
#include "worker/environment.h"
#include "worker/result.h"
#include "worker/runner_internal.h"

extern char **environ;

enum {
	PROGRAM_CONTROL_FD = 3,
	PROGRAM_ASK_FD = 4,
	PROGRAM_PIPES_MS = 5000, /* a grandchild may hold the pipes of a program that has ended for so long */
	PROGRAM_SWEEP_MS = 5,
	PROGRAM_REAP_MS = 500,
	PROGRAM_DUMP_MS = 1000, /* for a stalled program to say where it is */
};

/* ---- start ---- */

static void program_set_number(struct environment *e, const char *name, int64_t value)
{
	char text[32];
	str_format(text, sizeof text, "%lld", (long long)value);
	environment_set(e, name, text);
}

static void program_environment(const struct runner *r, const struct launch *launch, struct environment *e)
{
	char mark[96], gpus[SLOTS_GPUS_MAX * 3];
	CLEANUP(free_p) char *result = run_path(r->output_dir, RESULT_FILE);
	environment_inherit(e, (const char *const *)environ);
	environment_set_default(e, "PYTHONUNBUFFERED", "1");   /* else Python keeps back what it prints into a pipe */
	environment_set_default(e, "PYTHONFAULTHANDLER", "1"); /* it says where it was when a signal ends it */
	for (size_t i = 0; i < launch->env.count; i++)
		environment_set(e, launch->env.items[i].key, launch->env.items[i].value);
	for (size_t i = 0; i < r->spec.env.count; i++)
		environment_set(e, r->spec.env.items[i].key, r->spec.env.items[i].value);
	environment_set(e, "STOKER_JOB", r->record->id);
	program_set_number(e, "STOKER_ATTEMPT", r->record->attempt);
	environment_set(e, "STOKER_CHECKPOINT_DIR", r->checkpoint_dir);
	environment_set(e, "STOKER_OUTPUT_DIR", r->output_dir);
	if (r->record->scheduled_ms > 0 && r->spec.schedule.name) {
		environment_set(e, "STOKER_SCHEDULE", r->spec.schedule.name);
		program_set_number(e, "STOKER_DUE_MS", r->record->scheduled_ms);
	}
	environment_set(e, "STOKER_RESULT", result);
	program_set_number(e, "STOKER_CONTROL_FD", PROGRAM_CONTROL_FD);
	if (runner_asks_by_line(r))
		program_set_number(e, "STOKER_ASK_FD", PROGRAM_ASK_FD);
	if (r->resume_path) {
		environment_set(e, "STOKER_RESUME", r->resume_path);
		environment_set(e, "STOKER_RESTORE_OPTIMIZER", r->spec.recovery.restore_optimizer ? "1" : "0");
		if (r->resume_step >= 0)
			program_set_number(e, "STOKER_RESUME_STEP", r->resume_step);
	}
	if (r->record->parents)
		environment_set(e, "STOKER_PARENTS", r->record->parents);
	run_record_mark(r->record, mark, sizeof mark);
	environment_set(e, "STOKER_RUN", strchr(mark, '=') + 1);
	slots_gpu_text(r->record->grant.gpus, gpus, sizeof gpus);
	environment_set(e, "CUDA_VISIBLE_DEVICES", gpus); /* empty hides those of others */
	environment_set(e, "ROCR_VISIBLE_DEVICES", gpus);
}

static bool program_plan(struct runner *r, struct launch *launch, bool *is_permanent, struct error *err)
{
	const struct backend *backend = backend_of(r->spec.backend);
	struct backend_run run = { .spec = &r->spec,
				   .settings = &r->task->settings->backend,
				   .work_dir = r->work_dir,
				   .run_dir = r->folder,
				   .checkpoint_dir = r->checkpoint_dir,
				   .output_dir = r->output_dir,
				   .resume = r->resume_path };
	bool ok = backend->validate(&run, err);
	*is_permanent = !ok && err->kind == ERR_INPUT;
	return ok && backend->launch(&run, launch, err);
}

static void program_exited(void *arg, const struct child_exit *how);

static bool program_spawn(struct runner *r, const struct launch *launch, struct error *err)
{
	struct child_fd fds[] = { { .from = -1, .to = PROGRAM_CONTROL_FD }, { .from = -1, .to = PROGRAM_ASK_FD } };
	CLEANUP(close_fd) int ask_fd = -1;
	CLEANUP(environment) struct environment environment = { 0 };
	program_environment(r, launch, &environment);
	struct child_options o = { .argv = (const char *const *)launch->argv.items,
				   .env = (const char *const *)environment.items,
				   .cwd = r->work_dir,
				   .in = -1,
				   .fds = fds,
				   .fd_count = runner_asks_by_line(r) ? 2 : 1,
				   .group = CHILD_OWN_GROUP,
				   .death_signal = SIGKILL };
	if (!runner_open_asking(r, &ask_fd, err) || !runner_open_output(r, &o.out, &o.err, &fds[0].from, err))
		return false;
	fds[1].from = ask_fd;
	bool ok = child_spawn(&o, &r->program, err);
	output_started(r->output);
	control_started(r->control);
	if (!ok)
		return false;
	r->was_started = true;
	r->started_at = clock_boot_ms();
	stall_heard(&r->stall, r->started_at);
	runner_begin_asking(r);
	r->watch = child_watch_new(r->base, r->program, program_exited, r, err);
	return r->watch || (kill(-r->program, SIGKILL), false);
}

/* Rather the program than its runner, when memory is short. */
static void program_expose(pid_t pid)
{
	char path[64];
	str_format(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "300", 3) < 0)
		log_debug("the program is not exposed to the killer for memory", "pid=%d", (int)pid);
}

void runner_start_program(struct runner *r)
{
	struct error err = { 0 };
	struct launch launch = { 0 };
	bool is_permanent = false;
	runner_watch(r);
	bool ok = program_plan(r, &launch, &is_permanent, &err) && runner_open_checkpoints(r, &err) &&
		  (runner_death_begin(r), program_spawn(r, &launch, &err));
	launch_done(&launch);
	if (!ok) {
		runner_refuse(r, is_permanent, &err);
		return;
	}
	const struct run_pid program = { r->program, proc_start_time(r->program) };
	program_expose(r->program);
	runner_lease_note(r);
	if (!run_pid_note(r->folder, "program", &program, &err))
		log_failure(LOG_WARN, "the program's pid is not noted", &err);
	log_info("program started", "job=%s attempt=%lld pid=%d", r->record->id, (long long)r->record->attempt,
		 (int)r->program);
	if (r->is_connected)
		runner_renew(r); /* says that it runs, and what from */
}

/* ---- stop ---- */

void runner_terminate(struct runner *r)
{
	bool at_once = r->stop == STOP_STALE || r->stop == STOP_PARTITION;
	int64_t grace_ms = at_once ? 0 : r->spec.grace_ms;
	if (r->is_reaped) { /* somebody else has the job now: what is left must not linger */
		r->pipes_until = clock_boot_ms();
		return;
	}
	if (r->kill_at && !at_once)
		return; /* the ladder is being climbed already */
	if (!at_once)
		runner_say(r, "stopping: %s", r->why[0] ? r->why : "asked to");
	int64_t now = clock_boot_ms();
	r->term_at = r->stop == STOP_STALLED && runner_dump(r, false) ? now + PROGRAM_DUMP_MS : 0;
	if (!r->term_at)
		kill(-r->program, at_once ? SIGKILL : SIGTERM); /* not reaped yet: the number is the program's own */
	r->kill_at = (r->term_at ? r->term_at : now) + grace_ms;
}

/* ---- end ---- */

static void program_settle(struct runner *r)
{
	if (!r->is_reaped || !output_is_closed(r->output) || r->sweep_at)
		return;
	r->sweep_at = clock_boot_ms();
	runner_wake(r);
}

void runner_output_closed(struct runner *r)
{
	program_settle(r);
}

static void program_exited(void *arg, const struct child_exit *how)
{
	struct runner *r = arg;
	char text[64];
	child_watch_free(r->watch);
	r->watch = NULL;
	r->how = *how;
	r->is_reaped = true;
	runner_close_asking(r);
	r->ended_at = clock_boot_ms();
	r->kill_at = r->term_at = 0;
	child_exit_text(how, text, sizeof text);
	log_info("program ended", "job=%s attempt=%lld how=\"%s\"", r->record->id, (long long)r->record->attempt, text);
	checkpoints_ended(r->checkpoints, how->is_known && !how->signal && (how->code == 0 || how->code == 75));
	runner_lease_note(r);
	bool at_once = r->stop == STOP_STALE || r->stop == STOP_PARTITION;
	r->pipes_until = clock_boot_ms() + (at_once ? 0 : PROGRAM_PIPES_MS);
	program_settle(r);
	runner_wake(r);
}

/* Nothing of the program may be left when its end is reported. */
static void program_sweep(struct runner *r)
{
	if (descendants_kill()) {
		r->sweep_at = clock_boot_ms() + PROGRAM_SWEEP_MS;
		return;
	}
	r->sweep_at = INT64_MAX;
	control_end(r->control);
	if (r->how.is_known && !r->how.signal && r->how.code == 0)
		runner_take_result(r);
	runner_step(r, ON_ENDED);
}

void runner_orphans(struct runner *r)
{
	if (!r->reap_at)
		r->reap_at = clock_boot_ms() + PROGRAM_REAP_MS; /* several at once; the program itself has its watch */
	runner_wake(r);
}

static int64_t program_limits(struct runner *r, int64_t now)
{
	int64_t next = INT64_MAX;
	if (r->state != RUN_RUNNING || r->is_reaped)
		return next;
	int64_t timeout_at = r->spec.timeout_ms ? r->started_at + r->spec.timeout_ms : INT64_MAX;
	if (now >= timeout_at)
		runner_ask_stop(r, STOP_TIMEOUT, NULL);
	else
		next = timeout_at;
	return next;
}

/* The steps of the ladder that are due. A stalled program is asked where it is before it is killed. */
static void program_climb(struct runner *r, int64_t now)
{
	if (r->term_at && now >= r->term_at) {
		r->term_at = 0;
		if (!r->is_reaped)
			kill(-r->program, SIGTERM);
	}
	if (!r->kill_at || now < r->kill_at)
		return;
	if (r->stop == STOP_STALLED && !r->is_reaped && runner_dump(r, true)) {
		r->kill_at = now + PROGRAM_DUMP_MS;
		return;
	}
	if (!r->is_reaped)
		kill(-r->program, SIGKILL);
	r->kill_at = INT64_MAX;
}

int64_t runner_program_tick(struct runner *r, int64_t now)
{
	if (!r->was_started || r->state > RUN_STOPPING)
		return INT64_MAX;
	int64_t next = program_limits(r, now);
	program_climb(r, now);
	if (r->reap_at && now >= r->reap_at) {
		descendants_reap(r->is_reaped ? 0 : r->program);
		r->reap_at = 0;
	}
	if (r->pipes_until && now >= r->pipes_until && !r->sweep_at) {
		runner_say(r, "the program has ended, but what it left behind holds its output: killed");
		r->pipes_until = 0;
		descendants_kill();
		output_give_up(r->output);
	}
	if (r->sweep_at && now >= r->sweep_at)
		program_sweep(r);
	int64_t times[] = { r->term_at, r->kill_at, r->reap_at, r->sweep_at ? 0 : r->pipes_until, r->sweep_at };
	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (times[i] && times[i] < next)
			next = times[i];
	return next;
}
