/*
 * Downloads: a URL into a file, with a bar on a terminal, going on where an earlier try
 * stopped; and a checkpoint: its data are verified against the hashes in its manifest, then
 * its files are written.
 */
#ifndef STOKER_CLI_FETCH_H
#define STOKER_CLI_FETCH_H

#include "cli/cli.h"

struct fetch {
	const char *url; /* absolute, or a path of the scheduler's */
	const char *path;
	int64_t size; /* what the file is to have */
	const char *title;
};

/* path.part grows until it is complete and becomes path. Interrupted, it succeeds with that exit code, and the same
 * call goes on. */
bool fetch_file(struct cli *cli, const struct fetch *fetch, struct error *err) MUST_CHECK;

struct fetch_checkpoint {
	const char *job;
	const char *which; /* latest, best, a step or an id */
	const char *to;    /* folder, made when it is missing; NULL: "./<job>-checkpoint-<id>" */
	bool as_tar;       /* only the tar, in that folder or here */
};

/* said: where it is now, for people. */
bool fetch_checkpoint(struct cli *cli, const struct fetch_checkpoint *fetch, struct buf *said,
		      struct error *err) MUST_CHECK;

#endif
