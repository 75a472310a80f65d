/* stoker lineage: where the code of a job comes from, and what each attempt found on its machine. */
#include <inttypes.h>
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/lineage.h"
#include "cli/text.h"
#include "lib/fields.h"
#include "lib/size.h"

struct lineage_options {
	bool patch;
};

static void lineage_print(struct buf *into, const char *label, const char *text)
{
	buf_printf(into, "  %-14s", label);
	text_clean(into, text);
	buf_byte(into, '\n');
}

/* Its size, as far as the store still has it. */
static void lineage_code(struct cli *cli, const char *code, struct buf *into)
{
	json_auto_t *stored = NULL;
	struct error err;
	char size[32];
	CLEANUP(free_p) char *path = mem_printf("/api/v1/code/%s?summary=1", code);
	if (client_get(cli, path, &stored, &err)) {
		size_human(fields_int(stored, "size", 0), size, sizeof size);
		CLEANUP(free_p)
		char *text = mem_printf("%s (%" PRId64 " files, %s)", code, fields_int(stored, "files", 0), size);
		lineage_print(into, "code", text);
	} else {
		CLEANUP(free_p) char *text = mem_printf("%s (%s)", code, err.message);
		lineage_print(into, "code", text);
	}
}

static void lineage_facts(const json_t *facts, struct buf *into)
{
	const char *name;
	json_t *value;
	json_object_foreach((json_t *)facts, name, value)
	{
		if (json_is_string(value) && strcmp(name, "git_diff") != 0)
			lineage_print(into, name, json_string_value(value));
	}
}

/* In their order: a hash of Redis has none. */
static void lineage_attempts(const json_t *shown, struct buf *into)
{
	int64_t last = fields_int(json_object_get(shown, "job"), "attempt", 0);
	json_auto_t *lineage = fields_json(shown, "lineage");
	for (int64_t attempt = 1; attempt <= last; attempt++) {
		char name[24];
		str_format(name, sizeof name, "%" PRId64, attempt);
		const json_t *facts = json_object_get(lineage, name);
		if (!facts)
			continue;
		buf_printf(into, "attempt %s\n", name);
		lineage_facts(facts, into);
	}
}

static bool lineage_patch(struct cli *cli, const char *id, const json_t *spec, struct error *err)
{
	const json_t *facts = json_object_get(spec, "lineage");
	json_auto_t *file = NULL;
	if (!*fields_text(facts, "git_diff"))
		return error_set(err, ERR_NOT_FOUND, NULL, "%s was submitted %s", id,
				 *fields_text(facts, "git_commit") ? "without uncommitted changes to known files"
								   : "from outside of a git repository");
	CLEANUP(free_p) char *path = mem_printf("/api/v1/code/%s?file=changes.diff", fields_text(facts, "git_diff"));
	if (!client_get(cli, path, &file, err))
		return false;
	fputs(fields_text(file, "text"), stdout);
	return true;
}

static bool lineage_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct lineage_options *o = options;
	const char *id = words->items[0];
	json_auto_t *shown = NULL;
	CLEANUP(free_p) char *path = client_job_path(id, "", err);
	if (!path || !client_get(cli, path, &shown, err))
		return false;
	json_auto_t *spec = fields_json(shown, "spec");
	if (o->patch)
		return lineage_patch(cli, id, spec, err);
	if (cli->common.json) {
		json_auto_t *all = json_pack("{s:s, s:O*, s:O*, s:O*}", "id", id, "code", json_object_get(spec, "code"),
					     "submitted", json_object_get(spec, "lineage"), "attempts",
					     json_object_get(shown, "lineage"));
		cli_print_json(all);
		return true;
	}
	if (!*fields_text(spec, "code") && !json_object_get(spec, "lineage"))
		return error_set(err, ERR_NOT_FOUND,
				 "a relative workdir in its spec file is packed, and then it is known",
				 "%s was not submitted with code", id);
	CLEANUP(buf) struct buf text;
	buf_init(&text, 1U << 20);
	buf_printf(&text, "%s\n", id);
	if (*fields_text(spec, "code"))
		lineage_code(cli, fields_text(spec, "code"), &text);
	lineage_facts(json_object_get(spec, "lineage"), &text);
	lineage_attempts(shown, &text);
	cli_print(&text);
	return true;
}

static const struct arg_row lineage_rows[] = {
	{ "patch", 'p', ARG_FLAG, offsetof(struct lineage_options, patch), NULL,
	  "print the changes that were not committed when it was submitted", 0 },
};

const struct command cmd_lineage = {
	.name = "lineage",
	.usage = "ID [--patch]",
	.summary = "shows where the code of a job comes from, and what its attempts ran on",
	.options = CLI_ROWS(lineage_rows),
	.options_size = sizeof(struct lineage_options),
	.words_min = 1,
	.words_max = 1,
	.run = lineage_run,
};
