#include "cli/lines.h"

#include "cli/client.h"
#include "cli/interrupt.h"
#include "lib/cleanup.h"
#include "lib/fields.h"

struct lines_reading {
	struct cli *cli;
	const struct lines *lines;
	bool has_sum;
	struct error failed; /* as the scheduler said it */
};

static bool lines_object(void *arg, const json_t *object)
{
	struct lines_reading *r = arg;
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
		r->lines->sum(r->lines->arg, sum);
	else
		r->lines->object(r->lines->arg, object);
	if (sum && fields_int(sum, r->lines->problems, 0))
		r->cli->exit_code = EXIT_CHECK_FAILED;
	return true;
}

bool lines_ask(struct cli *cli, const struct lines *lines, struct error *err)
{
	struct lines_reading reading = { .cli = cli, .lines = lines };
	CLEANUP(free_p) char *text = json_dumps(lines->body, JSON_COMPACT);
	const struct client_text json = { .content_type = "application/json", .text = text };
	CLEANUP(close_fd) int interrupt_fd = interrupt_open(err);
	struct client_stream stream = {
		.path = lines->path, .body = &json, .fn = lines_object, .arg = &reading, .interrupt_fd = interrupt_fd
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
