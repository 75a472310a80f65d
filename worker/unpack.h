/*
 * The unpacker: everything of a restore that touches what comes from the store, for a process of its own. It opens the
 * store, confines itself for good to reading that and to writing in one folder (lib/landlock.h; the log says when the
 * kernel cannot), and only then fetches, verifies, parses and unpacks.
 */
#ifndef STOKER_WORKER_UNPACK_H
#define STOKER_WORKER_UNPACK_H

#include <stdbool.h>
#include "lib/buf.h"
#include "lib/error.h"
#include "queue/manifest.h"
#include "worker/cache.h"

struct unpack_request {
	const char *store;
	const struct summary *summary; /* what was committed */
	const char *folder;            /* its own, fresh */
	int root;                      /* the same, open */
	struct cache cache;            /* may be used, and is filled; folder NULL: there is none */
};

/* plan: "<step> <member to resume from>", then each member of the tar, with "f " (a file) or "d " before it; a line
 * each. ERR_DAMAGED: it does not verify; ERR_UNAVAILABLE: the store cannot be read. Confines the process that calls. */
bool unpack_run(const struct unpack_request *request, struct buf *plan, struct error *err) MUST_CHECK;

#endif
