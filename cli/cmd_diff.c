/* stoker diff: what is different between two jobs, and what came of it. */
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/compare.h"
#include "cli/pages.h"
#include "cli/series.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lib/fields.h"
#include "lib/utf8.h"

enum { DIFF_FILES_SHOWN = 50, DIFF_VALUE_MAX = 120 };

struct diff_side {
	const char *id;
	json_t *shown, *spec, *lineage; /* what GET answered; its spec; what the spec says of where it comes from */
	json_t *metrics;                /* "loss (last)" → value */
};

static void diff_side_done(struct diff_side *side)
{
	json_t *all[] = { side->shown, side->spec, side->lineage, side->metrics };
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		json_decref(all[i]);
}

static void diff_add_point(void *arg, const json_t *entry)
{
	series_add_entry(arg, entry);
}

/* The last value of each metric and its lowest and highest: what is best nobody but the reader knows. */
static json_t *diff_metrics(const struct series_set *set)
{
	json_t *metrics = json_object();
	for (size_t i = 0; i < set->count; i++) {
		const struct series *s = &set->items[i];
		if (!s->count)
			continue;
		double lowest = s->values[0], highest = s->values[0];
		for (size_t k = 1; k < s->count; k++) {
			lowest = s->values[k] < lowest ? s->values[k] : lowest;
			highest = s->values[k] > highest ? s->values[k] : highest;
		}
		const struct {
			const char *name;
			double value;
		} rows[] = { { "last", s->values[s->count - 1] }, { "lowest", lowest }, { "highest", highest } };
		for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
			CLEANUP(free_p) char *name = mem_printf("%s %s", s->name, rows[k].name);
			json_t *value = json_real(rows[k].value); /* NULL: not finite, which JSON cannot say */
			json_object_set_new(metrics, name, value ? value : json_string("not finite"));
		}
	}
	return metrics;
}

static bool diff_read(struct cli *cli, const char *id, struct diff_side *side, struct error *err)
{
	struct series_set set = { .items = NULL };
	CLEANUP(free_p) char *path = client_job_path(id, "", err);
	side->id = id;
	if (!path || !client_get(cli, path, &side->shown, err))
		return false;
	side->spec = fields_json(side->shown, "spec");
	side->lineage = json_incref(json_object_get(side->spec, "lineage"));
	if (!side->lineage)
		side->lineage = json_object();
	json_object_del(side->spec, "lineage");
	bool ok = pages_each(cli, id, "/metrics", diff_add_point, &set, err);
	side->metrics = diff_metrics(&set);
	series_set_done(&set);
	return ok;
}

/* What came of it, in few words. */
static json_t *diff_outcome(const json_t *shown)
{
	static const char *const names[] = {
		"state", "cause", "error", "attempt", "step", "errors", "lost", "corrupted"
	};
	json_t *outcome = json_object();
	const json_t *job = json_object_get(shown, "job");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_object_get(job, names[i]))
			json_object_set(outcome, names[i], json_object_get(job, names[i]));
	return outcome;
}

/* What its newest attempt found on its machine. */
static json_t *diff_machine(const json_t *shown)
{
	json_auto_t *attempts = fields_json(shown, "lineage");
	const char *newest = fields_text(json_object_get(shown, "job"), "lineage");
	json_t *facts = json_copy(json_object_get(attempts, newest));
	return facts ? facts : json_object();
}

static void diff_code(struct cli *cli, const struct diff_side sides[2], json_t *into)
{
	json_t *manifests[2] = { NULL, NULL };
	const char *codes[2];
	struct error err;
	for (int i = 0; i < 2; i++)
		codes[i] = fields_text(sides[i].spec, "code");
	if (strcmp(codes[0], codes[1]) == 0)
		return;
	bool ok = true;
	for (int i = 0; i < 2 && ok; i++) {
		CLEANUP(free_p) char *path = mem_printf("/api/v1/code/%s", codes[i]);
		ok = !*codes[i] || client_get(cli, path, &manifests[i], &err);
	}
	if (ok)
		compare_files(into, manifests[0], manifests[1]);
	else
		json_object_set_new(into, "files_problem", json_string(err.message));
	json_decref(manifests[0]);
	json_decref(manifests[1]);
}

