/* stoker ls: the jobs, newest first. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/job.h"
#include "cli/text.h"
#include "cli/watch.h"
#include "lib/clock.h"
#include "lib/fields.h"

#define LS_LIMIT 50
#define LS_PAGE  100 /* what the server gives at once */
#define LS_VALUE 4   /* the column of a metric */

struct ls_options {
	const char *queue;
	const char *state;
	const char *batch;
	const char *tag;
	const char *rank;
	int64_t limit;
	bool watch;
	bool only_ids;
};

/* One page after cursor. */
static bool ls_page(struct cli *cli, const struct ls_options *options, const char *queue, const char *cursor,
		    int64_t limit, json_t **answer, struct error *err)
{
	CLEANUP(buf) struct buf path;
	char number[24];
	buf_init(&path, 4096);
	str_format(number, sizeof number, "%lld",
		   (long long)((limit < LS_PAGE && !options->tag) || options->rank ? limit : LS_PAGE));
	buf_str(&path, "/api/v1/jobs");
	client_query(&path, "queue", queue);
	client_query(&path, "state", options->state);
	client_query(&path, "batch", options->batch);
	client_query(&path, "tag", options->tag);
	client_query(&path, "rank", options->rank);
	client_query(&path, "limit", number);
	client_query(&path, "cursor", *cursor ? cursor : NULL);
	return client_get(cli, buf_text(&path), answer, err);
}

/* Adds the newest of a queue, or of what the server finds without one, as far as the limit wants them; says where the
 * next page would begin. */
static bool ls_add(struct cli *cli, const struct ls_options *options, const char *queue, int64_t limit, json_t *jobs,
		   char **cursor, struct error *err)
{
	int64_t count = 0;
	do {
		json_auto_t *page = NULL;
		if (!ls_page(cli, options, queue, *cursor, limit - count, &page, err))
			return false;
		json_array_extend(jobs, json_object_get(page, "jobs"));
		count += (int64_t)json_array_size(json_object_get(page, "jobs"));
		free(*cursor);
		*cursor = mem_strdup(fields_text(page, "cursor"));
	} while (**cursor && count < limit);
	return true;
}

static int ls_newest_first(const void *a, const void *b)
{
	int64_t left = fields_int(*(json_t *const *)a, "submitted_ms", 0);
	int64_t right = fields_int(*(json_t *const *)b, "submitted_ms", 0);
	return (right > left) - (right < left);
}

/* Those of a tag are searched for in each queue by itself. */
static bool ls_add_all(struct cli *cli, const struct ls_options *options, int64_t limit, json_t *jobs, char **cursor,
		       struct error *err)
{
	json_auto_t *answer = NULL;
	size_t i;
	json_t *queue, *job;
	if (!client_get(cli, "/api/v1/queues", &answer, err))
		return false;
	json_array_foreach(json_object_get(answer, "queues"), i, queue)
	{
		free(*cursor);
		*cursor = mem_strdup("");
		if (!ls_add(cli, options, fields_text(queue, "queue"), limit, jobs, cursor, err))
			return false;
	}
	size_t count = json_array_size(jobs);
	json_t **sorted = mem_alloc((count + 1) * sizeof *sorted);
	json_array_foreach(jobs, i, job) sorted[i] = json_incref(job);
	qsort(sorted, count, sizeof *sorted, ls_newest_first);
	for (i = 0; i < count; i++)
		json_array_set_new(jobs, i, sorted[i]);
	free(sorted);
	return true;
}

/* {"jobs":[…],"cursor":""}, of as many pages as the limit wants. */
static bool ls_fetch(struct cli *cli, const struct ls_options *options, json_t **answer, struct error *err)
{
	int64_t limit = options->limit ? options->limit : LS_LIMIT;
	CLEANUP(free_p) char *cursor = mem_strdup("");
	json_auto_t *jobs = json_array();
	bool is_search = options->tag && !options->queue && !options->batch;
	if (!(is_search ? ls_add_all(cli, options, limit, jobs, &cursor, err)
			: ls_add(cli, options, options->queue, limit, jobs, &cursor, err)))
		return false;
	while ((int64_t)json_array_size(jobs) > limit)
		json_array_remove(jobs, json_array_size(jobs) - 1);
	*answer = json_pack("{s:O, s:s}", "jobs", jobs, "cursor", is_search ? "" : cursor);
	return true;
}

/* Only what is not plain needs a reason; what simply runs says how long it still takes. */
static const char *ls_why(const json_t *job, char *left, size_t size)
{
	const char *state = fields_text(job, "state");
	bool is_plain =
		strcmp(state, "succeeded") == 0 || (strcmp(state, "running") == 0 && !*fields_text(job, "stop"));
	if (!is_plain)
		return fields_text(job, "why");
	return job_left(job, left, size) ? left : "";
}

