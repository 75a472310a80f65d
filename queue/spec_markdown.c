/* docs/spec.md, from the table of keys. */
#include <string.h>
#include "queue/spec_table.h"

static const char spec_markdown_head[] =
	"# The job spec\n"
	"\n"
	"Printed from the table in `queue/spec_table.c` by `make docs`; do not edit.\n"
	"\n"
	"A job is one YAML or JSON object. This is all there is:\n"
	"\n"
	"```yaml\n"
	"name: mnist\n"
	"command: [python3, train.py, --resume, \"{{resume}}\"]\n"
	"resources: {cpus: 4, gpus: 1, memory: 16GiB}\n"
	"checkpoint: {paths: [\"out/*.pt\"]}\n"
	"```\n"
	"\n"
	"Durations are `500ms`, `30s`, `5m`, `2h`, `1d` or a number of seconds; sizes are `512MiB`, `2GiB`,\n"
	"`16GB` or a number of bytes. `null` is the same as leaving a key out, an empty list the same as an\n"
	"empty object, and `2.0` the same as `2`. A spec has at most 256 KiB of UTF-8.\n"
	"\n";

static const char spec_markdown_tail[] =
	"## Several jobs in one file: a graph\n"
	"\n"
	"```yaml\n"
	"batch: nightly                  # left out: graph-<number of the first job>\n"
	"then: {command: ./report.sh}    # submitted when all have ended\n"
	"webhook: {url: https://example.org/hook}   # told then (batch.done)\n"
	"jobs:\n"
	"  - {name: prepare, command: ./prepare.sh}\n"
	"  - {name: left, command: ./train.sh left, after: [prepare]}\n"
	"  - {name: right, command: ./train.sh right, after: [prepare]}\n"
	"  - name: compare\n"
	"    command: ./compare.sh       # finds what they left in STOKER_PARENTS (programs.md)\n"
	"    after: {left: succeeded, right: finished}\n"
	"    on_unmet: hold\n"
	"```\n"
	"\n"
	"All of them are submitted or none, at most 10,000; `unique` and `rate` only in graphs of at most 100.\n"
	"`FCALL stoker_graph` takes the same as JSON, up to 100 jobs.\n"
	"\n"
	"## One spec, many jobs: a sweep\n"
	"\n"
	"```yaml\n"
	"command: python3 train.py --lr {{lr}} --width {{width}}\n"
	"sweep:\n"
	"  grid: {lr: [0.1, 0.01], width: [32, 64]}   # every combination: 4 jobs\n"
	"```\n"
	"\n"
	"| key of `sweep` | value | meaning |\n"
	"|---|---|---|\n"
	"| `grid` | 1 to 16 names, each with a list of values | every combination |\n"
	"| `random` | 1 to 16 names, each with a list of values or `{min, max}` | drawn evenly; `log: true`: evenly in "
	"the logarithm; `int: true`: whole numbers, both ends included; others are rounded to six digits |\n"
	"| `count`, `seed` | with `random` | how many; the same seed (default 1) draws the same values |\n"
	"| `list` | 1 to 10,000 objects | these sets of parameters |\n"
	"| `then` | a spec | submitted when all have ended |\n"
	"| `webhook` | `{url: …}` | told when all have ended (`batch.done`) |\n"
	"\n"
	"Exactly one of `grid`, `random` and `list`; at most 10,000 jobs. Values are numbers, texts, true and false. "
	"A\n"
	"parameter is in the environment under its name, and stands for `{{name}}` anywhere in the spec; a value\n"
	"that is only `\"{{name}}\"` becomes the number, except in `command`, `env` and `name`\n"
	"(`train: {lr: \"{{lr}}\"}`). Names of jobs get the parameters behind them, unless `name` has a `{{name}}`.\n"
	"The jobs are one batch: `batch` of the spec, else a name of its own. `stoker submit --dry-run` shows them,\n"
	"`stoker ls --batch BATCH --rank loss` ranks them. The command and the HTTP API expand sweeps; to `FCALL`\n"
	"`sweep` is an unknown key.\n"
	"\n"
	"## When a spec is wrong\n"
	"\n"
	"The command, the HTTP API and `FCALL stoker_submit` refuse a bad spec with the same sentence, which\n"
	"names the path, what is allowed and what was found. Nothing is changed:\n"
	"\n"
	"```\n"
	"resources.gpus: expected an integer from 0 to 1024, got \"two\"\n"
	"```\n"
	"\n"
	"The first mistake is named: section by section in the order above, in each its unknown keys, then its\n"
	"values; at last what depends on other keys. The command puts the file and the line in front\n"
	"(`bad.yaml:6: `), an error reply of Redis its code (`INVALID `).\n"
	"\n"
	"What only one side can see:\n"
	"\n"
	"- Duplicate keys: the command and the HTTP API name the key and its line, `FCALL` only says that there\n"
	"  is one.\n"
	"- What is no JSON or YAML at all is described in the words of the reader that found it. A name with\n"
	"  `\\u0000` in it and a number too large for a double are no JSON to the one, and an unknown key or out\n"
	"  of range to the other.\n"
	"- `FCALL` takes only JSON. In YAML, anchors, aliases, tags and further documents are refused, only\n"
	"  `true` and `false` are booleans (`no` and `on` are text), and numbers are decimal, `0x1f` or `0o17`.\n";

