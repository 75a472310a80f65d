/*
 * The checkpoints of one attempt, as the runner sees them: found in the checkpoint
 * folder (inotify) and by patterns, proved complete, shipped by a helper process as
 * one tar to the store, and offered for commit. Only what the runner commits in
 * Redis exists. And the way back: fetch, verify, unpack, put in place.
 *
 * Nothing here blocks the event loop and nothing here talks to Redis.
 */
#ifndef STOKER_WORKER_CHECKPOINTS_H
#define STOKER_WORKER_CHECKPOINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/error.h"
#include "queue/marks.h"
#include "queue/spec.h"
#include "worker/cache.h"

struct checkpoints;

struct checkpoints_options {
	struct event_base *base;
	const struct spec *spec;  /* checkpoint.paths; must outlive the object */
	const char *store;        /* "file:///abs/folder" */
	struct cache cache;       /* its folder must outlive the object */
	const char *installation; /* first part of every object's path */
	const char *job;          /* "gpu-42" */
	const char *uid;
	const char *token;
	int64_t attempt;
	const char *work_dir;       /* patterns are relative to it */
	const char *checkpoint_dir; /* STOKER_CHECKPOINT_DIR */
	int64_t give_up_ms;         /* how long after its end for a store that does not answer; 0: 5 minutes */
	const char *run_dir;        /* scratch: the helper's files; restore/ for unpacking */

	/* Data and manifest are in the store: commit it now (jobs_checkpoint with id and
	 * summary), then call checkpoints_committed or checkpoints_refused. One at a time. */
	void (*on_shipped)(void *arg, const char *id, const char *summary_json);
	/* A candidate was not shipped: torn, changed while it was read, the store failed
	 * (it is tried again as long as the file is there). For the run's log. */
	void (*on_problem)(void *arg, const char *what, const struct error *err);
	/* Nothing is pending any more after checkpoints_flush. */
	void (*on_idle)(void *arg);
	/* These objects are deleted (answer to checkpoints_delete): jobs_drop them. */
	void (*on_deleted)(void *arg, const char *id);
	void *arg;
};

/* After the restore and before the program starts: what is there at this moment (what was just put back, an
 * earlier run's files) is known and not shipped; only what changes from now on is. */
struct checkpoints *checkpoints_new(const struct checkpoints_options *options, struct error *err);
/* Kills the helper; what was not committed is forgotten. Allowed in every callback but on_problem. */
void checkpoints_free(struct checkpoints *c);

/* A control line of the program: explicit proof that this path is complete. path may be relative
 * to the working folder. step -1: unknown; optimizer -1: unknown. sha256 may be NULL. */
void checkpoints_announce(struct checkpoints *c, const char *path, int64_t step, int optimizer, const char *sha256);

/* The newest step that the program reported: kept with a checkpoint that names none, and the last values
 * of the metrics that are kept with it (NULL: as they were). */
void checkpoints_step(struct checkpoints *c, int64_t step, const struct marks *marks);

/* The program is dead: call it as soon as that is known, before its pipes are drained. cleanly: it ended by
 * itself (exit 0 or 75), so what it wrote last is whole; otherwise a file that it was writing in place
 * may be torn and counts only when its format proves it complete. */
void checkpoints_ended(struct checkpoints *c, bool cleanly);

/* True once the program has ended: its files cannot change any more. Ships the newest
 * complete candidate if it is not shipped yet, drops the others, then on_idle.
 * Without checkpoints_ended before it the end counts as not clean. */
void checkpoints_flush(struct checkpoints *c);

void checkpoints_committed(struct checkpoints *c, const char *id);
/* again: it may be that it uses files of an earlier checkpoint which is gone; it is shipped once more, whole. */
void checkpoints_refused(struct checkpoints *c, const char *id, bool again);
void checkpoints_delete(struct checkpoints *c, const char *id, const char *summary_json_or_null);

/* ---- the way back ---- */
struct checkpoint_restore;
/* ok: the files are in place and resume is the absolute path for STOKER_RESUME (a file or a
 * folder). Not ok: err->kind ERR_DAMAGED means it does not verify (reject it, take the next
 * older), ERR_UNAVAILABLE that the store could not be read (try again). The restore is gone by then. */
typedef void checkpoint_restored_fn(void *arg, bool ok, const char *resume, int64_t step, const struct error *err);
/* Runs in a helper process: fetches the manifest that the summary names, verifies SHA-256 of
 * the data before anything parses it, unpacks into <run_dir>/restore/ and puts the files back at
 * their places below checkpoint_dir and work_dir. */
struct checkpoint_restore *checkpoint_restore_start(const struct checkpoints_options *options, const char *id,
						    const char *summary_json, checkpoint_restored_fn *fn, void *arg,
						    struct error *err);
void checkpoint_restore_cancel(struct checkpoint_restore *restore);

#endif
