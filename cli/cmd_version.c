/* stoker version: that of this program; asks nobody. */
#include "cli/commands.h"

static bool version_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options, (void)words, (void)err;
	printf(cli->common.json ? "{\"version\":\"%s\"}\n" : "stoker %s\n", STOKER_VERSION);
	return true;
}

const struct command cmd_version = {
	.name = "version",
	.usage = "",
	.summary = "prints the version of this program",
	.run = version_run,
};
