#include "cli/submit_dry.h"

#include <string.h>
#include "cli/table.h"
#include "lib/fields.h"
#include "queue/graph.h"
#include "queue/sweep.h"

static void dry_command(const json_t *spec, struct buf *into)
{
	const json_t *command = json_object_get(spec, "command");
	size_t i;
	json_t *word;
	if (json_is_string(command))
		buf_str(into, json_string_value(command));
	json_array_foreach(command, i, word) buf_printf(into, "%s%s", i ? " " : "", json_string_value(word));
	if (!command)
		buf_str(into, fields_text(spec, "backend"));
}

/* labels: the parameters of each; NULL: of a graph, what it waits for is shown instead. */
static void dry_table(const struct cli *cli, char *const *specs, char *const *labels, size_t count)
{
	const char *titles[] = { "JOB", "NAME", labels ? "PARAMETERS" : "AFTER", "COMMAND" };
	CLEANUP(table) struct table table;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64U << 20);
	table_init(&table, titles, ARRAY_LEN(titles));
	for (size_t i = 0; i < count; i++) {
		char number[24];
		CLEANUP(buf) struct buf command;
		json_auto_t *spec = json_loads(specs[i], 0, NULL);
		CLEANUP(free_p) char *after = json_dumps(json_object_get(spec, "after"), JSON_COMPACT);
		buf_init(&command, 1U << 20);
		dry_command(spec, &command);
		str_format(number, sizeof number, "%zu", i + 1);
		table_add(&table, number);
		table_add(&table, fields_text(spec, "name"));
		table_add(&table, labels ? labels[i] : after ? after : "");
		table_add(&table, buf_text(&command));
	}
	table_print(&table, cli->color, &text);
	cli_print(&text);
	fflush(stdout);
	fprintf(stderr, "%zu job%s; nothing was submitted\n", count, count == 1 ? "" : "s");
}

static void dry_show(const struct cli *cli, char *const *specs, char *const *labels, size_t count)
{
	for (size_t i = 0; i < count && cli->common.json; i++)
		puts(specs[i]);
	if (!cli->common.json)
		dry_table(cli, specs, labels, count);
}

bool submit_dry_run(struct cli *cli, const char *text, struct error *err)
{
	CLEANUP(graph) struct graph graph = { 0 };
	CLEANUP(sweep) struct sweep sweep = { 0 };
	size_t len = strlen(text);
	if (sweep_is_one(text, len)) {
		if (!sweep_read(text, len, NULL, "sweep", &sweep, err))
			return false;
		dry_show(cli, sweep.specs, sweep.labels, sweep.count);
	} else if (graph_is_one(text, len)) {
		if (!graph_read(text, len, NULL, &graph, err))
			return false;
		dry_show(cli, graph.specs, NULL, graph.count);
	} else {
		char *one = (char *)text;
		dry_show(cli, &one, NULL, 1);
	}
	return true;
}
