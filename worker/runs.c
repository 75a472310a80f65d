#include "worker/runs.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "worker/lost.h"
#include "worker/owed.h"
#include "worker/prune.h"
#include "worker/spare.h"
#include "worker/tree.h"

enum {
	RUNS_WATCH_MS = 250, /* how often leases of runners that may be stopped are looked at */
	RUNS_SPARE_MS = 20,  /* a spare runner is made when nothing was started for so long: not amid a crowd */
};

struct run {
	struct run *next;
	struct runs *runs;
	char *folder;
	struct run_record record;
	struct child_watch *watch; /* of the runner; NULL once it has ended */
	struct lost *lost;         /* the cleaning up; NULL while the runner lives */
	int lock_fd;               /* ours while the start waits for an earlier attempt to be gone; else -1 */
	bool is_gone;              /* to be removed after the turn */
};

struct runs {
	struct runs_options o;
	struct run *all;
	struct owed *owed;
	struct prune *prune;
	bool is_draining;
	struct spare *spare; /* for the next run; NULL: it is forked when it comes */
	struct event *sweep; /* frees what is gone, outside its own callbacks */
	struct event *watch; /* looks at leases */
	struct event *quiet; /* makes the spare */
};

static void runs_sweep(evutil_socket_t fd, short what, void *arg);
static void runs_watch(evutil_socket_t fd, short what, void *arg);
static void runs_quiet(evutil_socket_t fd, short what, void *arg);
static bool run_adopt(struct run *run, struct error *err);
static void runs_start_waiting(struct runs *runs);

static void runs_paid(void *arg)
{
	struct runs *runs = arg;
	prune_soon(runs->prune);
}

static void runs_owes_nothing(void *arg)
{
	struct runs *runs = arg;
	runs->o.on_freed(runs->o.arg); /* who drains waits for it */
}

struct runs *runs_new(const struct runs_options *options, struct error *err)
{
	struct runs *runs = mem_alloc(sizeof *runs);
	const struct owed_options owed = { .base = options->base,
					   .state_dir = options->state_dir,
					   .store = options->settings->store,
					   .on_paid = runs_paid,
					   .on_idle = runs_owes_nothing,
					   .arg = runs };
	runs->o = *options;
	runs->sweep = evtimer_new(options->base, runs_sweep, runs);
	runs->watch = event_new(options->base, -1, EV_PERSIST, runs_watch, runs);
	runs->quiet = evtimer_new(options->base, runs_quiet, runs);
	runs->owed = owed_new(&owed);
	runs->prune =
		prune_new(options->base, options->state_dir, options->keep_runs, &runs->o.settings->checkpoint_cache);
	if (!run_folders_make(options->state_dir, err)) {
		runs_free(runs);
		return NULL;
	}
	return runs;
}

static void run_free(struct run *run)
{
	child_watch_free(run->watch);
	lost_free(run->lost);
	run_record_done(&run->record);
	if (run->lock_fd >= 0)
		close(run->lock_fd);
	free(run->folder);
	free(run);
}

void runs_free(struct runs *runs)
{
	if (!runs)
		return;
	while (runs->all) {
		struct run *run = runs->all;
		runs->all = run->next;
		run_free(run);
	}
	owed_free(runs->owed);
	prune_free(runs->prune);
	spare_free(runs->spare);
	event_free(runs->sweep);
	event_free(runs->watch);
	event_free(runs->quiet);
	free(runs);
}

/* Nobody of the run is left: what it held is free. */
static void run_leave(struct run *run)
{
	struct timeval soon = { 0 };
	slots_give(run->runs->o.slots, &run->record.grant);
	run->is_gone = true;
	event_add(run->runs->sweep, &soon);
}

static void run_was_cleaned(void *arg)
{
	run_leave(arg);
}

