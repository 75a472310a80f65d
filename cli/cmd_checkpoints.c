/* stoker checkpoints: what was saved of a job, newest first. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"

static enum paint checkpoints_paint(const char *state)
{
	return strcmp(state, "committed") == 0 ? PAINT_GREEN : strcmp(state, "deleting") == 0 ? PAINT_DIM : PAINT_RED;
}

static void checkpoints_row(struct table *table, const json_t *checkpoint)
{
	int64_t now_ms = clock_wall_ms();
	char text[64];
	double loss;
	table_add(table, fields_text(checkpoint, "id"));
	str_format(text, sizeof text, "%lld", (long long)fields_int(checkpoint, "step", 0));
	table_add(table, fields_int(checkpoint, "step", -1) < 0 ? "" : text);
	text[0] = '\0';
	if (fields_number(checkpoint, "loss", &loss))
		text_number(loss, text, sizeof text);
	table_add(table, text);
	text_size(fields_int(checkpoint, "size", 0), text, sizeof text);
	table_add(table, text);
	table_add_int(table, fields_int(checkpoint, "files", 0));
	table_add(table, fields_is_true(checkpoint, "optimizer") ? "yes" : "no");
	text_age(now_ms - fields_int(checkpoint, "time_ms", now_ms), text, sizeof text);
	table_add(table, text);
	table_paint(table, fields_text(checkpoint, "state"), checkpoints_paint(fields_text(checkpoint, "state")));
	table_paint(table, fields_text(checkpoint, "uri"), PAINT_DIM);
}

static bool checkpoints_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options;
	static const char *const titles[] = { "ID",        "STEP", "LOSS",  "SIZE", "FILES",
					      "OPTIMIZER", "AGE",  "STATE", "WHERE" };
	CLEANUP(free_p) char *path = client_job_path(words->items[0], "/checkpoints", err);
	if (!path)
		return false;
	CLEANUP(buf) struct buf empty;
	buf_init(&empty, 4096);
	buf_printf(&empty,
		   "%s has no checkpoints\n  hint: checkpoint.paths in its spec names the files that are "
		   "checkpoints\n",
		   words->items[0]);
	const struct listing listing = {
		.path = path,
		.member = "checkpoints",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = checkpoints_row,
		.empty = buf_text(&empty),
	};
	return listing_print(cli, &listing, NULL, err);
}

const struct command cmd_checkpoints = {
	.name = "checkpoints",
	.usage = "ID",
	.summary = "lists what was saved of a job, newest first",
	.text = "The next attempt resumes from the newest one whose state is committed. Quarantined ones were saved at "
		"or past\n"
		"the onset of a corruption; rejected ones did not verify.",
	.words_min = 1,
	.words_max = 1,
	.run = checkpoints_run,
};