static json_t *diff_all(struct cli *cli, const struct diff_side sides[2])
{
	json_t *all = json_object();
	json_auto_t *machine = diff_machine(sides[0].shown), *other_machine = diff_machine(sides[1].shown);
	json_auto_t *outcome = diff_outcome(sides[0].shown), *other_outcome = diff_outcome(sides[1].shown);
	compare_objects(all, "spec", sides[0].spec, sides[1].spec);
	diff_code(cli, sides, all);
	compare_objects(all, "lineage", sides[0].lineage, sides[1].lineage);
	compare_packages(all, fields_text(machine, "packages"), fields_text(other_machine, "packages"));
	json_object_del(machine, "packages");
	json_object_del(other_machine, "packages");
	compare_objects(all, "machine", machine, other_machine);
	compare_objects(all, "outcome", outcome, other_outcome);
	compare_objects(all, "metrics", sides[0].metrics, sides[1].metrics);
	return all;
}

/* ---- for people ---- */

static void diff_value(const json_t *value, struct buf *into)
{
	char number[64];
	CLEANUP(free_p) char *json = NULL;
	const char *text = json_string_value(value);
	if (json_is_null(value)) {
		text = TEXT_NONE;
	} else if (json_is_real(value)) {
		text_number(json_real_value(value), number, sizeof number);
		text = number;
	} else if (!text) {
		text = json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	}
	size_t len = strlen(text), cut = utf8_cut(text, len, DIFF_VALUE_MAX);
	CLEANUP(free_p) char *shown = mem_strndup(text, cut);
	text_clean(into, shown);
	buf_str(into, cut < len ? "…" : "");
}

static void diff_pair(const char *name, const json_t *pair, struct buf *into)
{
	buf_str(into, "  ");
	text_clean(into, name);
	for (size_t width = text_width(name); width < 18; width++)
		buf_byte(into, ' ');
	buf_str(into, "  ");
	diff_value(json_array_get(pair, 0), into);
	buf_str(into, " → ");
	diff_value(json_array_get(pair, 1), into);
	buf_byte(into, '\n');
}

static void diff_file(const char *path, const json_t *pair, struct buf *into)
{
	bool was = json_is_object(json_array_get(pair, 0)), is = json_is_object(json_array_get(pair, 1));
	buf_printf(into, "  %s ", was && is ? "~" : is ? "+" : "-");
	text_clean(into, path);
	buf_byte(into, '\n');
}

static void diff_section(const struct cli *cli, const char *section, const json_t *pairs, struct buf *into)
{
	bool is_files = strcmp(section, "files") == 0;
	size_t shown = 0;
	const char *name;
	json_t *pair;
	buf_printf(into, "%s%s%s\n", paint_begin(PAINT_BOLD, cli->color), section, paint_end(PAINT_BOLD, cli->color));
	json_object_foreach((json_t *)pairs, name, pair)
	{
		if (!is_files)
			diff_pair(name, pair, into);
		else if (shown++ < DIFF_FILES_SHOWN)
			diff_file(name, pair, into);
	}
	if (shown > DIFF_FILES_SHOWN)
		buf_printf(into, "  and %zu more (--json has all)\n", shown - DIFF_FILES_SHOWN);
}

static void diff_print(const struct cli *cli, const struct diff_side sides[2], const json_t *all)
{
	CLEANUP(buf) struct buf text;
	const char *section;
	json_t *pairs;
	buf_init(&text, 8U << 20);
	buf_printf(&text, "%s → %s\n", sides[0].id, sides[1].id);
	json_object_foreach((json_t *)all, section, pairs)
	{
		if (json_is_object(pairs))
			diff_section(cli, section, pairs, &text);
		else
			buf_printf(&text, "files\n  cannot be compared: %s\n", json_string_value(pairs));
	}
	if (json_object_size(all) == 0)
		buf_str(&text, "  no difference is known\n");
	cli_print(&text);
}

static bool diff_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	struct diff_side sides[2] = { { .id = NULL }, { .id = NULL } };
	(void)options;
	bool ok = diff_read(cli, words->items[0], &sides[0], err) && diff_read(cli, words->items[1], &sides[1], err);
	if (ok) {
		json_auto_t *all = diff_all(cli, sides);
		if (cli->common.json)
			cli_print_json(all);
		else
			diff_print(cli, sides, all);
	}
	diff_side_done(&sides[0]);
	diff_side_done(&sides[1]);
	return ok;
}

const struct command cmd_diff = {
	.name = "diff",
	.usage = "ID ID",
	.summary = "shows what is different between two jobs: spec, code, origin, machine, outcome, metrics",
	.text = "Only what differs is shown, as \"first → second\". Files of the code: ~ changed, + only in the "
		"second, - only in\n"
		"the first. The machine and its packages are those of the newest attempt of each, as far as the job "
		"has code.",
	.words_min = 2,
	.words_max = 2,
	.run = diff_run,
};
