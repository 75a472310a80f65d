/* stoker schedules: the recurring jobs; making, changing, pausing and removing them. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/schedule.h"
#include "cli/spec_file.h"
#include "lib/fields.h"

struct schedules_options {
	const char *queue;
	const char *cron;
	const char *every;
	const char *zone;
	const char *overlap;
	const char *missed;
	struct arg_list sets;
	int64_t count;
	bool watch;
};

static bool schedules_list(struct cli *cli, const struct schedules_options *o, struct error *err)
{
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	buf_str(&path, "/api/v1/schedules");
	client_query(&path, "queue", o->queue);
	const struct listing listing = {
		.path = buf_text(&path),
		.member = "schedules",
		.titles = schedule_titles,
		.columns = ARRAY_LEN(schedule_titles),
		.row = schedule_row,
		.empty = "no schedules here\n  hint: stoker schedules add NAME FILE --cron \"0 3 * * *\"\n",
		.ages = LISTING_AGE(3) | LISTING_AGE(4),
		.watch = o->watch,
	};
	return listing_print(cli, &listing, NULL, err);
}

/* ---- add ---- */

/* One of our options as --set writes it: in quotes of YAML, since a star means something there. */
static void schedules_set(struct arg_list *sets, char **texts, size_t *count, const char *key, const char *value)
{
	struct buf text;
	if (!value)
		return;
	buf_init(&text, 4096);
	buf_printf(&text, "schedule.%s='", key);
	for (const char *c = value; *c; c++)
		buf_str(&text, *c == '\'' ? "''" : (const char[]){ *c, '\0' });
	buf_byte(&text, '\'');
	texts[*count] = buf_take(&text);
	arg_list_add(sets, texts[(*count)++]);
}

static bool schedules_add(struct cli *cli, const struct schedules_options *o, const struct arg_list *words,
			  struct error *err)
{
	const struct {
		const char *key;
		const char *value;
	} rows[] = { { "name", words->items[1] }, { "cron", o->cron },       { "every", o->every },
		     { "zone", o->zone },         { "overlap", o->overlap }, { "missed", o->missed } };
	char *texts[ARRAY_LEN(rows)];
	size_t count = 0;
	CLEANUP(arg_list) struct arg_list sets = { 0 };
	CLEANUP(free_p) char *spec = NULL;
	for (size_t i = 0; i < o->sets.count; i++)
		arg_list_add(&sets, o->sets.items[i]);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		schedules_set(&sets, texts, &count, rows[i].key, rows[i].value);
	bool ok = spec_file_load(words->items[2], &sets, NULL, &spec, err) && schedule_send(cli, o->queue, spec, err);
	while (count > 0)
		free(texts[--count]);
	return ok;
}

/* ---- one or several by their names ---- */

static bool schedules_change(struct cli *cli, const struct schedules_options *o, const char *word, const char *name,
			     struct error *err)
{
	bool is_rm = strcmp(word, "rm") == 0;
	CLEANUP(free_p) char *tail = mem_printf("/%s", word);
	CLEANUP(free_p) char *path = schedule_path(name, is_rm ? "" : tail, o->queue);
	json_auto_t *answer = NULL;
	bool ok = is_rm ? client_delete(cli, path, &answer, err) : client_post(cli, path, NULL, &answer, err);
	if (ok && cli->common.json)
		cli_print_json_line(answer);
	else if (ok)
		printf("%s  %s\n", name, fields_text(answer, "result"));
	return ok;
}

static bool schedules_change_all(struct cli *cli, const struct schedules_options *o, const struct arg_list *words,
				 struct error *err)
{
	for (size_t i = 1; i < words->count; i++)
		if (!schedules_change(cli, o, words->items[0], words->items[i], err))
			return false;
	return true;
}

