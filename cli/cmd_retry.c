/* stoker retry: a waiting job now, a failed or cancelled one as a new job. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/select.h"
#include "lib/fields.h"

struct retry_options {
	struct select select;
	int64_t attempt;
	const char *resume_from;
};

static bool retry_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct retry_options *o = options;
	const struct select_action action = { "retry", "retried", NULL };
	if (!select_is_by_id(&o->select, words, err))
		return !err->kind && select_run(cli, &o->select, &action, err);
	const char *id = words->items[0];
	CLEANUP(free_p) char *path = client_job_path(id, "/retry", err);
	if (!path)
		return false;
	json_auto_t *body = json_object();
	if (o->attempt)
		json_object_set_new(body, "attempt", json_integer(o->attempt));
	if (o->resume_from)
		json_object_set_new(body, "resume", json_string(o->resume_from));
	json_auto_t *answer = NULL;
	if (!client_post(cli, path, body, &answer, err))
		return false;
	const char *again = fields_text(answer, "id");
	if (cli->common.json)
		cli_print_json(answer);
	else
		puts(again);
	if (!cli->common.json && strcmp(again, id) != 0)
		fprintf(stderr, "  hint: a new job, which starts from %s%s; stoker logs %s -f\n",
			o->resume_from && strcmp(o->resume_from, "none") != 0 ? "checkpoint " : "",
			!o->resume_from                       ? "the last good checkpoint if there is one"
			: strcmp(o->resume_from, "none") == 0 ? "the beginning"
							      : o->resume_from,
			again);
	return true;
}

static const struct arg_row retry_rows[] = {
	{ "attempt", 0, ARG_INT, offsetof(struct retry_options, attempt), "N", "only if this is still its last attempt",
	  1 },
	{ "resume-from", 'r', ARG_TEXT, offsetof(struct retry_options, resume_from), "WHICH",
	  "from this checkpoint: latest, best, a step, an id like 2-1, or none", 0 },
	SELECT_ROWS(retry_options),
};

const struct command cmd_retry = {
	.name = "retry",
	.usage = "ID | FILTER [--dry-run]",
	.summary = "runs a job again",
	.text = "A job that waits for its next attempt is queued now. One that failed or was cancelled becomes a new "
		"job with\n"
		"the same spec, which starts from its last good checkpoint; its id is printed. A filter finds failed "
		"and "
		"cancelled jobs.",
	.options = CLI_ROWS(retry_rows),
	.options_size = sizeof(struct retry_options),
	.words_max = 1,
	.run = retry_run,
};
