/* stoker corrupt: an operator says that a run has gone bad. */
#include "cli/client.h"
#include "cli/commands.h"
#include "lib/fields.h"

struct corrupt_options {
	const char *reason;
	int64_t onset;
	int64_t attempt;
};

static bool corrupt_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct corrupt_options *o = options;
	const char *id = words->items[0];
	CLEANUP(free_p) char *path = client_job_path(id, "/corrupt", err);
	if (!path)
		return false;
	json_auto_t *body = json_object();
	if (o->reason)
		json_object_set_new(body, "reason", json_string(o->reason));
	if (o->onset)
		json_object_set_new(body, "onset", json_integer(o->onset));
	if (o->attempt)
		json_object_set_new(body, "attempt", json_integer(o->attempt));
	json_auto_t *answer = NULL;
	if (!client_post(cli, path, body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		printf("%s  %s; its next attempt resumes from before the corruption\n", id,
		       fields_text(answer, "state"));
	return true;
}

static const struct arg_row corrupt_rows[] = {
	{ "reason", 'm', ARG_TEXT, offsetof(struct corrupt_options, reason), "TEXT", "kept in the job's history", 0 },
	{ "onset", 0, ARG_INT, offsetof(struct corrupt_options, onset), "STEP",
	  "the first bad step: checkpoints at or past it are not used (default: not known, the last one is used)", 1 },
	{ "attempt", 0, ARG_INT, offsetof(struct corrupt_options, attempt), "N",
	  "which attempt (default: the last one)", 1 },
};

const struct command cmd_corrupt = {
	.name = "corrupt",
	.usage = "ID [--reason TEXT] [--onset STEP]",
	.summary = "flags a run as corrupted",
	.text = "A running attempt is stopped; the recovery policy of the spec decides about the next one, which "
		"resumes from\n"
		"the newest checkpoint before the onset. Checkpoints at or past it are quarantined.",
	.options = CLI_ROWS(corrupt_rows),
	.options_size = sizeof(struct corrupt_options),
	.words_min = 1,
	.words_max = 1,
	.run = corrupt_run,
};
