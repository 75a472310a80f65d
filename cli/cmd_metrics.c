/* stoker metrics: a sparkline for each value that a job reported. */
#include <string.h>
#include "cli/commands.h"
#include "cli/pages.h"
#include "cli/series.h"
#include "cli/text.h"

struct metrics_options {
	bool raw;
};

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
		return o->raw ? pages_each(cli, words->items[0], "/metrics", metrics_print_entry, NULL, err)
			      : pages_points(cli, words->items[0], metrics_print_entry, NULL, err);
	struct series_set set = { .keeps_superseded = o->raw };
	CLEANUP(buf) struct buf text;
	buf_init(&text, 1U << 20);
	bool ok = pages_each(cli, words->items[0], "/metrics", metrics_add_entry, &set, err);
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
