/* stoker workers: the machines, what they have and what they run. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

#define WORKERS_SILENT_MS 20000 /* four missed heartbeats */

struct workers_options {
	const char *queue;
};

/* "1/2": used of what there is. */
static void workers_share(struct table *table, const json_t *used, const json_t *capacity, const char *name)
{
	char text[64];
	str_format(text, sizeof text, "%lld/%lld", (long long)fields_int(used, name, 0),
		   (long long)fields_int(capacity, name, 0));
	table_add(table, text);
}

static void workers_row(struct table *table, const json_t *worker, int64_t now_ms)
{
	char text[64];
	json_auto_t *capacity = fields_json(worker, "capacity");
	json_auto_t *used = fields_json(worker, "used");
	json_auto_t *runs = fields_json(worker, "runs");
	int64_t silent_ms = now_ms - fields_int(worker, "seen_ms", now_ms);
	const char *state = fields_text(worker, "state");
	bool is_up = strcmp(state, "up") == 0;
	bool is_silent = is_up && silent_ms > WORKERS_SILENT_MS;
	table_add(table, fields_text(worker, "id"));
	table_paint(table, is_silent ? "silent" : state, is_silent ? PAINT_RED : is_up ? PAINT_GREEN : PAINT_DIM);
	workers_share(table, used, capacity, "cpus");
	workers_share(table, used, capacity, "gpus");
	text_size(fields_int(capacity, "memory", 0), text, sizeof text);
	table_add(table, text);
	str_format(text, sizeof text, "%zu", json_array_size(runs));
	table_add(table, json_is_array(runs) ? text : fields_text(worker, "runs"));
	text_age(silent_ms, text, sizeof text);
	table_add(table, text);
	table_add(table, fields_text(worker, "version"));
	table_add(table, fields_text(worker, "host"));
}

static bool workers_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)words;
	static const char *const titles[] = { "WORKER", "STATE", "CPUS",    "GPUS", "MEMORY",
					      "RUNS",   "SEEN",  "VERSION", "HOST" };
	const struct workers_options *o = options;
	CLEANUP(buf) struct buf path;
	CLEANUP(buf) struct buf text;
	buf_init(&path, 4096);
	buf_init(&text, 4U << 20);
	buf_str(&path, "/api/v1/workers");
	client_query(&path, "queue", o->queue);
	json_auto_t *answer = NULL;
	if (!client_get(cli, buf_text(&path), &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json(answer);
		return true;
	}
	const json_t *workers = json_object_get(answer, "workers");
	if (!json_array_size(workers)) {
		fprintf(stderr, "no worker has come yet%s%s\n  hint: stoker-worker --redis-url URL starts one\n",
			o->queue ? " to queue " : "", o->queue ? o->queue : "");
		return true;
	}
	CLEANUP(table) struct table table;
	table_init(&table, titles, ARRAY_LEN(titles));
	size_t i;
	json_t *worker;
	json_array_foreach(workers, i, worker) workers_row(&table, worker, clock_wall_ms());
	table_print(&table, cli->color, &text);
	cli_print(&text);
	return true;
}

static const struct arg_row workers_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct workers_options, queue), "QUEUE", "of one queue only", 0 },
};

const struct command cmd_workers = {
	.name = "workers",
	.usage = "[--queue QUEUE]",
	.summary = "lists the workers, what they have and what they run",
	.options = CLI_ROWS(workers_rows),
	.options_size = sizeof(struct workers_options),
	.run = workers_run,
};
