/* stoker result: what a job left, as its program wrote it. */
#include "cli/client.h"
#include "cli/commands.h"

static bool result_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options;
	CLEANUP(buf) struct buf text;
	CLEANUP(free_p) char *path = client_job_path(words->items[0], "/result", err);
	buf_init(&text, 1024 * 1024);
	if (!path || !client_get_text(cli, path, &text, err))
		return false;
	cli_print(&text);
	return true;
}

const struct command cmd_result = {
	.name = "result",
	.usage = "ID",
	.summary = "prints the result of a job that succeeded: JSON, as its program wrote it",
	.words_min = 1,
	.words_max = 1,
	.run = result_run,
};