/* The runner is not there (any more): was the end reported, or must we clean up? */
static void run_is_over(struct run *run, const char *how)
{
	child_watch_free(run->watch);
	run->watch = NULL;
	if (access(run->folder, F_OK) < 0 && errno == ENOENT) {
		run_leave(run); /* it moved its folder away: everything was said, and it left no process */
		return;
	}
	log_warn("a runner died", "job=%s attempt=%lld how=\"%s\"", run->record.id, (long long)run->record.attempt,
		 how);
	struct lost_options o = { .base = run->runs->o.base,
				  .jobs = run->runs->o.jobs,
				  .how = how,
				  .folder = run->folder,
				  .record = &run->record,
				  .on_done = run_was_cleaned,
				  .arg = run };
	run->lost = lost_new(&o);
}

/* One that was killed may have been killed by us, and of one that an earlier worker started nothing is known. */
static enum run_end run_end_of(const struct child_exit *how)
{
	if (!how->is_known || how->signal == SIGKILL)
		return RUN_END_OTHER;
	if (how->signal || how->code == 1)
		return RUN_END_DIED; /* it could not do its work: a full disk, say */
	return (enum run_end)how->code;
}

static void run_runner_ended(void *arg, const struct child_exit *how)
{
	struct run *run = arg;
	char text[64];
	child_exit_text(how, text, sizeof text);
	run->runs->o.on_ended(run->runs->o.arg, run->record.id, run_end_of(how));
	run_is_over(run, text);
}

static struct run *run_add(struct runs *runs, const char *folder)
{
	struct run *run = mem_alloc(sizeof *run);
	run->runs = runs;
	run->lock_fd = -1;
	run->folder = mem_strdup(folder);
	run->next = runs->all;
	runs->all = run;
	if (!run->next) {
		struct timeval every = clock_timeval(RUNS_WATCH_MS);
		event_add(runs->watch, &every);
	}
	return run;
}

static void runs_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct runs *runs = arg;
	bool ended = false;
	(void)fd;
	(void)what;
	for (struct run **link = &runs->all; *link;) {
		struct run *run = *link;
		if (!run->is_gone) {
			link = &run->next;
			continue;
		}
		*link = run->next;
		run_free(run);
		ended = true;
	}
	if (!runs->all)
		event_del(runs->watch);
	runs_start_waiting(runs);
	if (ended) {
		owed_look(runs->owed);
		prune_soon(runs->prune);
	}
	runs->o.on_freed(runs->o.arg);
}

/* A runner that is itself stopped cannot kill its program before the lease ends, as on_partition: stop
 * promises: then we do. Its lease file holds 0 when nothing was promised. */
static void runs_watch(evutil_socket_t fd, short what, void *arg)
{
	struct runs *runs = arg;
	(void)fd;
	(void)what;
	for (struct run *run = runs->all; run; run = run->next) {
		struct error err;
		bool is_unwatched = !run->watch && !run->lost && !run->is_gone && run->lock_fd < 0;
		if (is_unwatched && !run_adopt(run, &err))
			log_failure(LOG_ERROR, "a run is not watched", &err);
		int64_t until = run->watch ? run_lease_read(run->folder) : 0;
		if (!until || clock_boot_ms() < until)
			continue;
		log_warn("a runner let its lease end and is killed", "job=%s attempt=%lld", run->record.id,
			 (long long)run->record.attempt);
		child_watch_signal(run->watch, SIGKILL);
	}
}

/* Watches the runner of a run that is in the table. false: it is not there any more. */
static bool run_watch_runner(struct run *run, pid_t pid)
{
	struct error err;
	run->watch = child_watch_new(run->runs->o.base, pid, run_runner_ended, run, &err);
	return run->watch != NULL;
}

/* The lock is held: its runner lives. Between reading its pid and watching it, it may end and its pid may be given
 * away: so the lock is asked again after the watch stands. */
static bool run_adopt(struct run *run, struct error *err)
{
	struct run_pid runner, program;
	int lock_fd = -1;
	run_pids_read(run->folder, &runner, &program);
	bool watched = runner.pid > 0 && run_watch_runner(run, runner.pid);
	enum run_lock lock = run_folder_lock(run->folder, &lock_fd, err);
	if (lock == RUN_LOCK_HELD && watched) {
		log_info("adopted a run", "job=%s attempt=%lld runner=%d", run->record.id,
			 (long long)run->record.attempt, (int)runner.pid);
		if (run->runs->is_draining)
			child_watch_signal(run->watch, SIGTERM);
		return true;
	}
	if (lock == RUN_LOCK_HELD)
		return true; /* it has not written its pid yet: runs_watch asks again */
	if (lock == RUN_LOCK_FAILED)
		return error_wrap(err, "cannot adopt %s", run->folder);
	close(lock_fd);
	run_is_over(run, "no worker saw it");
	return true;
}

