/* stoker checkpoints: what was saved of a job, newest first; one of them, as files; letting them go. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/fetch.h"
#include "cli/listing.h"
#include "cli/pages.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/size.h"

struct checkpoints_options {
	const char *to;
	bool tar;
	int64_t keep_last;
	int64_t limit; /* 0: 100 */
};

enum { CHECKPOINTS_VERIFY_MS = 3600 * 1000, CHECKPOINTS_A_CALL = 100 };

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
	size_human(fields_int(checkpoint, "size", 0), text, sizeof text);
	table_add(table, text);
	table_add_int(table, fields_int(checkpoint, "files", 0));
	table_add(table, fields_is_true(checkpoint, "optimizer") ? "yes" : "no");
	text_age(now_ms - fields_int(checkpoint, "time_ms", now_ms), text, sizeof text);
	table_add(table, text);
	table_paint(table, fields_text(checkpoint, "state"), checkpoints_paint(fields_text(checkpoint, "state")));
	table_paint(table, fields_text(checkpoint, "uri"), PAINT_DIM);
}

static bool checkpoints_list(struct cli *cli, const char *id, int64_t limit, struct error *err)
{
	static const char *const titles[] = { "ID",        "STEP", "LOSS",  "SIZE", "FILES",
					      "OPTIMIZER", "AGE",  "STATE", "WHERE" };
	char tail[48];
	str_format(tail, sizeof tail, "/checkpoints?limit=%lld", (long long)(limit ? limit : 100));
	CLEANUP(free_p) char *path = client_job_path(id, tail, err);
	json_auto_t *answer = NULL;
	if (!path)
		return false;
	CLEANUP(buf) struct buf empty;
	buf_init(&empty, 4096);
	buf_printf(&empty,
		   "%s has no checkpoints\n  hint: checkpoint.paths in its spec names the files that are "
		   "checkpoints\n",
		   id);
	const struct listing listing = {
		.path = path,
		.member = "checkpoints",
		.titles = titles,
		.columns = ARRAY_LEN(titles),
		.row = checkpoints_row,
		.empty = buf_text(&empty),
	};
	if (!listing_print(cli, &listing, &answer, err))
		return false;
	int64_t left =
		fields_int(answer, "count", 0) - (int64_t)json_array_size(json_object_get(answer, "checkpoints"));
	if (left > 0)
		fprintf(stderr, "%lld older ones are not shown\n  hint: --limit N shows up to 1000\n", (long long)left);
	return true;
}

/* ---- one ---- */

/* "/api/v1/jobs/<id>/checkpoints/<which><tail>"; to be freed. */
static char *checkpoints_path(const char *id, const char *which, const char *tail, struct error *err)
{
	CLEANUP(buf) struct buf rest;
	buf_init(&rest, 1024);
	buf_str(&rest, "/checkpoints/");
	http_encode(&rest, which);
	buf_str(&rest, tail);
	return client_job_path(id, buf_text(&rest), err);
}

static void checkpoints_explain(const json_t *checkpoint, struct buf *text)
{
	const json_t *manifest = json_object_get(checkpoint, "manifest"), *file;
	char size[32], age[32];
	size_t i;
	size_human(fields_int(checkpoint, "size", 0), size, sizeof size);
	text_age(clock_wall_ms() - fields_int(checkpoint, "time_ms", 0), age, sizeof age);
	buf_printf(text, "checkpoint %s of %s  ·  %s\n", fields_text(checkpoint, "id"), fields_text(manifest, "job"),
		   fields_text(checkpoint, "state"));
	buf_printf(text, "  Saved %s ago by attempt %lld", age, (long long)fields_int(manifest, "attempt", 0));
	if (fields_int(checkpoint, "step", -1) >= 0)
		buf_printf(text, " at step %lld", (long long)fields_int(checkpoint, "step", -1));
	buf_printf(text, "; %s; %s the optimizer.\n", fields_text(manifest, "framework"),
		   fields_is_true(checkpoint, "optimizer") ? "with" : "without, or it cannot be told,");
	buf_printf(text, "  Proved when it was stored: %s.\n", fields_text(checkpoint, "verified"));
	const char *name;
	json_t *value;
	json_object_foreach(json_object_get(checkpoint, "metrics"), name, value)
	{
		char number[32];
		text_number(json_number_value(value), number, sizeof number);
		buf_printf(text, "  %s %s\n", name, number);
	}
	if (*fields_text(checkpoint, "from"))
		buf_printf(text, "  Lent by %s.\n", fields_text(checkpoint, "from"));
	if (fields_int(checkpoint, "used", 0) > 0)
		buf_printf(text, "  Kept as long as those that use files of it: %lld.\n",
			   (long long)fields_int(checkpoint, "used", 0));
	buf_printf(text, "  %s\n  %s, sha256 of its blocks %s\n", fields_text(checkpoint, "uri"), size,
		   fields_text(checkpoint, "sha256"));
	const json_t *others = json_object_get(manifest, "others");
	json_array_foreach(json_object_get(manifest, "files"), i, file)
	{
		const json_t *other = json_array_get(others, (size_t)fields_int(file, "elsewhere", 0) - 1);
		if (fields_is_true(file, "folder"))
			continue;
		size_human(fields_int(file, "size", 0), size, sizeof size);
		buf_printf(text, "  %10s  ", size);
		text_clean(text, fields_text(file, "path"));
		if (other)
			buf_printf(text, "  unchanged since %lld-%lld", (long long)fields_int(manifest, "attempt", 0),
				   (long long)fields_int(other, "seq", 0));
		buf_byte(text, '\n');
	}
}

