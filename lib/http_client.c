/*
 * See the headers. Here is what both transports share: what a client is, what becomes of
 * an answer's body, and what is known when there is no answer.
 */
#include "lib/http_client.h"

#include <jansson.h>
#include <string.h>
#include "lib/http_exchange.h"

#define HTTP_BODY_MAX  (64U << 20)
#define HTTP_LINE_MAX  (16U << 20) /* a log entry is far below it */
#define HTTP_ERROR_MAX (64U << 10)

struct http_client *http_client_new(const struct http_client_options *options, struct error *err)
{
	if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0) {
		error_set(err, ERR_INPUT, "write it as http://127.0.0.1:8700", "\"%s\" is not an http or https url",
			  options->url);
		return NULL;
	}
	struct http_client *client = mem_alloc(sizeof *client);
	client->url = mem_strdup(options->url);
	for (size_t len = strlen(client->url); len && client->url[len - 1] == '/'; len--)
		client->url[len - 1] = '\0';
	client->unix_socket = mem_strdup(options->unix_socket);
	client->ca_file = mem_strdup(options->ca_file);
	client->token = mem_strdup(options->token);
	client->user_agent = mem_strdup(options->user_agent);
	client->header = mem_strdup(options->header);
	client->peer = mem_strdup(options->peer ? options->peer : "the server");
	client->down_hint = mem_strdup(options->down_hint);
	client->where = options->unix_socket ? mem_printf("unix:%s", options->unix_socket) : mem_strdup(client->url);
	client->connect_ms = options->connect_ms ? options->connect_ms : 5000;
	return client;
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	http_curl_free(client->curl);
	free(client->url);
	free(client->unix_socket);
	free(client->ca_file);
	free(client->token);
	free(client->user_agent);
	free(client->header);
	free(client->peer);
	free(client->down_hint);
	free(client->where);
	free(client);
}

const char *http_client_where(const struct http_client *client)
{
	return client->where;
}

void http_answer_done(struct http_answer *answer)
{
	buf_done(&answer->body);
}

void http_encode(struct buf *into, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
			     strchr("-._~", *p);
		if (plain)
			buf_byte(into, (char)*p);
		else
			buf_printf(into, "%%%02X", *p);
	}
}

/* ---- the body ---- */

/* Hands every whole line to the caller; what follows the last newline stays. */
static bool http_exchange_lines(struct http_exchange *x, const char *data, size_t len)
{
	while (len && !x->is_stopped) {
		const char *newline = memchr(data, '\n', len);
		size_t part = newline ? (size_t)(newline - data) : len;
		if (!buf_add(&x->line, data, part)) {
			x->is_too_large = true;
			return false;
		}
		if (!newline)
			return true;
		x->is_stopped = !x->call->on_line(x->call->arg, buf_text(&x->line), x->line.len);
		buf_clear(&x->line);
		data += part + 1;
		len -= part + 1;
	}
	return !x->is_stopped;
}

bool http_exchange_body(struct http_exchange *x, int status, const char *data, size_t len)
{
	if (status < 200 || status > 299) {
		buf_add(&x->error, data, len);
		return true;
	}
	if (x->call->on_line)
		return http_exchange_lines(x, data, len);
	if (x->call->on_data) {
		x->is_stopped = !x->call->on_data(x->call->arg, status, data, len);
		return !x->is_stopped;
	}
	x->is_too_large = !buf_add(&x->answer->body, data, len);
	return !x->is_too_large;
}

/* ---- the outcome ---- */

/* The kind of an answer that states none: a proxy's, for example. */
static enum error_kind http_kind_of(int status)
{
	if (status == 401 || status == 403)
		return ERR_AUTH;
	if (status == 404)
		return ERR_NOT_FOUND;
	if (status == 409)
		return ERR_CONFLICT;
	if (status == 504 || status == 408)
		return ERR_TIMEOUT;
	if (status == 502 || status == 503 || status == 429)
		return ERR_UNAVAILABLE;
	return status >= 500 ? ERR_INTERNAL : ERR_INPUT;
}

bool http_problem(struct error *err, int status, const char *body, size_t len)
{
	json_auto_t *problem = json_loadb(body, len, 0, NULL);
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *hint = json_string_value(json_object_get(problem, "hint"));
	const char *kind = json_string_value(json_object_get(problem, "kind"));
	if (!detail)
		return error_set(err, http_kind_of(status), NULL, "the server answered with status %d", status);
	return error_set(err, kind ? error_kind_from_name(kind) : http_kind_of(status), hint, "%s", detail);
}

static bool http_outcome(struct http_exchange *x, enum http_end end, struct error *err)
{
	const struct http_client *client = x->client;
	switch (end) {
	case HTTP_END_INTERRUPTED:
		x->answer->interrupted = true;
		return true;
	case HTTP_END_UNREACHABLE:
		return error_set(err, ERR_UNAVAILABLE, client->down_hint, "cannot reach %s at %s: %s", client->peer,
				 client->where, x->reason);
	case HTTP_END_LATE:
		return error_set(err, ERR_TIMEOUT, NULL, "%s at %s did not answer in time", client->peer,
				 client->where);
	case HTTP_END_LOST:
		return error_set(err, ERR_UNKNOWN, NULL, "lost the connection to %s at %s: %s", client->peer,
				 client->where, x->reason);
	case HTTP_END_ANSWER:
		x->answer->status = x->status;
		if (x->status >= 200 && x->status <= 299)
			return true;
		return http_problem(err, x->status, buf_text(&x->error), x->error.len);
	case HTTP_END_FAILED:
		break;
	}
	return false;
}

bool http_client_call(struct http_client *client, const struct http_call *call, struct http_answer *answer,
		      struct error *err)
{
	*answer = (struct http_answer){ 0 };
	buf_init(&answer->body, HTTP_BODY_MAX);
	struct http_exchange x = { .client = client, .call = call, .answer = answer };
	buf_init(&x.line, HTTP_LINE_MAX);
	buf_init(&x.error, HTTP_ERROR_MAX);
	bool is_plain = strncmp(client->url, "http://", 7) == 0;
	enum http_end end = is_plain ? http_plain_run(&x, err) : http_curl_run(client, &x, err);
	bool ok;
	if (x.is_too_large)
		ok = error_set(err, ERR_DAMAGED, NULL, "the answer of %s is larger than %u MiB", client->peer,
			       HTTP_BODY_MAX >> 20);
	else
		ok = http_outcome(&x, end, err);
	buf_done(&x.line);
	buf_done(&x.error);
	return ok;
}
