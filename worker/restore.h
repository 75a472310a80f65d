/*
 * What the restore helper does, in its own process: fetches the manifest that a summary
 * names, verifies everything, unpacks into a fresh folder and puts the files in place.
 *
 * All that comes from the store is read, verified and parsed by a second process (worker/unpack.h), which is confined.
 * The helper gets a list of names from it, checks them, and moves what is there.
 */
#ifndef STOKER_WORKER_RESTORE_H
#define STOKER_WORKER_RESTORE_H

#include <stdbool.h>
#include "lib/buf.h"
#include "lib/error.h"
#include "worker/cache.h"

struct restore_request {
	const char *store;
	struct cache cache;
	const char *id;
	const char *summary; /* JSON */
	const char *run_dir; /* scratch: restore/<id>/ */
	const char *checkpoint_dir;
	const char *work_dir;
};

/* text: the step (-1: unknown), a space, and the absolute path for STOKER_RESUME. ERR_DAMAGED: it does not verify;
 * ERR_UNAVAILABLE: the store cannot be read. Nothing is put in place unless everything verified. */
bool restore_run(const struct restore_request *request, struct buf *text, struct error *err);

#endif