static bool schedules_show(struct cli *cli, const struct schedules_options *o, const struct arg_list *words,
			   struct error *err)
{
	bool is_next = strcmp(words->items[0], "next") == 0;
	char number[24];
	json_auto_t *answer = NULL;
	CLEANUP(free_p) char *plain = schedule_path(words->items[1], "", o->queue);
	CLEANUP(buf) struct buf path;
	buf_init(&path, 8192);
	buf_str(&path, plain);
	str_format(number, sizeof number, "%lld", (long long)o->count);
	client_query(&path, "limit", o->count ? number : NULL);
	if (!client_get(cli, buf_text(&path), &answer, err))
		return false;
	if (cli->common.json) {
		cli_print_json(is_next ? json_object_get(answer, "next") : answer);
		return true;
	}
	CLEANUP(buf) struct buf text;
	buf_init(&text, 64 * 1024);
	if (is_next)
		schedule_next(answer, &text);
	else
		schedule_explain(answer, &text);
	if (is_next && !text.len)
		fprintf(stderr, "it is not due: stoker schedules show %s\n", words->items[1]);
	cli_print(&text);
	return true;
}

static bool schedules_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	static const struct {
		const char *word;
		size_t min, max; /* words, this one counted */
		bool (*run)(struct cli *cli, const struct schedules_options *o, const struct arg_list *words,
			    struct error *err);
	} rows[] = {
		{ "add", 3, 3, schedules_add },
		{ "rm", 2, CLI_ANY_WORDS, schedules_change_all },
		{ "pause", 2, CLI_ANY_WORDS, schedules_change_all },
		{ "resume", 2, CLI_ANY_WORDS, schedules_change_all },
		{ "show", 2, 2, schedules_show },
		{ "next", 2, 2, schedules_show },
	};
	const struct schedules_options *o = options;
	if (!words->count || (words->count == 1 && strcmp(words->items[0], "list") == 0))
		return schedules_list(cli, o, err);
	if (o->watch)
		return listing_refuse_watch(err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(words->items[0], rows[i].word) == 0 && words->count >= rows[i].min &&
		    words->count <= rows[i].max)
			return rows[i].run(cli, o, words, err);
	return error_set(err, ERR_INPUT, "stoker help schedules",
			 "expected `schedules` with one of: add NAME FILE, rm NAME…, "
			 "pause NAME…, resume NAME…, show NAME, next NAME");
}

static const struct arg_row schedules_rows[] = {
	{ "cron", 'c', ARG_TEXT, offsetof(struct schedules_options, cron), "EXPRESSION",
	  "when it is due: \"30 2 * * MON-FRI\", @daily", 0 },
	{ "every", 'e', ARG_TEXT, offsetof(struct schedules_options, every), "TIME", "instead: so often, 10m", 0 },
	{ "zone", 'z', ARG_TEXT, offsetof(struct schedules_options, zone), "ZONE",
	  "the time zone of --cron: Europe/Berlin (default UTC)", 0 },
	{ "overlap", 'o', ARG_TEXT, offsetof(struct schedules_options, overlap), "POLICY",
	  "while its last job has not ended: skip, queue or replace (default skip)", 0 },
	{ "missed", 'm', ARG_TEXT, offsetof(struct schedules_options, missed), "POLICY",
	  "due while no scheduler ran: skip, once or all (default once)", 0 },
	{ "set", 's', ARG_LIST, offsetof(struct schedules_options, sets), "KEY=VALUE",
	  "add: change one key of the spec; may be given several times", 0 },
	{ "watch", 'w', ARG_FLAG, offsetof(struct schedules_options, watch), NULL, "the list: go on, once a second",
	  0 },
	{ "queue", 'q', ARG_TEXT, offsetof(struct schedules_options, queue), "QUEUE",
	  "of this queue (listing: of every queue, else default)", 0 },
	{ "count", 'n', ARG_INT, offsetof(struct schedules_options, count), "N",
	  "show and next: so many due times (5), at most 100", 1 },
};

const struct command cmd_schedules = {
	.name = "schedules",
	.usage = "[add NAME FILE | rm NAME… | pause NAME… | resume NAME… | show NAME | next NAME]",
	.summary = "lists the recurring jobs, or makes, changes and removes them",
	.text = "add makes a recurring job of the spec in FILE, or changes the one of that name; the options stand for "
		"the\n"
		"keys of the section schedule, which may be in the file instead (schedules.md). What is due while it "
		"is\n"
		"paused is not made up for. rm leaves the jobs alone that it has made. Times are those of its zone.",
	.options = CLI_ROWS(schedules_rows),
	.options_size = sizeof(struct schedules_options),
	.words_max = CLI_ANY_WORDS,
	.run = schedules_run,
};
