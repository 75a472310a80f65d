/* stoker rm: jobs that have ended leave Redis. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/select.h"

struct rm_options {
	struct select select;
};

static bool rm_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct rm_options *o = options;
	const struct select_action action = { "remove", "removed", NULL };
	if (select_is_by_id(&o->select, words, err))
		return select_ids(cli, words, "/remove", NULL, err);
	return !err->kind && select_run(cli, &o->select, &action, err);
}

static const struct arg_row rm_rows[] = { SELECT_ROWS(rm_options) };

const struct command cmd_rm = {
	.name = "rm",
	.usage = "ID… | FILTER [--dry-run]",
	.summary = "removes jobs that have ended",
	.text = "The job, its spec, log, metrics, history and the records of its checkpoints are gone from Redis; "
		"there "
		"is no\n"
		"way back. The checkpoints themselves stay in the store: a retry may still need them. Only jobs that "
		"succeeded,\n"
		"failed or were cancelled: cancel the others first.",
	.options = CLI_ROWS(rm_rows),
	.options_size = sizeof(struct rm_options),
	.words_max = CLI_ANY_WORDS,
	.run = rm_run,
};
