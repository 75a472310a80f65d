/*
 * Whether there is what a new job is to go on from (`resume` in its spec), asked before it is
 * submitted: where that is a job of another queue, or of the archive, the job itself would
 * only find out later.
 */
#ifndef STOKER_CLI_RESUME_H
#define STOKER_CLI_RESUME_H

#include "cli/cli.h"

/* True, too, when the spec names no other job. */
bool resume_check(struct cli *cli, const json_t *spec, struct error *err) MUST_CHECK;

#endif
