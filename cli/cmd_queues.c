/* stoker queues: how full they are; and making one. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "lib/fields.h"

static bool queues_create(struct cli *cli, const char *name, struct error *err)
{
	json_auto_t *body = json_pack("{s:s}", "queue", name);
	json_auto_t *answer = NULL;
	if (!body)
		return error_set(err, ERR_INPUT, NULL, "a queue's name is [a-z0-9][a-z0-9-]{0,62}");
	if (!client_post(cli, "/api/v1/queues", body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		puts(name);
	return true;
}

static bool queues_list(struct cli *cli, struct error *err)
{
	static const char *const titles[] = { "QUEUE",     "WAITING", "QUEUED",    "RUNNING",
					      "SUCCEEDED", "FAILED",  "CANCELLED", "WORKERS" };
	static const char *const fields[] = { "waiting", "queued",    "running", "succeeded",
					      "failed",  "cancelled", "workers" };
	json_auto_t *answer = NULL;
	if (!client_get(cli, "/api/v1/queues", &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json(answer);
		return true;
	}
	CLEANUP(table) struct table table;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 4U << 20);
	table_init(&table, titles, ARRAY_LEN(titles));
	size_t i;
	json_t *queue;
	json_array_foreach(json_object_get(answer, "queues"), i, queue)
	{
		table_add(&table, fields_text(queue, "queue"));
		for (size_t k = 0; k < ARRAY_LEN(fields); k++) {
			char number[24];
			str_format(number, sizeof number, "%lld", (long long)fields_int(queue, fields[k], 0));
			table_add(&table, number);
		}
	}
	table_print(&table, cli->color, &text);
	cli_print(&text);
	return true;
}

static bool queues_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options;
	if (!words->count || (words->count == 1 && strcmp(words->items[0], "list") == 0))
		return queues_list(cli, err);
	if (words->count == 2 && strcmp(words->items[0], "create") == 0)
		return queues_create(cli, words->items[1], err);
	return error_set(err, ERR_INPUT, "stoker queues create gpu", "expected `queues` or `queues create NAME`");
}

const struct command cmd_queues = {
	.name = "queues",
	.usage = "[create NAME]",
	.summary = "lists the queues, or makes one",
	.words_max = 2,
	.run = queues_run,
};
