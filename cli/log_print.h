/*
 * Log entries as lines. Lines of the program go out as they are; what stoker says about
 * the run is marked "[stoker]", a hole "[gap]", and a new attempt is announced.
 */
#ifndef STOKER_CLI_LOG_PRINT_H
#define STOKER_CLI_LOG_PRINT_H

#include "cli/cli.h"
#include "cli/entry.h"

struct log_print {
	const struct cli *cli;
	int64_t only_attempt; /* 0: every attempt */
	int64_t attempt;      /* that of the last line */
};

void log_print_entry(struct log_print *print, struct entry_id id, const json_t *entry);

#endif
