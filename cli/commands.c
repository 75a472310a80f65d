/* See the header. */
#include "cli/commands.h"

#include <string.h>
#include "cli/text.h"
#include "lib/nearest.h"

const struct command *const commands[] = {
	&cmd_up,        &cmd_submit,  &cmd_ls,       &cmd_show,    &cmd_logs,       &cmd_metrics,    &cmd_checkpoints,
	&cmd_result,    &cmd_lineage, &cmd_diff,     &cmd_cancel,  &cmd_retry,      &cmd_hold,       &cmd_release,
	&cmd_update,    &cmd_rm,      &cmd_corrupt,  &cmd_workers, &cmd_queues,     &cmd_submitters, &cmd_webhooks,
	&cmd_schedules, &cmd_batches, &cmd_download, &cmd_gc,      &cmd_verify,     &cmd_reindex,    &cmd_events,
	&cmd_doctor,    &cmd_fsck,    &cmd_config,   &cmd_version, &cmd_completion, &cmd_help,       NULL,
};

const struct command *command_find(const char *name, struct error *err)
{
	struct nearest best = { .name = name };
	for (size_t i = 0; commands[i]; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
		nearest_offer(&best, commands[i]->name);
	}
	char hint[128] = "stoker help lists the commands";
	if (best.best)
		str_format(hint, sizeof hint, "did you mean stoker %s?", best.best);
	error_set(err, ERR_INPUT, hint, "there is no command \"%s\"", name);
	return NULL;
}

static void command_synopsis(const struct command *command, FILE *out)
{
	fprintf(out, "stoker %s%s%s", command->name, *command->usage ? " " : "", command->usage);
}

/* "-f, --follow" or "    --set KEY=VALUE" */
static void command_option_name(const struct arg_row *row, char *into, size_t size)
{
	char letter[8] = "    ";
	if (row->letter)
		str_format(letter, sizeof letter, "-%c, ", row->letter);
	str_format(into, size, "%s--%s%s%s", letter, row->name, row->value ? " " : "", row->value ? row->value : "");
}

static void command_options_help(const struct arg_table *options, FILE *out)
{
	for (size_t i = 0; i < options->count; i++) {
		char name[64];
		command_option_name(&options->rows[i], name, sizeof name);
		fprintf(out, "  %-28s%s\n", name, options->rows[i].help);
	}
}

void command_help(const struct command *command, FILE *out)
{
	fprintf(out, "%s\n\n  ", command->summary);
	command_synopsis(command, out);
	fprintf(out, "\n\n");
	if (command->text)
		fprintf(out, "%s\n\n", command->text);
	command_options_help(&command->options, out);
	command_options_help(&cli_common_options, out);
}

void commands_help(FILE *out)
{
	fprintf(out, "stoker %s: %s\n\n  %s\n\n", STOKER_VERSION, cli_options.summary, cli_options.usage);
	for (size_t i = 0; commands[i]; i++)
		fprintf(out, "  %-13s%s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\nOptions of every command (each also as STOKER_…, or in the file that --config names):\n");
	for (size_t i = 0; i < cli_options.count; i++)
		fprintf(out, "  --%-11s%s\n", cli_options.rows[i].name, cli_options.rows[i].help);
	fprintf(out, "\nstoker help COMMAND explains one. Exit codes are in docs/cli.md.\n");
}

static void command_markdown(const struct command *command, FILE *out)
{
	fprintf(out, "## stoker %s\n\n%c%s.\n\n```\n", command->name,
		command->summary[0] >= 'a' ? command->summary[0] - 'a' + 'A' : command->summary[0],
		command->summary + 1);
	command_synopsis(command, out);
	fprintf(out, "\n```\n\n");
	if (command->text)
		fprintf(out, "%s\n\n", command->text);
	if (!command->options.count)
		return;
	fprintf(out, "| option | meaning |\n|---|---|\n");
	for (size_t i = 0; i < command->options.count; i++) {
		char name[64];
		command_option_name(&command->options.rows[i], name, sizeof name);
		fprintf(out, "| `%s` | %s |\n", name + strspn(name, " "), command->options.rows[i].help);
	}
	fprintf(out, "\n");
}

static void commands_exit_codes(FILE *out)
{
	fprintf(out,
		"## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | it worked; with `--wait`, `--follow` or `logs "
		"-f`: the job succeeded |\n");
	for (int code = 1; code < EXIT_JOB_FAILED; code++)
		for (int kind = ERR_NONE + 1; kind < ERR_KINDS; kind++) {
			const struct error_kind_row *row = error_kind_of((enum error_kind)kind);
			if (row->exit_code == code)
				fprintf(out, "| %d | %s: %s |\n", code, row->name, row->help);
		}
	fprintf(out, "| %d | the job that was waited for failed |\n", EXIT_JOB_FAILED);
	fprintf(out, "| %d | the job that was waited for was cancelled |\n", EXIT_JOB_CANCELLED);
	fprintf(out, "| %d | `stoker doctor` found something |\n", EXIT_CHECK_FAILED);
	fprintf(out, "| %d | interrupted (Ctrl-C) |\n", EXIT_INTERRUPTED);
}

void commands_markdown(FILE *out)
{
	fprintf(out,
		"# The stoker command\n\nPrinted by `stoker help --markdown`; do not edit.\n\n"
		"It talks HTTP to a scheduler ([http.md](http.md)), never to Redis. Data goes to stdout, the rest to\n"
		"stderr; `--json` prints JSON for programs. Colour only on a terminal, and not with `NO_COLOR`.\n\n"
		"## Options of every command\n\n"
		"A flag wins over the environment, that over the file that `--config` names.\n\n"
		"| option | environment | meaning |\n|---|---|---|\n");
	for (size_t i = 0; i < cli_options.count; i++) {
		char name[64] = "STOKER_";
		for (const char *p = cli_options.rows[i].name; *p; p++) {
			size_t len = strlen(name);
			name[len] = *p == '-' ? '_' : (char)(*p - 'a' + 'A');
			name[len + 1] = '\0';
		}
		fprintf(out, "| `--%s` | `%s` | %s |\n", cli_options.rows[i].name, name, cli_options.rows[i].help);
	}
	fprintf(out, "| `--json` | | print JSON for programs |\n| `-h`, `--help` | | explain the command |\n\n");
	for (size_t i = 0; commands[i]; i++)
		command_markdown(commands[i], out);
	commands_exit_codes(out);
}
