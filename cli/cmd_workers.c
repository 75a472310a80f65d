/* stoker workers: the machines, what they have and what they run. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/size.h"

#define WORKERS_SILENT_MS 20000 /* four missed heartbeats */

struct workers_options {
	const char *queue;
	const char *reason;
	bool watch;
};

/* "1/2": used of what there is. */
static void workers_share(struct table *table, const json_t *used, const json_t *capacity, const char *name)
{
	char text[64];
	str_format(text, sizeof text, "%lld/%lld", (long long)fields_int(used, name, 0),
		   (long long)fields_int(capacity, name, 0));
	table_add(table, text);
}

static void workers_row(struct table *table, const json_t *worker)
{
	int64_t now_ms = clock_wall_ms();
	char text[64];
	json_auto_t *capacity = fields_json(worker, "capacity");
	json_auto_t *used = fields_json(worker, "used");
	json_auto_t *runs = fields_json(worker, "runs");
	int64_t silent_ms = now_ms - fields_int(worker, "seen_ms", now_ms);
	const char *state = fields_text(worker, "state");
	bool is_drained = fields_is(worker, "drain", "1"); /* by an operator: it may not have heard of it */
	if (is_drained && strcmp(state, "up") == 0)
		state = "draining";
	bool is_up = strcmp(state, "up") == 0;
	bool is_silent = is_up && silent_ms > WORKERS_SILENT_MS;
	table_add(table, fields_text(worker, "id"));
	table_paint(table, is_silent ? "silent" : state, is_silent ? PAINT_RED : is_up ? PAINT_GREEN : PAINT_DIM);
	workers_share(table, used, capacity, "cpus");
	workers_share(table, used, capacity, "gpus");
	size_human(fields_int(capacity, "memory", 0), text, sizeof text);
	table_add(table, text);
	str_format(text, sizeof text, "%zu", json_array_size(runs));
	table_add(table, json_is_array(runs) ? text : fields_text(worker, "runs"));
	text_age(silent_ms, text, sizeof text);
	table_add(table, text);
	table_add(table, fields_text(worker, "version"));
	table_add(table, fields_text(worker, "host"));
	const char *why = fields_text(worker, "why");
	table_paint(table, *why ? why : is_drained ? fields_text(worker, "drain_reason") : "", PAINT_DIM);
}

/* stoker workers drain ID, stoker workers resume ID */
static bool workers_tell(struct cli *cli, const struct workers_options *o, const struct arg_list *words,
			 struct error *err)
{
	const char *what = words->items[0], *id = words->count > 1 ? words->items[1] : "";
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	if (strcmp(what, "drain") != 0 && strcmp(what, "resume") != 0)
		return error_set(err, ERR_INPUT, "stoker workers drain ID, or stoker workers resume ID",
				 "workers: expected drain or resume, got \"%s\"", what);
	if (words->count < 2)
		return error_set(err, ERR_INPUT, "stoker workers lists them", "workers %s: name a worker", what);
	if (!*id || strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(id))
		return error_set(err, ERR_INPUT, "stoker workers lists them", "\"%s\" is no name of a worker", id);
	buf_printf(&path, "/api/v1/workers/%s/%s", id, what);
	client_query(&path, "queue", o->queue);
	json_auto_t *body = json_object();
	json_auto_t *answer = NULL;
	if (o->reason)
		json_object_set_new(body, "reason", json_string(o->reason));
	if (!client_post(cli, buf_text(&path), body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		printf("%s: %s\n", id, fields_text(answer, "state"));
	return true;
}

static bool workers_list(struct cli *cli, const struct workers_options *o, struct error *err)
{
	static const char *const titles[] = { "WORKER", "STATE", "CPUS",    "GPUS", "MEMORY",
					      "RUNS",   "SEEN",  "VERSION", "HOST", "WHY" };
	CLEANUP(buf) struct buf path;
	CLEANUP(buf) struct buf empty;
	buf_init(&path, 4096);
	buf_init(&empty, 4096);
	buf_str(&path, "/api/v1/workers");
	client_query(&path, "queue", o->queue);
	buf_printf(&empty, "no worker has come yet%s%s\n  hint: stoker-worker --redis-url URL starts one\n",
		   o->queue ? " to queue " : "", o->queue ? o->queue : "");
	const struct listing listing = {
		.path = buf_text(&path),
		.member = "workers",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = workers_row,
		.empty = buf_text(&empty),
		.ages = LISTING_AGE(6),
		.watch = o->watch,
	};
	return listing_print(cli, &listing, NULL, err);
}

static bool workers_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct workers_options *o = options;
	if (!words->count)
		return workers_list(cli, o, err);
	return o->watch ? listing_refuse_watch(err) : workers_tell(cli, o, words, err);
}

static const struct arg_row workers_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct workers_options, queue), "QUEUE", "of one queue only", 0 },
	{ "reason", 'r', ARG_TEXT, offsetof(struct workers_options, reason), "TEXT", "why it is drained", 0 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct workers_options, watch), NULL, "the list: go on, once a second", 0 },
};

const struct command cmd_workers = {
	.name = "workers",
	.usage = "[drain ID | resume ID] [--queue QUEUE] [--reason TEXT] [--watch]",
	.summary = "lists the workers, what they have and what they run; drains and resumes them",
	.text = "A worker that is drained claims no more, and what runs there may end. So does one that drains itself "
		"because\n"
		"several jobs in a row died soon after their start (its options breaker and breaker-time): WHY says "
		"so. "
		"resume\n"
		"lets either go on.",
	.options = CLI_ROWS(workers_rows),
	.options_size = sizeof(struct workers_options),
	.words_max = 2,
	.run = workers_run,
};
