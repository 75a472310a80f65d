/*
 * Thousands of submits in one request: a spec a line in the body, an answer a line in
 * the reply, in the same order, as they are made. Goes through the body in pages of
 * one stoker_bulk each; the next page is sent when the one before was answered and
 * the reader has taken what was said.
 */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "scheduler/api.h"

struct bulk {
	struct api_call *call; /* its spec is the whole body */
	struct http_reply *reply;
	const char *at; /* where the next page begins */
	const char *end;
	int64_t line;                 /* the last one that was read */
	int64_t lines[JOBS_BULK_MAX]; /* of the page on its way */
	size_t count;
	const char *page; /* where it began, and the line before it: to send it again */
	int64_t page_line;
	bool is_started, is_waiting, is_gone, is_second_try;
	struct error failed; /* Redis went away: what is left is not sent */
};

static void bulk_page(struct bulk *bulk);

static void bulk_free(struct bulk *bulk)
{
	api_forget(bulk->call);
	free(bulk);
}

/* ---- the reply ---- */

static void bulk_drained(void *arg)
{
	struct bulk *bulk = arg;
	if (!bulk->is_waiting)
		return;
	bulk->is_waiting = false;
	bulk_page(bulk);
}

/* The jobs that were made stay; who asked may ask again with the same key. */
static void bulk_closed(void *arg)
{
	struct bulk *bulk = arg;
	bulk->is_gone = true;
	bulk_drained(bulk);
}

static void bulk_start(struct bulk *bulk)
{
	const struct http_stream_events events = { .drained = bulk_drained, .closed = bulk_closed, .arg = bulk };
	if (!bulk->is_started)
		http_stream_start(bulk->reply, &events);
	bulk->is_started = true;
}

static void bulk_say(struct bulk *bulk, json_t *object)
{
	CLEANUP(free_p) char *text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (text && !bulk->is_gone)
		http_stream_line(bulk->reply, text, strlen(text));
}

static void bulk_say_error(struct bulk *bulk, int64_t line, const struct error *err)
{
	bulk_say(bulk, json_pack("{s:I, s:s, s:s, s:s}", "line", (json_int_t)line, "kind",
				 error_kind_of(err->kind)->name, "detail", err->message, "hint", err->hint));
}

/* ---- pages ---- */

static bool bulk_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line that is not empty; NULL: there is none. */
static const char *bulk_next_line(struct bulk *bulk, size_t *len)
{
	while (bulk->at < bulk->end) {
		const char *line = bulk->at;
		const char *newline = memchr(line, '\n', (size_t)(bulk->end - line));
		*len = (size_t)((newline ? newline : bulk->end) - line);
		bulk->at = line + *len + (newline != NULL);
		bulk->line++;
		while (*len && bulk_is_space(line[*len - 1]))
			(*len)--;
		if (*len)
			return line;
	}
	return NULL;
}

static void bulk_on_queue_made(void *arg, const char *text, size_t len, const struct error *err)
{
	struct bulk *bulk = arg;
	(void)text;
	(void)len;
	bulk->at = bulk->page;
	bulk->line = bulk->page_line;
	if (err)
		bulk->failed = *err;
	bulk_page(bulk);
}

static void bulk_on_answers(void *arg, const struct bulk_answer *answers, size_t count, const struct error *err)
{
	struct bulk *bulk = arg;
	/* The first job of a queue makes the queue. */
	if (err && err->kind == ERR_NOT_FOUND && !bulk->is_second_try) {
		bulk->is_second_try = true;
		jobs_create_queue(bulk->call->scheduler->jobs, bulk->call->queue, bulk->call->scheduler->installation,
				  bulk_on_queue_made, bulk);
		return;
	}
	bulk_start(bulk);
	if (err)
		bulk->failed = *err;
	for (size_t i = 0; i < bulk->count; i++) {
		if (err || i >= count) {
			bulk_say_error(bulk, bulk->lines[i], err ? err : &bulk->failed);
		} else if (!answers[i].id) {
			bulk_say_error(bulk, bulk->lines[i], &answers[i].error);
		} else {
			api_made(bulk->call, answers[i].id);
			bulk_say(bulk,
				 json_pack("{s:I, s:s}", "line", (json_int_t)bulk->lines[i], "id", answers[i].id));
		}
	}
	bulk_page(bulk);
}

static void bulk_send(struct bulk *bulk)
{
	struct bulk_item items[JOBS_BULK_MAX];
	char keys[JOBS_BULK_MAX][129];
	const char *line;
	size_t len;
	bulk->count = 0;
	bulk->page = bulk->at;
	bulk->page_line = bulk->line;
	while (bulk->count < JOBS_BULK_MAX && (line = bulk_next_line(bulk, &len))) {
		char *key = keys[bulk->count];
		key[0] = '\0';
		if (*bulk->call->key)
			str_format(key, sizeof keys[0], "%s:%" PRId64, bulk->call->key, bulk->line);
		bulk->lines[bulk->count] = bulk->line;
		items[bulk->count++] = (struct bulk_item){ line, len, key };
	}
	if (bulk->count)
		jobs_bulk(bulk->call->scheduler->jobs, bulk->call->queue, bulk->call->actor, items, bulk->count,
			  bulk_on_answers, bulk);
}

static void bulk_page(struct bulk *bulk)
{
	const char *line;
	size_t len;
	if (bulk->is_started && !bulk->is_gone && http_stream_is_full(bulk->reply)) {
		bulk->is_waiting = true;
		return;
	}
	bulk->count = 0;
	if (!bulk->failed.kind && !bulk->is_gone)
		bulk_send(bulk);
	if (bulk->count)
		return;
	bulk_start(bulk);
	while (bulk->failed.kind && !bulk->is_gone && (line = bulk_next_line(bulk, &len)))
		bulk_say_error(bulk, bulk->line, &bulk->failed);
	http_stream_end(bulk->reply);
	bulk_free(bulk);
}

static bool bulk_read(struct api_call *call, const struct http_request *request, struct error *err)
{
	const char *key = http_request_header(request, "Idempotency-Key");
	const char *queue = http_request_query(request, "queue");
	if (key && (strlen(key) > 100 || !str_copy(call->key, sizeof call->key, key)))
		return error_set(err, ERR_INPUT, NULL, "Idempotency-Key: longer than 100 characters");
	if (request->body_len == 0)
		return error_set(err, ERR_INPUT, "a spec a line, as JSON", "the body is empty");
	call->spec = mem_strndup(request->body, request->body_len);
	return api_queue(call, queue && *queue ? queue : "default", err);
}

void api_bulk(struct api_call *call, const struct http_request *request)
{
	struct error err;
	if (!bulk_read(call, request, &err)) {
		api_refuse(call, &err);
		return;
	}
	struct bulk *bulk = mem_alloc(sizeof *bulk);
	bulk->call = call;
	bulk->reply = call->reply;
	bulk->at = call->spec;
	bulk->end = call->spec + request->body_len;
	bulk_page(bulk);
}