static bool checkpoints_show(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
			     struct error *err)
{
	(void)o;
	const char *which = words->count > 2 ? words->items[2] : "latest";
	CLEANUP(free_p) char *path = checkpoints_path(words->items[1], which, "", err);
	json_auto_t *checkpoint = NULL;
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64 << 20);
	if (!path || !client_get(cli, path, &checkpoint, err))
		return false;
	if (cli->common.json) {
		cli_print_json(checkpoint);
		return true;
	}
	checkpoints_explain(checkpoint, &text);
	cli_print(&text);
	return true;
}

static bool checkpoints_verify_one(struct cli *cli, const char *id, const char *which, struct error *err)
{
	CLEANUP(free_p) char *path = checkpoints_path(id, which, "/verify", err);
	json_auto_t *answer = NULL;
	char size[32];
	if (!path || !client_post_within(cli, path, NULL, CHECKPOINTS_VERIFY_MS, &answer, err))
		return false;
	bool is_good = fields_is_true(answer, "is_good");
	if (!is_good)
		cli->exit_code = EXIT_CHECK_FAILED;
	size_human(fields_int(answer, "size", 0), size, sizeof size);
	if (cli->common.json)
		cli_print_json_line(answer);
	else
		printf("%s  %s  %s%s%s\n", fields_text(answer, "id"), is_good ? "good" : "damaged", size,
		       is_good ? "" : "  ", fields_text(answer, "problem"));
	return true;
}

/* All that may be resumed from, or one. */
static bool checkpoints_verify(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
			       struct error *err)
{
	(void)o;
	const char *id = words->items[1];
	json_auto_t *list = NULL;
	json_t *checkpoint;
	size_t i, good = 0;
	if (words->count > 2)
		return checkpoints_verify_one(cli, id, words->items[2], err);
	if (!pages_checkpoints(cli, id, &list, err))
		return false;
	json_array_foreach(list, i, checkpoint)
	{
		if (!fields_is(checkpoint, "state", "committed"))
			continue;
		if (!checkpoints_verify_one(cli, id, fields_text(checkpoint, "id"), err))
			return false;
		good++;
	}
	if (!good)
		fprintf(stderr, "%s has no checkpoints that may be resumed from\n", id);
	return true;
}

static bool checkpoints_get(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
			    struct error *err)
{
	const struct fetch_checkpoint fetch = { .job = words->items[1],
						.which = words->count > 2 ? words->items[2] : "latest",
						.to = o->to,
						.as_tar = o->tar };
	CLEANUP(buf) struct buf said;
	buf_init(&said, 16384);
	if (!fetch_checkpoint(cli, &fetch, &said, err))
		return false;
	cli_print(&said);
	return true;
}

/* ---- letting go ---- */

static bool checkpoints_discard(struct cli *cli, const char *id, const json_t *body, struct error *err)
{
	CLEANUP(free_p) char *path = client_job_path(id, "/checkpoints/discard", err);
	int64_t count = CHECKPOINTS_A_CALL, all = 0;
	while (count == CHECKPOINTS_A_CALL) { /* a call takes only so many */
		json_auto_t *answer = NULL;
		if (!path || !client_post_within(cli, path, body, CHECKPOINTS_VERIFY_MS, &answer, err))
			return false;
		count = json_object_get(body, "ids") ? 0 : fields_int(answer, "count", 0);
		all += fields_int(answer, "count", 0);
		if (cli->common.json)
			cli_print_json(answer);
	}
	if (!cli->common.json)
		printf("%s  %lld checkpoint%s deleted\n", id, (long long)all, all == 1 ? "" : "s");
	return true;
}

