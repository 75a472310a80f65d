/* stoker batches: how far each is. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

struct batches_options {
	const char *queue;
	bool watch;
};

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

static void batches_row(struct table *table, const json_t *batch)
{
	static const char *const counts[] = { "waiting", "queued", "running", "succeeded", "failed", "cancelled" };
	char text[512];
	int64_t now_ms = clock_wall_ms();
	table_add(table, fields_text(batch, "id"));
	table_add(table, fields_text(batch, "queue"));
	text_age(now_ms - fields_int(batch, "created_ms", now_ms), text, sizeof text);
	table_add(table, text);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		table_add_int(table, fields_int(batch, counts[i], 0));
	batches_state(batch, text, sizeof text);
	table_add(table, text);
}

static bool batches_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	static const char *const titles[] = { "BATCH",   "QUEUE",     "AGE",    "WAITING",   "QUEUED",
					      "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "PROGRESS" };
	const struct batches_options *o = options;
	CLEANUP(buf) struct buf path;
	(void)words;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/batches");
	client_query(&path, "queue", o->queue);
	client_query(&path, "limit", "100");
	const struct listing listing = {
		.path = buf_text(&path),
		.member = "batches",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = batches_row,
		.empty = "no batches here\n  hint: batch: NAME in a spec, a graph (jobs: …) or a sweep makes one\n",
		.ages = LISTING_AGE(2),
		.watch = o->watch,
	};
	return listing_print(cli, &listing, NULL, err);
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
