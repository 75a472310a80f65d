/* stoker gc and stoker verify: the whole store, as the scheduler sees it. */
#include <inttypes.h>
#include <string.h>
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/text.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/fields.h"

struct gc_options {
	bool dry_run;
	const char *older_than;
};

struct gc_reading {
	struct cli *cli;
	bool is_verify;
	bool has_sum;
	struct error failed; /* as the scheduler said it */
};

static void gc_print_object(const struct gc_reading *r, const json_t *object)
{
	const char *action = fields_text(object, "action"), *key = fields_text(object, "key");
	char size[32] = "", age[32];
	if (r->is_verify && strcmp(action, "good") == 0)
		return; /* only what is not */
	if (json_object_get(object, "size"))
		text_size(fields_int(object, "size", 0), size, sizeof size);
	text_age(clock_wall_ms() - fields_int(object, "modified_ms", 0), age, sizeof age);
	printf("%-12s %-12s %10s %5s  %s  %s\n", action, fields_text(object, "job"), size, age, key,
	       fields_text(object, "why"));
	fflush(stdout);
}

static void gc_print_sum(const struct gc_reading *r, const json_t *sum)
{
	char size[32];
	int64_t problems = fields_int(sum, "problems", 0);
	text_size(fields_int(sum, "bytes", 0), size, sizeof size);
	printf("%" PRId64 " %s, %s", fields_int(sum, "objects", 0), r->is_verify ? "checkpoints read" : "leftovers",
	       size);
	if (problems)
		printf("; %" PRId64 " %s", problems, r->is_verify ? "damaged" : "kept, to be looked at");
	printf("\n");
	if (problems)
		r->cli->exit_code = EXIT_CHECK_FAILED;
}

static bool gc_object(void *arg, const json_t *object)
{
	struct gc_reading *r = arg;
	const json_t *sum = json_object_get(object, "sum"), *error = json_object_get(object, "error");
	if (error) {
		error_set(&r->failed, error_kind_from_name(fields_text(error, "kind")), fields_text(error, "hint"),
			  "%s", fields_text(error, "detail"));
		return false;
	}
	r->has_sum = r->has_sum || sum;
	if (r->cli->common.json)
		cli_print_json_line(object);
	else if (sum)
		gc_print_sum(r, sum);
	else
		gc_print_object(r, object);
	if (sum && fields_int(sum, "problems", 0))
		r->cli->exit_code = EXIT_CHECK_FAILED;
	return true;
}

static bool gc_ask(struct cli *cli, const char *path, const json_t *body, bool is_verify, struct error *err)
{
	struct gc_reading reading = { .cli = cli, .is_verify = is_verify };
	CLEANUP(free_p) char *text = json_dumps(body, JSON_COMPACT);
	const struct client_text json = { .content_type = "application/json", .text = text };
	CLEANUP(close_fd) int interrupt_fd = interrupt_open(err);
	struct client_stream stream = {
		.path = path, .body = &json, .fn = gc_object, .arg = &reading, .interrupt_fd = interrupt_fd
	};
	if (interrupt_fd < 0 || !client_stream(cli, &stream, err))
		return false;
	if (stream.interrupted) {
		cli->exit_code = EXIT_INTERRUPTED;
		return true;
	}
	if (reading.failed.kind) {
		*err = reading.failed;
		return false;
	}
	return reading.has_sum ||
	       error_set(err, ERR_UNKNOWN, "the same again goes on", "the scheduler ended before it was through");
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
		"over, "
		"and\n"
		"uploads that were never finished. What belongs to an unfinished job, or is lent to one, is never "
		"touched, nor what\n"
		"another installation has there. Where Redis seems to have lost something, it is only said; the exit "
		"code is 12 then.",
	.options = CLI_ROWS(gc_rows),
	.options_size = sizeof(struct gc_options),
	.run = gc_run,
};

const struct command cmd_verify = {
	.name = "verify",
	.usage = "",
	.summary = "reads every checkpoint in the store, and compares it with its hashes",
	.text = "Prints what is damaged, and ends with 12 if something is. It may take long.",
	.run = verify_run,
};
