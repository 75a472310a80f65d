#include "cli/submit_bulk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "cli/client.h"
#include "cli/interrupt.h"
#include "lib/buf.h"
#include "lib/fields.h"
#include "queue/spec.h"

enum {
	BULK_LINES = 2000,
	BULK_BYTES = 4 * 1024 * 1024,
	BULK_TRIES = 5,
	BULK_RETRY_MS = 200,
};

struct bulk_file {
	const struct submit_bulk *o;
	const char *name;
	FILE *in;
	char *line; /* read ahead: it did not fit into the request before */
	size_t line_size;
	ssize_t line_len; /* -1: nothing is left */
	int64_t first;    /* number in the file of the first line of this request */
	int64_t lines;    /* of this request */
	int64_t answered; /* of this request; what a repeated answer says again is known */
	int64_t requests;
	int64_t accepted, refused;
};

bool submit_bulk_is_file(const char *path)
{
	static const char *const ends[] = { ".ndjson", ".jsonl" };
	size_t len = strlen(path);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (len > strlen(ends[i]) && strcmp(path + len - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

static bool bulk_read_line(struct bulk_file *f, struct error *err)
{
	errno = 0;
	f->line_len = getline(&f->line, &f->line_size, f->in);
	if (f->line_len < 0 && ferror(f->in))
		return error_errno(err, ERR_INPUT, NULL, "cannot read %s", f->name);
	if (f->line_len > 0 && strlen(f->line) != (size_t)f->line_len)
		return error_set(err, ERR_INPUT, NULL, "%s:%" PRId64 ": a NUL byte", f->name, f->first + f->lines);
	return true;
}

/* As many lines as make a request; the one that does not fit stays in f->line. */
static bool bulk_read_page(struct bulk_file *f, struct buf *page, struct error *err)
{
	buf_clear(page);
	f->first += f->lines;
	f->lines = f->answered = 0;
	while (f->line_len >= 0 && f->lines < BULK_LINES &&
	       (f->lines == 0 || page->len + (size_t)f->line_len < BULK_BYTES)) {
		if (f->line_len > SPEC_MAX_BYTES + 2)
			return error_set(err, ERR_INPUT, "training data belongs in files that the spec names",
					 "%s:%" PRId64 ": spec: expected at most %d bytes", f->name,
					 f->first + f->lines, SPEC_MAX_BYTES);
		buf_add(page, f->line, (size_t)f->line_len);
		f->lines++;
		if (!bulk_read_line(f, err))
			return false;
	}
	return true;
}

static bool bulk_on_object(void *arg, const json_t *object)
{
	struct bulk_file *f = arg;
	int64_t line = fields_int(object, "line", 0);
	const char *id = fields_text(object, "id"), *hint = fields_text(object, "hint");
	if (line <= f->answered)
		return true;
	f->answered = line;
	f->accepted += *id != '\0';
	f->refused += !*id;
	if (!*id)
		fprintf(stderr, "stoker: %s:%" PRId64 ": %s\n%s%s%s", f->name, f->first + line - 1,
			fields_text(object, "detail"), *hint ? "  hint: " : "", hint, *hint ? "\n" : "");
	if (f->o->cli->common.json) {
		json_auto_t *placed = json_copy((json_t *)object);
		json_object_set_new(placed, "line", json_integer(f->first + line - 1));
		cli_print_json_line(placed);
	} else if (*id) {
		puts(id);
	}
	if (*id)
		f->o->on_id(f->o->arg, id);
	return true;
}

/* The same request again when its answer was cut: every line has a key of its own. */
static bool bulk_post(struct bulk_file *f, const char *text, struct error *err)
{
	CLEANUP(buf) struct buf path;
	buf_init(&path, 4096);
	CLEANUP(free_p)
	char *header = mem_printf("Idempotency-Key: %s-%" PRId64, f->o->key, ++f->requests);
	struct client_text body = { .content_type = "application/x-ndjson", .text = text, .header = header };
	CLEANUP(close_fd) int interrupt = interrupt_open(err);
	if (interrupt < 0)
		return false;
	buf_str(&path, "/api/v1/jobs");
	client_query(&path, "queue", f->o->queue);
	struct client_stream stream = {
		.path = buf_text(&path), .body = &body, .fn = bulk_on_object, .arg = f, .interrupt_fd = interrupt
	};
	for (int tries = 1;; tries++) {
		bool ok = client_stream(f->o->cli, &stream, err);
		if (stream.interrupted) {
			f->o->cli->exit_code = EXIT_INTERRUPTED;
			return error_set(err, ERR_UNKNOWN, "send it again with the same --key: nothing is made twice",
					 "interrupted after %" PRId64 " jobs", f->accepted);
		}
		if (ok || tries == BULK_TRIES || !client_is_worth_waiting(err, tries == 1) ||
		    interrupt_wait(interrupt, BULK_RETRY_MS * tries))
			return ok;
	}
}

static bool bulk_send_all(struct bulk_file *f, struct error *err)
{
	CLEANUP(buf) struct buf page;
	buf_init(&page, BULK_BYTES + SPEC_MAX_BYTES + 4096);
	if (!bulk_read_line(f, err))
		return false;
	if (f->line_len < 0)
		return error_set(err, ERR_INPUT, "a spec a line, as JSON", "%s is empty", f->name);
	while (f->line_len >= 0)
		if (!bulk_read_page(f, &page, err) || !bulk_post(f, buf_text(&page), err))
			return false;
	if (!f->refused)
		return true;
	return error_set(err, ERR_INPUT, NULL, "%s: %" PRId64 " of %" PRId64 " specs were refused", f->name, f->refused,
			 f->refused + f->accepted);
}

bool submit_bulk_run(const struct submit_bulk *bulk, struct error *err)
{
	bool is_stdin = strcmp(bulk->path, "-") == 0;
	struct bulk_file f = { .o = bulk, .name = is_stdin ? "stdin" : bulk->path, .first = 1 };
	CLEANUP(fclose_p) FILE *opened = is_stdin ? NULL : fopen(bulk->path, "re");
	f.in = is_stdin ? stdin : opened;
	if (!f.in)
		return error_errno(err, ERR_INPUT, "name an existing file, or - for stdin", "cannot open %s",
				   bulk->path);
	bool ok = bulk_send_all(&f, err);
	free(f.line);
	return ok;
}
