/* stoker cancel: at once when it waits, else through its runner. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/select.h"
#include "lib/fields.h"

struct cancel_options {
	struct select select;
	const char *reason;
};

static bool cancel_one(struct cli *cli, const char *id, const char *reason, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "/cancel", err);
	if (!path)
		return false;
	json_auto_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
	json_auto_t *answer = NULL;
	if (!client_post(cli, path, body, &answer, err))
		return false;
	const char *state = fields_text(answer, "state");
	if (cli->common.json)
		cli_print_json_line(answer);
	else if (strcmp(state, "running") == 0)
		printf("%s  stopping; it has its grace time to save\n", id);
	else
		printf("%s  %s\n", id, state);
	return true;
}

static bool cancel_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct cancel_options *o = options;
	if (!select_is_by_id(&o->select, words, err)) {
		json_auto_t *body = o->reason ? json_pack("{s:s}", "reason", o->reason) : json_object();
		const struct select_action action = { "cancel", "cancelled or asked to stop", body };
		return !err->kind && select_run(cli, &o->select, &action, err);
	}
	for (size_t i = 0; i < words->count; i++)
		if (!cancel_one(cli, words->items[i], o->reason, err))
			return false;
	return true;
}

static const struct arg_row cancel_rows[] = {
	{ "reason", 'm', ARG_TEXT, offsetof(struct cancel_options, reason), "TEXT", "kept in the job's history", 0 },
	SELECT_ROWS(cancel_options),
};

const struct command cmd_cancel = {
	.name = "cancel",
	.usage = "ID… | FILTER [--reason TEXT] [--dry-run]",
	.summary = "cancels jobs",
	.text = "A job that waits is cancelled at once. A running one is asked to stop: its program gets SIGTERM and "
		"the\n"
		"grace time of its spec, then SIGKILL. A filter finds jobs that have not ended: waiting, queued or "
		"running\n"
		"(--state held: those that are held).",
	.options = CLI_ROWS(cancel_rows),
	.options_size = sizeof(struct cancel_options),
	.words_max = CLI_ANY_WORDS,
	.run = cancel_run,
};
