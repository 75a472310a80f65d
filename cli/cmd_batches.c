/* stoker batches: how far each is; and making one before its jobs. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/spec_file.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

struct batches_options {
	const char *queue;
	const char *webhook;
	const char *then;
	int64_t size;
	bool watch;
};

/* The words of a spec file; what is wrong with it as a `then` is the server's to say. */
static bool batches_read_then(const char *path, json_t *body, struct error *err)
{
	static const struct arg_list none;
	CLEANUP(free_p) char *text = NULL;
	if (!spec_file_load(path, &none, NULL, &text, err))
		return false;
	json_object_set_new(body, "then", json_loads(text, 0, NULL));
	return true;
}

static bool batches_set(struct cli *cli, const struct batches_options *o, const char *name, struct error *err)
{
	json_auto_t *answer = NULL;
	json_auto_t *body = json_pack("{s:s, s:s*}", "batch", name, "queue", o->queue);
	if (!body)
		return error_set(err, ERR_INPUT, NULL, "a batch's name is letters, digits, . _ -");
	if (o->size)
		json_object_set_new(body, "size", json_integer(o->size));
	if (o->webhook)
		json_object_set_new(body, "webhook", json_pack("{s:s}", "url", o->webhook));
	if ((o->then && !batches_read_then(o->then, body, err)) ||
	    !client_post(cli, "/api/v1/batches", body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		puts(name);
	return true;
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

static bool batches_list(struct cli *cli, const struct batches_options *o, struct error *err)
{
	static const char *const titles[] = { "BATCH",   "QUEUE",     "AGE",    "WAITING",   "QUEUED",
					      "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "PROGRESS" };
	CLEANUP(buf) struct buf path;
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

static bool batches_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct batches_options *o = options;
	bool is_set = words->count == 2 && strcmp(words->items[0], "set") == 0;
	bool has_settings = o->size || o->webhook || o->then;
	if (words->count && !is_set)
		return error_set(err, ERR_INPUT, "stoker batches set nightly --size 60",
				 "expected `batches`, or `batches` with set and a NAME");
	if (has_settings && !is_set)
		return error_set(err, ERR_INPUT, NULL, "--size, --then and --webhook are for `batches set NAME`");
	if (is_set)
		return o->watch ? listing_refuse_watch(err) : batches_set(cli, o, words->items[1], err);
	return batches_list(cli, o, err);
}

static const struct arg_row batches_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct batches_options, queue), "QUEUE",
	  "of one queue only; set: of this queue (default)", 0 },
	{ "size", 0, ARG_INT, offsetof(struct batches_options, size), "N",
	  "set: so many jobs there will be; before that it is not done", 1 },
	{ "then", 0, ARG_TEXT, offsetof(struct batches_options, then), "FILE",
	  "set: the spec of a job that is submitted when it is done", 0 },
	{ "webhook", 0, ARG_TEXT, offsetof(struct batches_options, webhook), "URL", "set: who is told when it is done",
	  0 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct batches_options, watch), NULL, "go on, once a second", 0 },
};

const struct command cmd_batches = {
	.name = "batches",
	.usage = "[set NAME [--size N] [--then FILE] [--webhook URL]]",
	.summary = "lists batches, newest first, and how far they are; makes one before its jobs",
	.text = "A batch is the jobs that name it (batch: NAME in the spec), those of a graph, or those of a sweep.\n"
		"stoker ls --batch BATCH lists its jobs.",
	.options = CLI_ROWS(batches_rows),
	.options_size = sizeof(struct batches_options),
	.words_max = 2,
	.run = batches_run,
};
