/*
 * The commands: one declaration each, from which come dispatch, help and docs/cli.md.
 */
#ifndef STOKER_CLI_COMMANDS_H
#define STOKER_CLI_COMMANDS_H

#include <stdio.h>
#include "cli/cli.h"

extern const struct command cmd_up, cmd_submit, cmd_ls, cmd_show, cmd_logs, cmd_metrics, cmd_cancel, cmd_retry,
	cmd_checkpoints, cmd_result, cmd_workers, cmd_events, cmd_corrupt, cmd_queues, cmd_config, cmd_doctor, cmd_fsck,
	cmd_download, cmd_gc, cmd_verify, cmd_reindex, cmd_version, cmd_submitters, cmd_webhooks, cmd_hold, cmd_release,
	cmd_update, cmd_rm, cmd_schedules, cmd_completion, cmd_batches, cmd_diff, cmd_lineage, cmd_help;

/* NULL-terminated, in the order in which help shows them. */
extern const struct command *const commands[];

/* The error names the nearest one. */
const struct command *command_find(const char *name, struct error *err);

void command_help(const struct command *command, FILE *out);
void commands_help(FILE *out);
void commands_markdown(FILE *out);

#endif
