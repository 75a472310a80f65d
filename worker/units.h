/*
 * Which files form a checkpoint, and which checkpoint is ready to be shipped next.
 * Told of changes, it decides; it touches no file and knows no clock (now comes in).
 *
 * A unit is a folder directly in the checkpoint folder (or one that a pattern matches), or the files
 * directly in the checkpoint folder (or all those that patterns match) whose names say the
 * same step; files whose names never change form one unit together. So a model and its
 * optimizer in two files are never torn apart.
 *
 * A unit is ready when it changed since it was last shipped (or known) and
 *  - the program announced it, or
 *  - everything that changed was renamed into place, or
 *  - it was written in place, and then quiet for a while or the program reported a later step.
 * But one of fewer files than the save before it, of those that are told apart by their step, may be one between two
 * files of a save: it waits for the others, a later step, or a minute.
 * Readiness is not proof: the ship helper looks at the bytes.
 */
#ifndef STOKER_WORKER_UNITS_H
#define STOKER_WORKER_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "queue/marks.h"
#include "queue/spec.h"

#define UNITS_MAX      1024 /* known at once; the oldest that is shipped is forgotten first */
#define UNIT_FILES_MAX 4096 /* of a unit that is no folder */
#define UNIT_KINDS_MAX 8    /* of groups: step, epoch, … in each root */

enum unit_root { UNIT_IN_CHECKPOINTS, UNIT_IN_WORK };

enum unit_change {
	UNIT_FOUND,   /* it was there before the program began: known, not to be shipped */
	UNIT_WRITTEN, /* made or written in place, or some of it is gone */
	UNIT_RENAMED, /* put in place in one step */
	UNIT_GONE,
};

struct unit_event {
	enum unit_root root;
	const char *path; /* relative to the root */
	bool is_folder;
	enum unit_change change;
	int64_t now_ms;
	int64_t step; /* newest that the program reported, -1: none */
	struct marks marks;
};

struct unit {
	enum unit_root root;
	char *name; /* folder: its path. Files: "=path" when announced alone, else the group ("step 200", "") */
	bool is_folder;
	char **files; /* relative to the root; of a folder only its own path */
	size_t file_count;
	bool has_too_many; /* past UNIT_FILES_MAX */

	int64_t changes; /* counts up over all units: the newest change of this one; 0: none */
	int64_t settled; /* changes that are shipped, superseded or known */
	int64_t changed_ms;
	bool was_written;   /* since it settled something was written in place */
	bool is_announced;  /* since it settled */
	char *sha256;       /* announced; NULL: none */
	int64_t said_step;  /* announced; -1: none */
	int said_optimizer; /* announced; -1: unknown */
	int64_t step;       /* reported by the program when it changed */
	struct marks marks; /* likewise */

	int64_t retry_ms; /* not before; 0: at once */
	int64_t backoff_ms;
	int64_t told; /* changes whose problem was reported already */
	bool is_busy; /* being shipped: it is not forgotten */
};

struct units;

/* Relative to the working folder, none leads out of it: else ERR_INPUT. */
bool units_check_patterns(const struct spec_list *patterns, struct error *err);

struct units *units_new(const struct spec_list *patterns);
void units_free(struct units *u);

/* Whether the folder (relative to the root) may hold files of a unit: it is to be watched. */
bool units_wants_folder(const struct units *u, enum unit_root root, const char *path);

void units_event(struct units *u, const struct unit_event *event);

/* The program says that this file or folder is a whole checkpoint: it becomes a unit of its own. */
struct unit *units_announce(struct units *u, const struct unit_event *event);

/* A step was reported: what was written before it may be believed earlier. */
void units_step(struct units *u, int64_t now_ms);

/* The newest unit that is ready, or NULL; then *due_ms is when the next may be (-1: none waits). is_over: the program
 * has ended, nothing needs to be waited for but retries. */
struct unit *units_next(struct units *u, int64_t now_ms, bool is_over, int64_t *due_ms);

/* When the unit, if nothing more changes, may be believed to be whole. */
int64_t units_settles_ms(const struct units *u, const struct unit *unit);

/* The program reported a step after the unit's last change: a save that it waits for has returned. */
bool units_is_outlived(const struct units *u, const struct unit *unit);

/* It was whole as it is: later ones of its kind have as many files. */
void units_whole(struct units *u, const struct unit *unit);
/* How many files it has fewer than the last one of its kind that was whole, or than any that was there before. */
size_t units_lacks(const struct units *u, const struct unit *unit);

bool unit_is_pending(const struct unit *unit);
/* Everything up to `changes` is dealt with. */
void unit_settle(struct unit *unit, int64_t changes);
/* Everything that last changed before `changes`, in any unit, is superseded. */
void units_settle_older(struct units *u, int64_t changes);
/* It is stored as it was then: all of the above. */
void units_committed(struct units *u, struct unit *unit, int64_t changes);
bool units_any_pending(const struct units *u);

/* "out/model.pt and the files with it": for messages. */
void unit_describe(const struct unit *unit, char *into, size_t size);

#endif
