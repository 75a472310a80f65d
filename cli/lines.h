/*
 * A request that is answered by a line an object as the scheduler goes, and at the end
 * by {"sum":…} or {"error":…}: gc, verify, fsck.
 */
#ifndef STOKER_CLI_LINES_H
#define STOKER_CLI_LINES_H

#include "cli/cli.h"

struct lines {
	const char *path;
	const json_t *body;
	/* With --json neither is called: the lines are printed as they are. */
	void (*object)(void *arg, const json_t *object);
	void (*sum)(void *arg, const json_t *sum);
	void *arg;
	const char *problems; /* the number in the sum that makes the exit code EXIT_CHECK_FAILED */
};

/* False when the end is an error, or did not come. Ctrl-C ends it well, with exit code 130. */
bool lines_ask(struct cli *cli, const struct lines *lines, struct error *err) MUST_CHECK;

#endif
