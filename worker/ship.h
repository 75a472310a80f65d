/*
 * What the ship helper does, in its own process: proves a unit complete, packs it in
 * one pass into the store, less what an earlier one has, and writes its manifest; and removes stored checkpoints.
 * A kill at any line leaves at most objects that no manifest names.
 *
 *   <installation>/checkpoints/<job>-<uid>/<token>/<seq>/data.tar, then manifest.json
 */
#ifndef STOKER_WORKER_SHIP_H
#define STOKER_WORKER_SHIP_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"
#include "worker/cache.h"
#include "worker/units.h"

enum ship_trust {               /* what is known besides the bytes */
		  SHIP_FEWER,   /* its writer was killed, and the save before had more files */
		  SHIP_SUSPECT, /* its writer was killed, perhaps in the middle of it */
		  SHIP_QUIET,   /* nothing happened to it for quiet_ms */
		  SHIP_SETTLED, /* renamed into place, or its writer has demonstrably gone on */
		  SHIP_ANNOUNCED,
};

struct ship_place { /* whose checkpoints these are */
	char *store;
	char *installation;
	char *job;
	char *uid;
	char *token;
	int64_t attempt;
};

struct ship_request {
	const struct ship_place *place;
	const struct unit *unit;
	const char *root;    /* folder that the unit's paths are relative to */
	const char *run_dir; /* where what was sent is noted (worker/sent.h) */
	int64_t seq;
	int64_t seen; /* the newest step that the program reported; -1: none */
	enum ship_trust trust;
	int64_t quiet_ms;
	struct cache cache;
	bool sweep; /* first remove what dead helpers left */
};

/* text: the summary. Errors: ERR_DAMAGED torn; ERR_CONFLICT in motion, or not quiet for long enough; ERR_NOT_FOUND
 * it is not there any more; ERR_INPUT it can never be shipped; ERR_FULL, ERR_UNAVAILABLE the store. */
bool ship_run(const struct ship_request *request, struct buf *text, struct error *err);

struct ship_remove {
	const struct ship_place *place;
	const char *id;      /* "2-1" */
	const char *summary; /* NULL: looked for in the store */
};
/* What is not there is fine. */
bool ship_remove_run(const struct ship_remove *remove, struct error *err);

#endif