static bool runs_scan_one(struct runs *runs, const char *folder, struct error *err)
{
	struct run_record record;
	if (!run_folder_read(folder, &record, err)) {
		if (err->kind != ERR_NOT_FOUND)
			return false;
		tree_remove(folder); /* begun, but no runner was started in it: the claim is asked for again */
		return true;
	}
	struct run *run = run_add(runs, folder);
	run->record = record;
	slots_hold(runs->o.slots, &record.grant);
	return run_adopt(run, err);
}

/* ---- the spare ---- */

static void runs_want_spare(struct runs *runs)
{
	struct timeval wait = clock_timeval(RUNS_SPARE_MS);
	event_add(runs->quiet, &wait);
}

static void runs_quiet(evutil_socket_t fd, short what, void *arg)
{
	struct runs *runs = arg;
	struct error err;
	(void)fd;
	(void)what;
	if (runs->is_draining || (runs->spare && !spare_is_gone(runs->spare)))
		return;
	spare_free(runs->spare);
	runs->spare = spare_new(runs->o.base, runs->o.state_dir, runs->o.settings, &err);
	if (!runs->spare)
		log_failure(LOG_WARN, "no spare runner: the next run starts a little later", &err);
}

static struct spare *runs_take_spare(struct runs *runs)
{
	return runs->spare && !spare_is_gone(runs->spare) && spare_is_ready(runs->spare) ? STEAL(runs->spare) : NULL;
}

bool runs_scan(struct runs *runs, struct error *err)
{
	CLEANUP(free_p) char *path = run_path(runs->o.state_dir, "runs");
	DIR *dir = opendir(path);
	if (!dir)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot read %s", path);
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct error why = { 0 };
		CLEANUP(free_p) char *folder = run_path(path, entry->d_name);
		if (entry->d_name[0] != '.' && !runs_scan_one(runs, folder, &why))
			log_failure(LOG_ERROR, "a run folder is left alone", &why);
	}
	closedir(dir);
	owed_look(runs->owed);
	prune_soon(runs->prune);
	runs_want_spare(runs);
	return true;
}

static bool runs_has(const struct runs *runs, const struct attempt_ref *ref)
{
	for (const struct run *run = runs->all; run; run = run->next)
		if (!strcmp(run->record.ref.uid, ref->uid) && !strcmp(run->record.ref.token, ref->token))
			return true;
	return false;
}

/* The process is there, and the lock its own. */
static bool run_started(struct run *run, pid_t pid, struct error *err)
{
	log_info("runner started", "job=%s attempt=%lld pid=%d", run->record.id, (long long)run->record.attempt,
		 (int)pid);
	if (!run_watch_runner(run, pid)) {
		kill(pid, SIGKILL); /* our own child, not reaped: the number is still its own */
		return error_set(err, ERR_SYSTEM, NULL, "cannot watch runner %d", (int)pid);
	}
	if (run->runs->is_draining)
		child_watch_signal(run->watch, SIGTERM);
	return true;
}

static bool run_fork(struct run *run, int lock_fd, struct error *err)
{
	sigset_t blocked;
	pid_t pid;
	struct runner_task task = {
		.settings = run->runs->o.settings, .record = &run->record, .folder = run->folder, .lock_fd = lock_fd
	};
	struct child_fork_options o = { .keep = &lock_fd,
					.keep_count = 1,
					.group = CHILD_OWN_SESSION,
					.blocked = &blocked,
					.name = "stoker-runner",
					.run = runner_main,
					.arg = &task };
	runner_signals(&blocked);
	return child_fork(&o, &pid, err) && run_started(run, pid, err);
}

