/* stoker gc and stoker verify: the whole store, as the scheduler sees it. */
#include <inttypes.h>
#include <string.h>
#include "cli/bar.h"
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/fields.h"
#include "lib/size.h"

struct gc_options {
	bool dry_run;
	const char *older_than;
};

struct gc_reading {
	bool is_verify;
	struct cli *cli;
	struct bar bar; /* of verify; of no size until the first object tells it */
	int64_t read;
};

static void gc_print_object(void *arg, const json_t *object)
{
	struct gc_reading *r = arg;
	const char *action = fields_text(object, "action"), *key = fields_text(object, "key");
	char size[32] = "", age[32];
	if (r->is_verify && !r->bar.size)
		r->bar = bar_begin(r->cli, "verify", fields_int(object, "of", 0), fields_int(object, "read", 0));
	r->read = fields_int(object, "read", 0);
	if (r->is_verify && strcmp(action, "good") == 0) { /* only what is not */
		bar_draw(&r->bar, r->read);
		return;
	}
	bar_clear(&r->bar);
	if (json_object_get(object, "size"))
		size_human(fields_int(object, "size", 0), size, sizeof size);
	text_age(clock_wall_ms() - fields_int(object, "modified_ms", 0), age, sizeof age);
	printf("%-12s %-12s %10s %5s  %s  %s\n", action, fields_text(object, "job"), size, age, key,
	       fields_text(object, "why"));
	fflush(stdout);
}

/* "3 checkpoints, 1 transcript read" */
static void gc_print_read(const json_t *sum)
{
	static const struct {
		const char *key, *one, *many;
	} kinds[] = { { "checkpoints", "checkpoint", "checkpoints" },
		      { "transcripts", "transcript", "transcripts" },
		      { "archives", "object of the archive", "objects of the archive" } };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		int64_t count = fields_int(sum, kinds[i].key, i ? 0 : fields_int(sum, "objects", 0));
		if (count || !i)
			printf("%s%" PRId64 " %s", i ? ", " : "", count, count == 1 ? kinds[i].one : kinds[i].many);
	}
	printf(" read");
}

static void gc_print_sum(void *arg, const json_t *sum)
{
	struct gc_reading *r = arg;
	char size[32];
	int64_t problems = fields_int(sum, "problems", 0);
	size_human(fields_int(sum, "bytes", 0), size, sizeof size);
	if (r->is_verify) {
		bar_end(&r->bar, r->read);
		gc_print_read(sum);
	} else {
		printf("%" PRId64 " leftovers", fields_int(sum, "objects", 0));
	}
	printf(", %s", size);
	if (problems)
		printf("; %" PRId64 " %s", problems, r->is_verify ? "damaged" : "kept, to be looked at");
	printf("\n");
}

static bool gc_ask(struct cli *cli, const char *path, const json_t *body, bool is_verify, struct error *err)
{
	struct gc_reading reading = { .is_verify = is_verify, .cli = cli };
	const struct lines lines = { .path = path,
				     .body = body,
				     .object = gc_print_object,
				     .sum = gc_print_sum,
				     .arg = &reading,
				     .problems = "problems" };
	return lines_ask(cli, &lines, err);
}

static bool gc_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	const struct gc_options *o = options;
	int64_t older_ms = 86400000;
	(void)words;
	if (o->older_than && !config_parse_duration(o->older_than, &older_ms))
		return error_set(err, ERR_INPUT, "for example --older-than 12h", "--older-than: \"%s\" is no time",
				 o->older_than);
	json_auto_t *body = json_pack("{s:b, s:I}", "dry_run", o->dry_run, "older_ms", (json_int_t)older_ms);
	return gc_ask(cli, "/api/v1/gc", body, false, err);
}

static bool verify_run(struct cli *cli, const void *options, const struct arg_list *words, struct error *err)
{
	(void)options;
	(void)words;
	json_auto_t *body = json_object();
	return gc_ask(cli, "/api/v1/verify", body, true, err);
}

static const struct arg_row gc_rows[] = {
	{ "dry-run", 'n', ARG_FLAG, offsetof(struct gc_options, dry_run), NULL, "delete nothing: only say what", 0 },
	{ "older-than", 'o', ARG_TEXT, offsetof(struct gc_options, older_than), "TIME",
	  "only what was written at least so long ago (default 1d)", 0 },
};

const struct command cmd_gc = {
	.name = "gc",
	.usage = "[--dry-run] [--older-than TIME]",
	.summary = "deletes what nobody needs any more from the store",
	.text = "Checkpoints of jobs that were removed, what no record names, what was put aside and whose term is "
		"over,\n"
		"uploads that were never finished, and packed code that no spec names. What belongs to an unfinished\n"
		"job, or is lent to one, is never touched, nor what another installation has there. Where Redis seems\n"
		"to have lost something, it is only said; the exit code is 12 then.",
	.options = CLI_ROWS(gc_rows),
	.options_size = sizeof(struct gc_options),
	.run = gc_run,
};

const struct command cmd_verify = {
	.name = "verify",
	.usage = "",
	.summary = "reads all that is in the store, and compares it with its hashes",
	.text = "Every checkpoint, every transcript of an attempt and the archive. Prints what is damaged, and ends "
		"with "
		"12 if\n"
		"something is. It may take long: on a terminal a bar shows how far it is.",
	.run = verify_run,
};
