/* stoker config show: the settings in force and where each comes from. */
#include <string.h>
#include <unistd.h>
#include "cli/commands.h"
#include "cli/programs.h"

struct config_options {
	bool origin;
};

/* A daemon knows its own options: it is asked, with this environment. */
static bool config_of_program(const char *name, const char *how, struct error *err)
{
	CLEANUP(free_p)
	char *full = strncmp(name, "stoker-", 7) == 0 ? mem_strdup(name) : mem_printf("stoker-%s", name);
	if (strcmp(full, "stoker-scheduler") != 0 && strcmp(full, "stoker-worker") != 0)
		return error_set(err, ERR_INPUT, "scheduler and worker have settings, too",
				 "there is no program \"%s\"", name);
	CLEANUP(free_p) char *path = program_path(full);
	char flag[32];
	str_format(flag, sizeof flag, "--print-config%s", how);
	char *argv[] = { full, flag, NULL };
	fflush(stdout);
	execvp(path, argv);
	return error_errno(err, ERR_SYSTEM, "install it beside stoker, or in PATH", "cannot start %s", full);
}

static bool config_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct config_options *o = options;
	if (strcmp(words->items[0], "show") != 0)
		return error_set(err, ERR_INPUT, "stoker config show --origin", "there is no `config %s`",
				 words->items[0]);
	if (words->count == 2 && strcmp(words->items[1], "stoker") != 0)
		return config_of_program(words->items[1], cli->common.json ? "=json" : o->origin ? "=origin" : "", err);
	if (cli->common.json)
		config_print_json(&cli_options, &cli->config, cli->origins, stdout);
	else
		config_print_values(&cli_options, &cli->config, o->origin ? cli->origins : NULL, stdout);
	return true;
}

static const struct arg_row config_rows[] = {
	{ "origin", 'o', ARG_FLAG, offsetof(struct config_options, origin), NULL,
	  "say where each value comes from: flag, environment, file or default", 0 },
};

const struct command cmd_config = {
	.name = "config",
	.usage = "show [--origin] [scheduler | worker]",
	.summary = "prints the settings in force: of this command, or of a daemon started here",
	.options = CLI_ROWS(config_rows),
	.options_size = sizeof(struct config_options),
	.words_min = 1,
	.words_max = 2,
	.run = config_run,
};