/* An earlier attempt of the same job: its token is stale for good, it only has not heard of it. */
static struct run *run_before(const struct runs *runs, const struct run_record *record)
{
	for (struct run *other = runs->all; other; other = other->next)
		if (!other->is_gone && !strcmp(other->record.ref.uid, record->ref.uid) &&
		    strtoll(other->record.ref.token, NULL, 10) < strtoll(record->ref.token, NULL, 10))
			return other;
	return NULL;
}

static void run_give_up(struct run *run)
{
	log_warn("an attempt is killed before a later one of its job starts here", "job=%s attempt=%lld",
		 run->record.id, (long long)run->record.attempt);
	if (run->watch)
		child_watch_signal(run->watch, SIGKILL);
	if (run->lock_fd < 0)
		return;
	close(run->lock_fd);
	run->lock_fd = -1;
	run_is_over(run, "it was still waiting to be started");
}

/* Starts it now, or, once an earlier attempt is gone, from runs_sweep. */
static bool run_begin(struct run *run, struct error *err)
{
	struct run *before = run_before(run->runs, &run->record);
	if (before) {
		run_give_up(before);
		return true;
	}
	CLEANUP(close_fd) int lock_fd = run->lock_fd;
	run->lock_fd = -1;
	if (run_fork(run, lock_fd, err))
		return true;
	run_is_over(run, err->message);
	return false;
}

static void runs_start_waiting(struct runs *runs)
{
	struct error err;
	for (struct run *run = runs->all; run; run = run->next)
		if (run->lock_fd >= 0 && !run_before(runs, &run->record) && !run_begin(run, &err))
			log_failure(LOG_ERROR, "a claimed job cannot be started here", &err);
}

bool runs_start(struct runs *runs, const struct claim *claim, int64_t claimed_boot_ms, struct error *err)
{
	struct run_record record;
	CLEANUP(free_p) char *folder = NULL;
	int lock_fd = -1;
	pid_t spare_pid = 0;
	if (runs_has(runs, &claim->ref))
		return true;
	run_record_from_claim(&record, claim, claimed_boot_ms);
	record.is_marked = runs->o.settings->is_marked;
	if (!slots_take(runs->o.slots, claim->cpus, claim->memory_bytes, claim->gpus, &record.grant)) {
		run_record_done(&record);
		return error_set(err, ERR_FULL, NULL, "%s does not fit this machine now", claim->id);
	}
	struct spare *spare = run_before(runs, &record) ? NULL : runs_take_spare(runs);
	bool ok = spare ? spare_call(spare, &record, &folder, &spare_pid, err)
			: run_folder_make(runs->o.state_dir, &record, &folder, &lock_fd, err);
	spare_free(spare);
	runs_want_spare(runs);
	if (!folder) {
		slots_give(runs->o.slots, &record.grant);
		run_record_done(&record);
		return false;
	}
	struct run *run = run_add(runs, folder);
	run->record = record;
	run->lock_fd = lock_fd;
	if (!spare_pid)
		return run_begin(run, err);
	if (ok && run_started(run, spare_pid, err))
		return true;
	run_is_over(run, err->message);
	return false;
}

void runs_drain(struct runs *runs)
{
	runs->is_draining = true;
	spare_free(STEAL(runs->spare));
	for (struct run *run = runs->all; run; run = run->next)
		if (run->watch)
			child_watch_signal(run->watch, SIGTERM);
}

void runs_drain_no_more(struct runs *runs)
{
	runs->is_draining = false;
	runs_want_spare(runs);
}

bool runs_are_over(const struct runs *runs)
{
	return !runs->all && !owed_is_busy(runs->owed);
}

size_t runs_count(const struct runs *runs)
{
	size_t count = 0;
	for (const struct run *run = runs->all; run; run = run->next)
		count++;
	return count;
}

void runs_list(const struct runs *runs, struct buf *into)
{
	buf_byte(into, '[');
	for (const struct run *run = runs->all; run; run = run->next)
		buf_printf(into, "%s\"%s\"", run == runs->all ? "" : ",", run->record.id);
	buf_byte(into, ']');
}
