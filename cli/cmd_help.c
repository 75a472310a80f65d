/* stoker help: from the same declarations that dispatch uses. */
#include "cli/commands.h"

struct help_options {
	bool markdown;
};

static bool help_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)cli;
	const struct help_options *o = options;
	if (o->markdown) {
		commands_markdown(stdout);
		return true;
	}
	if (!words->count) {
		commands_help(stdout);
		return true;
	}
	const struct command *command = command_find(words->items[0], err);
	if (command)
		command_help(command, stdout);
	return command != NULL;
}

static const struct arg_row help_rows[] = {
	{ "markdown", 0, ARG_FLAG, offsetof(struct help_options, markdown), NULL, "print docs/cli.md", 0 },
};

const struct command cmd_help = {
	.name = "help",
	.usage = "[COMMAND]",
	.summary = "explains a command, or lists them all",
	.options = CLI_ROWS(help_rows),
	.options_size = sizeof(struct help_options),
	.words_max = 1,
	.run = help_run,
};