static void ls_row(struct table *table, const json_t *job, const char *value, int64_t now_ms)
{
	char text[64];
	double loss;
	int64_t attempts = fields_int(job, "attempt", 0);
	int64_t ran_ms = job_ran_ms(job, now_ms);
	table_add(table, fields_text(job, "id"));
	table_add(table, fields_text(job, "name"));
	table_paint(table, fields_text(job, "state"), job_paint(job));
	job_step(job, text, sizeof text);
	table_add(table, text);
	text[0] = '\0';
	if (fields_number(job, value, &loss))
		text_number(loss, text, sizeof text);
	table_add(table, text);
	text_age(now_ms - fields_int(job, "submitted_ms", now_ms), text, sizeof text);
	table_add(table, text);
	text[0] = '\0';
	if (ran_ms >= 0)
		text_span(ran_ms, text, sizeof text);
	table_add(table, text);
	text[0] = '\0';
	if (attempts)
		str_format(text, sizeof text, "%lld", (long long)attempts);
	table_add(table, text);
	table_add(table, fields_text(job, "worker"));
	table_paint(table, ls_why(job, text, sizeof text), PAINT_DIM);
}

static void ls_mark(struct buf *mark, const json_t *job)
{
	static const char *const fields[] = { "id", "state", "attempt", "worker", "step", "loss", "phase" };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		buf_printf(mark, "%s ", fields_text(job, fields[i]));
	buf_printf(mark, "%lld\n", (long long)fields_int(job, "step", -1));
}

static bool ls_frame(struct cli *cli, void *arg, struct watch_frame *frame, struct error *err)
{
	const char *titles[] = { "ID", "NAME", "STATE", "STEP", "LOSS", "AGE", "RAN", "ATTEMPTS", "WHERE", "WHY" };
	const struct ls_options *options = arg;
	json_auto_t *answer = NULL;
	if (options->rank)
		titles[LS_VALUE] = options->rank + (*options->rank == '-');
	if (!ls_fetch(cli, options, &answer, err))
		return false;
	const json_t *jobs = json_object_get(answer, "jobs");
	int64_t now_ms = clock_wall_ms();
	CLEANUP(table) struct table table;
	table_init(&table, titles, ARRAY_LEN(titles));
	size_t i;
	json_t *job;
	json_array_foreach(jobs, i, job)
	{
		ls_row(&table, job, options->rank ? "rank" : "loss", now_ms);
		ls_mark(&frame->mark, job);
	}
	if (json_array_size(jobs))
		table_print(&table, cli->color, &frame->text);
	else
		fprintf(stderr, "no jobs%s%s here\n  hint: stoker submit FILE\n", options->state ? " that are " : "",
			options->state ? options->state : "");
	int64_t limit = options->limit ? options->limit : LS_LIMIT;
	bool is_full = options->tag && (int64_t)json_array_size(jobs) == limit;
	if (*fields_text(answer, "cursor") || is_full)
		fprintf(stderr, "only the newest %zu are shown; --limit N shows more\n", json_array_size(jobs));
	return true;
}

static bool ls_print_ids(struct cli *cli, const struct ls_options *o, struct error *err)
{
	json_auto_t *answer = NULL;
	if (!ls_fetch(cli, o, &answer, err))
		return false;
	size_t i;
	json_t *job;
	json_array_foreach(json_object_get(answer, "jobs"), i, job) puts(fields_text(job, "id"));
	return true;
}

static bool ls_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)words;
	const struct ls_options *o = options;
	if (o->rank && !o->batch)
		return error_set(err, ERR_INPUT, NULL, "--rank wants --batch BATCH");
	if (o->only_ids)
		return ls_print_ids(cli, o, err);
	if (!cli->common.json)
		return o->watch ? watch_run(cli, ls_frame, (void *)o, err) : watch_once(cli, ls_frame, (void *)o, err);
	json_auto_t *answer = NULL;
	if (!ls_fetch(cli, o, &answer, err))
		return false;
	cli_print_json(answer);
	return true;
}

static const struct arg_row ls_rows[] = {
	{ "queue", 'q', ARG_TEXT, offsetof(struct ls_options, queue), "QUEUE", "of one queue only", 0 },
	{ "state", 's', ARG_TEXT, offsetof(struct ls_options, state), "STATE",
	  "waiting, queued, running, succeeded, failed or cancelled; archived: what has left Redis for the store", 0 },
	{ "batch", 'b', ARG_TEXT, offsetof(struct ls_options, batch), "BATCH", "of this batch", 0 },
	{ "tag", 0, ARG_TEXT, offsetof(struct ls_options, tag), "PATTERN", "those that have this tag", 0 },
	{ "rank", 'r', ARG_TEXT, offsetof(struct ls_options, rank), "METRIC",
	  "of a batch: by the last value of this metric, lowest first; -METRIC: highest first", 0 },
	{ "limit", 'n', ARG_INT, offsetof(struct ls_options, limit), "N", "at most so many (50)", 1 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct ls_options, watch), NULL, "go on, once a second", 0 },
	{ "ids", 0, ARG_FLAG, offsetof(struct ls_options, only_ids), NULL,
	  "only the ids, one a line: for other programs", 0 },
};

const struct command cmd_ls = {
	.name = "ls",
	.usage = "[--queue QUEUE] [--state STATE] [--tag PATTERN] [--batch BATCH [--rank METRIC]] [--watch]",
	.summary = "lists jobs, newest first",
	.options = CLI_ROWS(ls_rows),
	.options_size = sizeof(struct ls_options),
	.run = ls_run,
};
