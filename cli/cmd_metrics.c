/* stoker metrics: a sparkline for each value that a job reported. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/series.h"
#include "cli/text.h"
#include "lib/fields.h"

#define METRICS_PAGE 1000

struct metrics_options {
	bool raw;
};

typedef void metrics_fn(void *arg, const json_t *entry);

/* raw: with the marks of where an attempt went on, and what that superseded. */
static bool metrics_pages(struct cli *cli, const char *id, bool raw, metrics_fn *fn, void *arg, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "/metrics", err);
	CLEANUP(free_p) char *after = mem_strdup("");
	if (!path)
		return false;
	for (;;) {
		CLEANUP(free_p)
		char *page = mem_printf("%s?limit=%d%s%s%s", path, METRICS_PAGE, raw ? "" : "&merged=1",
					*after ? "&after=" : "", after);
		json_auto_t *answer = NULL;
		if (!client_get(cli, page, &answer, err))
			return false;
		const char *next = fields_text(answer, "next");
		size_t i;
		json_t *entry;
		json_array_foreach(json_object_get(answer, "entries"), i, entry) fn(arg, entry);
		/* merged points may leave a page empty: only the id says whether there is more */
		if (!*next || strcmp(next, after) == 0)
			return true;
		free(after);
		after = mem_strdup(next);
	}
}

static void metrics_print_entry(void *arg, const json_t *entry)
{
	(void)arg;
	cli_print_json_line(entry);
}

static void metrics_add_entry(void *arg, const json_t *entry)
{
	series_add_entry(arg, entry);
}

static bool metrics_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct metrics_options *o = options;
	if (cli->common.json)
		return metrics_pages(cli, words->items[0], o->raw, metrics_print_entry, NULL, err);
	struct series_set set = { .keeps_superseded = o->raw };
	CLEANUP(buf) struct buf text;
	buf_init(&text, 1U << 20);
	bool ok = metrics_pages(cli, words->items[0], true, metrics_add_entry, &set, err);
	if (ok && !set.count)
		fprintf(stderr, "%s has reported no metrics\n  hint: print lines such as \"step=1 loss=2.31\"\n",
			words->items[0]);
	if (ok) {
		series_print(&set, &text);
		cli_print(&text);
	}
	series_set_done(&set);
	return ok;
}

static const struct arg_row metrics_rows[] = {
	{ "raw", 0, ARG_FLAG, offsetof(struct metrics_options, raw), NULL,
	  "also the points that a later attempt went over again", 0 },
};

const struct command cmd_metrics = {
	.name = "metrics",
	.usage = "ID",
	.summary = "shows how the values of a job went, one line each",
	.text = "Each line: first value, its course, last value, how many points, the lowest, and which attempt went "
		"on from\n"
		"which step. A \"!\" stands for values that are not finite. --json prints one point a line.",
	.options = CLI_ROWS(metrics_rows),
	.options_size = sizeof(struct metrics_options),
	.words_min = 1,
	.words_max = 1,
	.run = metrics_run,
};
