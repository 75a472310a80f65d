/*
 * --watch: asks every second. A terminal is redrawn in place; into a file or a pipe
 * the text is printed once per change.
 */
#ifndef STOKER_CLI_WATCH_H
#define STOKER_CLI_WATCH_H

#include "cli/cli.h"

struct watch_frame {
	struct buf text; /* what to show */
	struct buf mark; /* what must differ to count as a change: no ages, no countdowns */
	bool is_last;    /* nothing will change any more */
};

typedef bool watch_fn(struct cli *cli, void *arg, struct watch_frame *frame, struct error *err);

/* Until the last frame or Ctrl-C (exit code 130). The first frame must work; a scheduler that goes
 * away later is waited for. */
bool watch_run(struct cli *cli, watch_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* One frame, printed. */
bool watch_once(struct cli *cli, watch_fn *fn, void *arg, struct error *err) MUST_CHECK;

#endif
