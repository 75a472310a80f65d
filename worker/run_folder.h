/*
 * The folder of a run: <state>/runs/<job id>-<token>/, the only place where a run
 * is remembered on its machine, and all its paths in one file.
 *
 *   lock          flock held by the runner for its whole life: free = it is gone
 *   run.json      what was claimed, and what the run holds of the machine
 *   pid           the runner, then its program, one a line: "<pid> <start time> <who>"; only appended to
 *   lease         until when (CLOCK_BOOTTIME ms) the program may run without another renewal; 0: no bound
 *   spool.log     everything the program said (worker/spool.h)
 *   metrics.jsonl every point of its metrics
 *   resumed       step of the checkpoint that it went on from; only then
 *   work/ checkpoints/ output/ restore/
 *
 * A run that has reported its end moves to <state>/finished/ in one rename, or first to
 * <state>/owed/ as long as the store lacks its transcript (worker/owed.h): a folder
 * in runs/ whose lock is free is a run that died without a word. Names with a dot in
 * front are no runs yet: .spare waits for one, .new is being made.
 */
#ifndef STOKER_WORKER_RUN_FOLDER_H
#define STOKER_WORKER_RUN_FOLDER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/error.h"
#include "queue/jobs.h"
#include "queue/spec.h"
#include "worker/slots.h"

struct run_record { /* run.json */
	struct attempt_ref ref;
	char id[96];
	int64_t attempt;
	int64_t lease_ms;
	int64_t claimed_boot_ms; /* when the claim was sent: its lease counts from here */
	char boot[40];           /* the boot that this and every pid belong to */
	struct grant grant;
	char *installation;
	char *spec_json;
	char *resume;         /* checkpoint id, or NULL */
	char *checkpoint;     /* its summary, or NULL */
	int64_t scheduled_ms; /* the due time that its schedule made the job for; 0: none did */
	int64_t corrupted;    /* so many attempts of it were, before this one */
	char *parents;        /* of a job that waited for others, or NULL */
	bool is_marked;       /* the store has something of the installation, and so a mark (store_expect) */
};
void run_record_done(struct run_record *record);

static inline void cleanup_run_record(struct run_record *record)
{
	run_record_done(record);
}

/* Copies a claim; the grant is the caller's to fill in. */
void run_record_from_claim(struct run_record *record, const struct claim *claim, int64_t claimed_boot_ms);
/* "STOKER_RUN=<uid>.<token>": the mark in the environment of everything the run starts. */
void run_record_mark(const struct run_record *record, char *into, size_t size);
/* "gpu-42-1795329305800": the folder's name. */
void run_record_folder(const struct run_record *record, char *into, size_t size);

/* <folder>/<name>, to be freed. */
char *run_path(const char *folder, const char *name);

/* Makes runs/, owed/, finished/, blank/ (worker/blank.h) and cache/ (what backends keep from run to run). */
bool run_folders_make(const char *state_dir, struct error *err) MUST_CHECK;

/* Makes the folder with everything a runner needs, takes its lock, and gives it its name last: it is there whole or
 * not at all. The caller owns *folder and *lock_fd. */
bool run_folder_make(const char *state_dir, const struct run_record *record, char **folder, int *lock_fd,
		     struct error *err) MUST_CHECK;
/* The same ahead of time: runs/.spare, made anew, with everything but the record. */
bool run_folder_make_spare(const char *state_dir, char **folder, int *lock_fd, struct error *err) MUST_CHECK;
/* Makes the spare folder that of this run: run.json, then the name. *folder is the caller's. */
bool run_folder_name_spare(const char *spare, const struct run_record *record, char **folder,
			   struct error *err) MUST_CHECK;
bool run_folder_read(const char *folder, struct run_record *record, struct error *err) MUST_CHECK;

/* true: the lock was free and is ours now (*lock_fd). false: somebody holds it, or err says what is wrong. */
enum run_lock { RUN_LOCK_TAKEN, RUN_LOCK_HELD, RUN_LOCK_FAILED };
enum run_lock run_folder_lock(const char *folder, int *lock_fd, struct error *err);

/* The end, or a step to it; *now_at, to be freed, is where it is then (NULL: not wanted). */
enum run_rest { RUN_OWED, RUN_FINISHED };
bool run_folder_retire(const char *folder, enum run_rest rest, char **now_at, struct error *err);
/* Those that stand there, oldest first; the caller frees the list and each of it. */
char **run_folders_at(const char *state_dir, enum run_rest rest, size_t *count);
/* Something stands in its spools. */
bool run_folder_has_output(const char *folder);
/* Removes what nobody needs of an ended run, in work/, checkpoints/ and restore/. As slow as it is, as the next two. */
void run_folder_trim(const char *folder);
/* Trims the folders in finished/; the oldest beyond keep are emptied for the next runs, or removed. */
void run_folders_prune(const char *state_dir, int64_t keep);

struct run_pid {
	pid_t pid; /* 0: not known */
	int64_t start;
};
/* who: "runner" first, then "program". */
bool run_pid_note(const char *folder, const char *who, const struct run_pid *pid, struct error *err);
void run_pids_read(const char *folder, struct run_pid *runner, struct run_pid *program);

/* <state>/notice: why the runs of this worker are given back, for their runners; "": for no such reason. */
bool run_notice_write(const char *state_dir, const char *why, struct error *err);
void run_notice_read(const char *folder, char *into, size_t size);
bool run_resumed_write(const char *folder, int64_t step, struct error *err);
int64_t run_resumed_read(const char *folder); /* 0: it did not */

bool run_lease_write(const char *folder, int64_t until_boot_ms, struct error *err);
int64_t run_lease_read(const char *folder); /* 0: no bound */

#endif