/* What WHICH is now: only an id names the same one later. NULL: err says why. */
static json_t *checkpoints_id(struct cli *cli, const char *job, const char *which, struct error *err)
{
	json_auto_t *checkpoint = NULL;
	if (which[strspn(which, "0123456789")] == '-')
		return json_string(which);
	CLEANUP(free_p) char *path = checkpoints_path(job, which, "", err);
	if (!path || !client_get(cli, path, &checkpoint, err))
		return NULL;
	return json_string(fields_text(checkpoint, "id"));
}

static bool checkpoints_rm(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
			   struct error *err)
{
	(void)o;
	json_t *ids = json_array();
	json_auto_t *body = json_pack("{s:o}", "ids", ids);
	for (size_t i = 2; i < words->count; i++) {
		json_t *one = checkpoints_id(cli, words->items[1], words->items[i], err);
		if (!one)
			return false;
		json_array_append_new(ids, one);
	}
	return checkpoints_discard(cli, words->items[1], body, err);
}

static bool checkpoints_cleanup(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
				struct error *err)
{
	if (!o->keep_last)
		return error_set(err, ERR_INPUT, "stoker checkpoints cleanup gpu-41 --keep-last 1",
				 "cleanup needs --keep-last N");
	json_auto_t *body = json_pack("{s:I}", "keep_last", (json_int_t)o->keep_last);
	for (size_t i = 1; i < words->count; i++)
		if (!checkpoints_discard(cli, words->items[i], body, err))
			return false;
	return true;
}

static bool checkpoints_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	static const struct {
		const char *word;
		size_t min, max; /* words, this one counted */
		bool (*run)(struct cli *cli, const struct checkpoints_options *o, const struct arg_list *words,
			    struct error *err);
	} rows[] = {
		{ "show", 2, 3, checkpoints_show },
		{ "verify", 2, 3, checkpoints_verify },
		{ "get", 2, 3, checkpoints_get },
		{ "rm", 3, CLI_ANY_WORDS, checkpoints_rm },
		{ "cleanup", 2, CLI_ANY_WORDS, checkpoints_cleanup },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(words->items[0], rows[i].word) == 0 && words->count >= rows[i].min &&
		    words->count <= rows[i].max)
			return rows[i].run(cli, options, words, err);
	if (words->count == 1)
		return checkpoints_list(cli, words->items[0], ((const struct checkpoints_options *)options)->limit,
					err);
	return error_set(
		err, ERR_INPUT, "stoker help checkpoints",
		"expected `checkpoints ID`, or `checkpoints` with show, verify or get and an ID, rm, an ID and "
		"checkpoints, or cleanup and IDs");
}

static const struct arg_row checkpoints_rows[] = {
	{ "to", 't', ARG_TEXT, offsetof(struct checkpoints_options, to), "FOLDER",
	  "get: put the files there (default ID-checkpoint-…)", 0 },
	{ "tar", 0, ARG_FLAG, offsetof(struct checkpoints_options, tar), NULL, "get: leave it as one tar", 0 },
	{ "limit", 'n', ARG_INT, offsetof(struct checkpoints_options, limit), "N",
	  "the list: so many, up to 1000 (default 100)", 1 },
	{ "keep-last", 'k', ARG_INT, offsetof(struct checkpoints_options, keep_last), "N",
	  "cleanup: so many good ones stay", 1 },
};

const struct command cmd_checkpoints = {
	.name = "checkpoints",
	.usage = "ID | show ID [WHICH] | verify ID [WHICH] | get ID [WHICH] | rm ID WHICH… | cleanup ID… --keep-last N",
	.summary = "lists what was saved of a job, newest first; shows, verifies, fetches or deletes it",
	.text = "The next attempt resumes from the newest one whose state is committed. Quarantined ones were saved at "
		"or past\n"
		"the onset of a corruption; rejected ones did not verify. WHICH is latest, best, a step, or an id like "
		"2-1.\n"
		"verify reads all of it where it is stored; get verifies what it fetched, and goes on where it was "
		"interrupted.\n"
		"The last good one is never deleted, nor is one that somebody goes on from.",
	.options = CLI_ROWS(checkpoints_rows),
	.options_size = sizeof(struct checkpoints_options),
	.words_min = 1,
	.words_max = CLI_ANY_WORDS,
	.run = checkpoints_run,
};
