/* stoker hold and stoker release: a job that has not begun is kept from it, and let go. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/select.h"

struct hold_options {
	struct select select;
	const char *reason;
};

static bool hold_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct hold_options *o = options;
	json_auto_t *body = o->reason ? json_pack("{s:s}", "reason", o->reason) : json_object();
	const struct select_action action = { "hold", "held", body };
	if (select_is_by_id(&o->select, words, err))
		return select_ids(cli, words, "/hold", body, err);
	return !err->kind && select_run(cli, &o->select, &action, err);
}

static bool release_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct hold_options *o = options;
	const struct select_action action = { "release", "released", NULL };
	if (select_is_by_id(&o->select, words, err))
		return select_ids(cli, words, "/release", NULL, err);
	return !err->kind && select_run(cli, &o->select, &action, err);
}

static const struct arg_row hold_rows[] = {
	{ "reason", 'm', ARG_TEXT, offsetof(struct hold_options, reason), "TEXT", "shown as long as it is held", 0 },
	SELECT_ROWS(hold_options),
};

static const struct arg_row release_rows[] = { SELECT_ROWS(hold_options) };

const struct command cmd_hold = {
	.name = "hold",
	.usage = "ID… | FILTER [--reason TEXT]",
	.summary = "keeps jobs from starting",
	.text = "A waiting or queued job is held until it is released; so is one whose spec says hold: true.",
	.options = CLI_ROWS(hold_rows),
	.options_size = sizeof(struct hold_options),
	.words_max = CLI_ANY_WORDS,
	.run = hold_run,
};

const struct command cmd_release = {
	.name = "release",
	.usage = "ID… | FILTER",
	.summary = "lets held jobs go on",
	.text = "A job that was waiting for its time when it was held waits on for the same time. A filter finds held "
		"jobs\n"
		"only; --state held is all of them.",
	.options = CLI_ROWS(release_rows),
	.options_size = sizeof(struct hold_options),
	.words_max = CLI_ANY_WORDS,
	.run = release_run,
};
