/* stoker queues: how full they are; and making one. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/goodput.h"
#include "cli/listing.h"
#include "cli/queue_limits.h"
#include "cli/text.h"
#include "lib/fields.h"

struct queues_options {
	const char *reason;
	struct queue_limits_options limits;
	bool watch;
};

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

/* "paused by ada 5m ago: new disks"; "" when it is open. */
static void queues_paused(const json_t *paused, int64_t now_ms, char *into, size_t size)
{
	char ago[32];
	const char *by = fields_text(paused, "by"), *reason = fields_text(paused, "reason");
	into[0] = '\0';
	if (!paused)
		return;
	text_age(now_ms - fields_int(paused, "since_ms", now_ms), ago, sizeof ago);
	str_format(into, size, "%s%s%s %s ago%s%s", fields_text(paused, "state"), *by ? " by " : "", by, ago,
		   *reason ? ": " : "", reason);
}

static void queues_row(struct table *table, const json_t *queue)
{
	static const char *const fields[] = { "waiting", "queued",    "running", "succeeded",
					      "failed",  "cancelled", "workers" };
	char paused[1024], limits[128], share[32];
	table_add(table, fields_text(queue, "queue"));
	for (size_t k = 0; k < ARRAY_LEN(fields); k++)
		table_add_int(table, fields_int(queue, fields[k], 0));
	goodput_share(json_object_get(queue, "goodput"), share, sizeof share);
	table_add(table, share);
	queue_limits_text(queue, limits, sizeof limits);
	table_add(table, limits);
	queues_paused(json_object_get(queue, "paused"), fields_int(queue, "now_ms", 0), paused, sizeof paused);
	table_add(table, paused);
}

static bool queues_list(struct cli *cli, bool is_watched, struct error *err)
{
	static const char *const titles[] = { "QUEUE",     "WAITING", "QUEUED",     "RUNNING", "SUCCEEDED", "FAILED",
					      "CANCELLED", "WORKERS", "PRODUCTIVE", "LIMITS",  "" };
	const struct listing listing = {
		.path = "/api/v1/queues",
		.member = "queues",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = queues_row,
		.ages = LISTING_AGE(8) | LISTING_AGE(10),
		.watch = is_watched,
	};
	json_auto_t *answer = NULL;
	CLEANUP(buf) struct buf line;
	buf_init(&line, 512);
	if (!listing_print(cli, &listing, &answer, err))
		return false;
	if (json_array_size(json_object_get(answer, "queues")) > 1 && !cli->common.json)
		goodput_line(json_object_get(answer, "goodput"), &line);
	if (line.len)
		printf("\nall together: %s\n", buf_text(&line));
	return true;
}

static bool queues_verb(struct cli *cli, const char *verb, const char *name, const char *reason, struct error *err)
{
	CLEANUP(free_p) char *path = queue_limits_path(name, verb, err);
	json_auto_t *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
	json_auto_t *answer = NULL;
	if (!path || !client_post(cli, path, body, &answer, err))
		return false;
	if (cli->common.json)
		cli_print_json(answer);
	else
		printf("%s  %s\n", name, fields_text(answer, "state"));
	return true;
}

static bool queues_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct queues_options *o = options;
	static const char *const verbs[] = { "pause", "drain", "resume" };
	bool is_list = !words->count || (words->count == 1 && strcmp(words->items[0], "list") == 0);
	if (is_list)
		return queues_list(cli, o->watch, err);
	if (o->watch)
		return listing_refuse_watch(err);
	for (size_t i = 0; i < ARRAY_LEN(verbs) && words->count == 2; i++)
		if (strcmp(words->items[0], verbs[i]) == 0)
			return queues_verb(cli, verbs[i], words->items[1], o->reason, err);
	if (words->count == 2 && strcmp(words->items[0], "create") == 0)
		return queues_create(cli, words->items[1], err);
	if (words->count == 2 && strcmp(words->items[0], "limit") == 0)
		return queue_limits_set(cli, words->items[1], &o->limits, err);
	if (words->count == 4 && strcmp(words->items[0], "share") == 0)
		return queue_limits_share(cli, words->items[1], words->items[2], words->items[3], err);
	return error_set(
		err, ERR_INPUT, "stoker queues pause gpu",
		"expected `queues`, or `queues` with create, pause, drain, resume or limit and a NAME, or with "
		"share, a NAME, a tenant and a weight");
}

static const struct arg_row queues_rows[] = {
	{ "reason", 'm', ARG_TEXT, offsetof(struct queues_options, reason), "TEXT",
	  "of a pause or drain: shown as long as it lasts", 0 },
	{ "max-running", 'r', ARG_TEXT, offsetof(struct queues_options, limits.max_running), "N",
	  "limit: so many of its jobs run at once; 0: any number", 0 },
	{ "max-recovering", 'c', ARG_TEXT, offsetof(struct queues_options, limits.max_recovering), "N",
	  "limit: so many of its corrupted jobs are recovered at once (10); 0: any number", 0 },
	{ "rate", 't', ARG_TEXT, offsetof(struct queues_options, limits.rate), "N/TIME",
	  "limit: so many of its jobs are let go in a time, 100/1m; 0: any number", 0 },
	{ "preempt", 'p', ARG_TEXT, offsetof(struct queues_options, limits.preempt), "on|off",
	  "limit: whether jobs of higher priority that find no room take the places of running ones of lower priority",
	  0 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct queues_options, watch), NULL, "the list: go on, once a second", 0 },
};

const struct command cmd_queues = {
	.name = "queues",
	.usage = "[create NAME | pause NAME | drain NAME | resume NAME | limit NAME | share NAME TENANT WEIGHT]",
	.summary = "lists the queues, makes one, closes or opens one",
	.text = "A paused queue takes jobs and starts none. A draining one takes no new jobs, and what is there runs "
		"to its "
		"end.\n"
		"What runs is touched by neither; resume ends both. share gives a tenant (tenant in the spec) WEIGHT "
		"times\n"
		"what a tenant of weight 1 gets while both have jobs waiting.",
	.options = CLI_ROWS(queues_rows),
	.options_size = sizeof(struct queues_options),
	.words_max = 4,
	.run = queues_run,
};
