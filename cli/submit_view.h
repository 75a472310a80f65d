/*
 * What `submit --follow` shows: the states and what did not go straight on stderr; on
 * stdout the steps of a job that trains (it has a `train` section, and prints little
 * else), and of any other job what it prints.
 */
#ifndef STOKER_CLI_SUBMIT_VIEW_H
#define STOKER_CLI_SUBMIT_VIEW_H

#include "cli/cli.h"

/* Until the job ends or Ctrl-C; cli->exit_code says how it ended. */
bool submit_view_follow(struct cli *cli, const char *id, const json_t *spec, struct error *err) MUST_CHECK;

/* After a failure, on stderr: what the program wrote last. For those who did not see its log. */
void submit_view_failure(struct cli *cli, const char *id);

#endif
