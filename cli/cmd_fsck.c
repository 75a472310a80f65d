/* stoker fsck: what is wrong in the queues, and mending it. */
#include <inttypes.h>
#include <string.h>
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/table.h"
#include "lib/fields.h"

struct fsck_options {
	bool repair;
	const char *queue;
};

static void fsck_print_finding(void *arg, const json_t *finding)
{
	const struct cli *cli = arg;
	const char *outcome = fields_text(finding, "outcome"), *advice = fields_text(finding, "advice");
	bool is_mended = strcmp(outcome, "repaired") == 0;
	enum paint paint = is_mended ? PAINT_GREEN : PAINT_RED;
	printf("%s%s%s %s %s: %s\n", paint_begin(paint, cli->color), is_mended ? "✓" : "✗",
	       paint_end(paint, cli->color), fields_text(finding, "queue"), fields_text(finding, "code"),
	       fields_text(finding, "detail"));
	printf("  risk: %s\n", fields_text(finding, "risk"));
	if (*advice)
		printf("  %s: %s\n", is_mended ? "done" : "hint", advice);
	fflush(stdout);
}

static void fsck_print_sum(void *arg, const json_t *sum)
{
	(void)arg;
	int64_t left = fields_int(sum, "left", 0), repaired = fields_int(sum, "repaired", 0);
	printf("%" PRId64 " queues, %" PRId64 " steps: ", fields_int(sum, "queues", 0), fields_int(sum, "looked", 0));
	if (repaired)
		printf("%" PRId64 " repaired, ", repaired);
	if (left)
		printf("%" PRId64 " wrong\n", left);
	else
		printf("%s\n", repaired ? "nothing wrong is left" : "nothing is wrong");
	if (fields_is_true(sum, "partial"))
		printf("keys that no index leads to were not looked for: this scheduler's user may not SCAN\n");
}

static bool fsck_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct fsck_options *o = options;
	(void)words;
	json_auto_t *body = json_pack("{s:b, s:s}", "repair", o->repair, "queue", o->queue ? o->queue : "");
	const struct lines lines = { .path = "/api/v1/fsck",
				     .body = body,
				     .object = fsck_print_finding,
				     .sum = fsck_print_sum,
				     .arg = cli,
				     .problems = "left" };
	return lines_ask(cli, &lines, err);
}

static const struct arg_row fsck_option_rows[] = {
	{ "repair", 0, ARG_FLAG, offsetof(struct fsck_options, repair), NULL, "mend what has one right answer", 0 },
	{ "queue", 'q', ARG_TEXT, offsetof(struct fsck_options, queue), "QUEUE", "only this queue", 0 },
};

const struct command cmd_fsck = {
	.name = "fsck",
	.usage = "[--repair] [-q QUEUE]",
	.summary = "looks whether all that must hold of the queues holds, and mends it",
	.text = "On a live Redis, in small steps; what runs makes no false finding. --repair mends what has one right "
		"answer, each\n"
		"in one call that looks again first; the rest is told with what it risks and what to do "
		"(docs/fsck.md). "
		"Exit code\n"
		"12 when something wrong is left.",
	.options = CLI_ROWS(fsck_option_rows),
	.options_size = sizeof(struct fsck_options),
	.run = fsck_run,
};
