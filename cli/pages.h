/*
 * All entries of a stream of a job, page after page: its log, its metrics.
 */
#ifndef STOKER_CLI_PAGES_H
#define STOKER_CLI_PAGES_H

#include "cli/cli.h"

typedef void pages_fn(void *arg, const json_t *entry);

/* tail: "/logs", "/metrics". */
bool pages_each(struct cli *cli, const char *id, const char *tail, pages_fn *fn, void *arg,
		struct error *err) MUST_CHECK;

/* The points that hold: without those that a later attempt went over again, and the marks that say so. */
bool pages_points(struct cli *cli, const char *id, pages_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* All checkpoints of a job, newest first, as one list (a new reference). */
bool pages_checkpoints(struct cli *cli, const char *id, json_t **all, struct error *err) MUST_CHECK;

#endif
