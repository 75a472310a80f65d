/* stoker update: changes jobs that do not run yet. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/select.h"
#include "cli/set.h"

struct update_options {
	struct select select;
	struct arg_list sets;
	const char *priority;
	const char *delay;
	const char *timeout;
};

static bool update_set(json_t *changes, const char *key, const char *value, struct error *err)
{
	CLEANUP(free_p) char *assignment = value ? mem_printf("%s=%s", key, value) : NULL;
	return !value || set_apply(changes, assignment, err);
}

static bool update_changes(const struct update_options *o, json_t *changes, struct error *err)
{
	for (size_t i = 0; i < o->sets.count; i++)
		if (!set_apply(changes, o->sets.items[i], err))
			return false;
	if (!update_set(changes, "priority", o->priority, err) || !update_set(changes, "delay", o->delay, err) ||
	    !update_set(changes, "timeout", o->timeout, err))
		return false;
	return json_object_size(changes) > 0 ||
	       error_set(err, ERR_INPUT, "stoker update gpu-42 --priority 9", "it is not said what to change");
}

static bool update_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct update_options *o = options;
	json_auto_t *changes = json_object();
	bool is_by_id = select_is_by_id(&o->select, words, err);
	if ((!is_by_id && err->kind) || !update_changes(o, changes, err))
		return false;
	if (is_by_id)
		return select_ids(cli, words, "/update", changes, err);
	json_auto_t *body = json_pack("{s:O}", "changes", changes);
	const struct select_action action = { "update", "updated", body };
	return select_run(cli, &o->select, &action, err);
}

static const struct arg_row update_rows[] = {
	{ "priority", 'p', ARG_TEXT, offsetof(struct update_options, priority), "N", "0 to 9; 9 goes first", 0 },
	{ "delay", 0, ARG_TEXT, offsetof(struct update_options, delay), "TIME",
	  "do not start before this has passed from now; 0: at once", 0 },
	{ "timeout", 0, ARG_TEXT, offsetof(struct update_options, timeout), "TIME", "of an attempt", 0 },
	{ "set", 's', ARG_LIST, offsetof(struct update_options, sets), "KEY=VALUE",
	  "change one key of the spec: retry.max_attempts=5; null is the default; may be given several times", 0 },
	SELECT_ROWS(update_options),
};

const struct command cmd_update = {
	.name = "update",
	.usage = "ID… | FILTER [--priority N] [--delay TIME] [--set KEY=VALUE]",
	.summary = "changes jobs that do not run yet",
	.text = "What they run cannot be changed, but the rest of their spec: name, experiment, tags, priority, delay, "
		"the\n"
		"timeouts, grace, lease, on_partition, and the sections resources, retry, recovery, checkpoint, "
		"metrics. "
		"The spec\n"
		"that comes of it is checked as a whole before anything is changed.",
	.options = CLI_ROWS(update_rows),
	.options_size = sizeof(struct update_options),
	.words_max = CLI_ANY_WORDS,
	.run = update_run,
};