/* A cell of a table: a | would end it. */
static void spec_markdown_cell(const char *text)
{
	for (; *text; text++)
		printf(*text == '|' ? "\\|" : "%c", *text);
}

static void spec_markdown_condition(const struct spec_condition *when, bool is_required)
{
	if (when->path)
		printf(" Only when `%s` is `%s`%s.", when->path, when->is, is_required ? ", and required then" : "");
	else if (is_required)
		fputs(" Required.", stdout);
}

static void spec_markdown_row(const struct spec_row *row)
{
	CLEANUP(buf) struct buf expected;
	buf_init(&expected, 400);
	spec_show_expected(row, &expected);
	printf("| `%s` | ", row->key);
	spec_markdown_cell(buf_text(&expected));
	if ((row->type == SPEC_LIST || row->type == SPEC_MAP) && row->text) {
		if (row->names) {
			fputs("; names: ", stdout);
			spec_markdown_cell(row->names->expected);
		}
		fputs(row->text->whole_max ? "; each: " : "; texts: ", stdout);
		spec_markdown_cell(row->text->expected);
	}
	if (row->type == SPEC_AFTER) {
		fputs("; jobs: ", stdout);
		spec_markdown_cell(row->text->expected);
		fputs("; conditions: succeeded, finished or failed", stdout);
	}
	printf(" | %s%s%s | ", row->standard ? "`" : "", row->standard ? row->standard : "", row->standard ? "`" : "");
	spec_markdown_cell(row->help);
	fputs(".", stdout);
	spec_markdown_condition(&row->when, row->is_required);
	if (row->at_least)
		printf(" At least `%s`, which raises the default.", row->at_least);
	fputs(" |\n", stdout);
}

void spec_print_markdown(void)
{
	fputs(spec_markdown_head, stdout);
	for (size_t i = 0; i < spec_section_count; i++) {
		const struct spec_section *s = &spec_sections[i];
		printf("## %s%s%s\n\n%s", *s->name ? "`" : "", *s->name ? s->name : "The top", *s->name ? "`" : "",
		       s->help);
		spec_markdown_condition(&s->when, s->is_required);
		fputs("\n\n| key | value | default | meaning |\n|---|---|---|---|\n", stdout);
		for (size_t j = 0; j < s->count; j++)
			spec_markdown_row(&s->rows[j]);
		fputs("\n", stdout);
	}
	fputs(spec_markdown_tail, stdout);
}
