/* stoker batches: how far each is. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "lib/clock.h"
#include "lib/fields.h"

struct batches_options {
	const char *queue;
	bool watch;
};

static bool batches_fetch(struct cli *cli, const struct batches_options *options, json_t **answer, struct error *err)
{
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/batches");
	client_query(&path, "queue", options->queue);
	client_query(&path, "limit", "100");
	return client_get(cli, buf_text(&path), answer, err);
}

static int64_t batches_ended(const json_t *batch)
{
	return fields_int(batch, "succeeded", 0) + fields_int(batch, "failed", 0) + fields_int(batch, "cancelled", 0);
}

/* "done in 2 min 51 s, then gpu-42", "41 of 60" */
static void batches_state(const json_t *batch, char *into, size_t size)
{
	int64_t total = fields_int(batch, "total", 0), expected = fields_int(batch, "size", 0);
	int64_t took = fields_int(batch, "done_ms", 0) - fields_int(batch, "created_ms", 0);
	const char *then = fields_text(batch, "then_job"), *failed = fields_text(batch, "then_error");
	char span[32];
	if (!fields_int(batch, "done_ms", 0)) {
		str_format(into, size, "%lld of %lld", (long long)batches_ended(batch),
			   (long long)(expected > total ? expected : total));
		return;
	}
	clock_human(took > 0 ? took : 0, span, sizeof span);
	str_format(into, size, "done in %s%s%s%s%s", span, *then ? ", then " : "", then,
		   *failed ? ", then refused: " : "", failed);
}

static bool batches_frame(struct cli *cli, void *arg, struct watch_frame *frame, struct error *err)
{
	static const char *const titles[] = { "BATCH",   "QUEUE",     "AGE",    "WAITING",   "QUEUED",
					      "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "PROGRESS" };
	static const char *const counts[] = { "waiting", "queued", "running", "succeeded", "failed", "cancelled" };
	json_auto_t *answer = NULL;
	if (!batches_fetch(cli, arg, &answer, err))
		return false;
	CLEANUP(table) struct table table;
	table_init(&table, titles, ARRAY_LEN(titles));
	int64_t now_ms = clock_wall_ms();
	size_t i;
	json_t *batch;
	json_array_foreach(json_object_get(answer, "batches"), i, batch)
	{
		char text[512];
		table_add(&table, fields_text(batch, "id"));
		table_add(&table, fields_text(batch, "queue"));
		text_age(now_ms - fields_int(batch, "created_ms", now_ms), text, sizeof text);
		table_add(&table, text);
		for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
			str_format(text, sizeof text, "%lld", (long long)fields_int(batch, counts[k], 0));
			table_add(&table, text);
			buf_printf(&frame->mark, "%s ", text);
		}
		batches_state(batch, text, sizeof text);
		table_add(&table, text);
	}
	if (table.count)
		table_print(&table, cli->color, &frame->text);
	else
		fprintf(stderr,
			"no batches here\n  hint: batch: NAME in a spec, a graph (jobs: …) or a sweep makes one\n");
	return true;
}

static bool batches_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)words;
	const struct batches_options *o = options;
	if (!cli->common.json)
		return o->watch ? watch_run(cli, batches_frame, (void *)o, err)
				: watch_once(cli, batches_frame, (void *)o, err);
	json_auto_t *answer = NULL;
	if (!batches_fetch(cli, o, &answer, err))
		return false;
	cli_print_json(answer);
	return true;
}

static const struct arg_row batches_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct batches_options, queue), "QUEUE", "of one queue only", 0 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct batches_options, watch), NULL, "go on, once a second", 0 },
};

const struct command cmd_batches = {
	.name = "batches",
	.usage = "[--queue QUEUE] [--watch]",
	.summary = "lists batches, newest first, and how far they are",
	.text = "A batch is the jobs that name it (batch: NAME in the spec), those of a graph, or those of a sweep.\n"
		"stoker ls --batch BATCH lists its jobs.",
	.options = CLI_ROWS(batches_rows),
	.options_size = sizeof(struct batches_options),
	.run = batches_run,
};
