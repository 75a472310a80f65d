#include "lib/http_private.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/random.h>
#include <event2/buffer.h>
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/utf8.h"

void http_reply_header(struct http_reply *reply, const char *name, const char *value)
{
	if (reply->request)
		evhttp_add_header(evhttp_request_get_output_headers(reply->request), name, value);
}

/* The whole answer has been written to the socket. */
static void http_reply_sent(struct evhttp_request *request, void *arg)
{
	(void)request;
	http_connection_rest(arg);
}

struct http_reply *http_reply_new(struct http_connection *connection, struct evhttp_request *request)
{
	struct http_reply *reply = mem_alloc(sizeof *reply);
	reply->connection = connection;
	reply->request = request;
	uint64_t number = 0;
	if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
		number = (uintptr_t)reply; /* only has to be told apart in a log */
	str_format(reply->id, sizeof reply->id, "%016" PRIx64, number);
	connection->reply = reply;
	evhttp_request_set_on_complete_cb(request, http_reply_sent, connection);
	http_reply_header(reply, "X-Request-Id", reply->id);
	http_reply_header(reply, "X-Content-Type-Options", "nosniff");
	http_reply_header(reply, "Cache-Control", "no-store");
	return reply;
}

/* The connection is being closed. A request that was still waiting for its answer
 * has been taken off the connection and is ours to free; one whose answer was begun
 * is freed with the connection. */
void http_reply_lose_client(struct http_reply *reply)
{
	if (!evhttp_request_get_connection(reply->request))
		evhttp_request_free(reply->request);
	reply->request = NULL;
	reply->connection = NULL;
	if (reply->is_stream && reply->events.closed)
		reply->events.closed(reply->events.arg);
}

struct evhttp_request *http_reply_part(struct http_reply *reply)
{
	struct evhttp_request *request = STEAL(reply->request);
	if (reply->connection) {
		if (reply->connection->server->is_stopping && !reply->is_stream)
			evhttp_add_header(evhttp_request_get_output_headers(request), "Connection", "close");
		reply->connection->reply = NULL;
		reply->connection = NULL;
	}
	return request;
}

void http_reply_status(const struct http_reply *reply, int status)
{
	if (reply->route && !http_route_has(reply->route, status))
		log_error("a status that the table of routes does not know",
			  "request_id=%s method=%s route=%s status=%d", reply->id, reply->route->method,
			  reply->route->pattern, status);
}

static void http_reply_text(struct http_reply *reply, int status, const char *type, const char *text, size_t len)
{
	struct evhttp_request *request = reply->request;
	http_reply_status(reply, status);
	if (request) {
		http_reply_header(reply, "Content-Type", type);
		log_debug("answered", "request_id=%s status=%d path=%s", reply->id, status,
			  evhttp_request_get_uri(request));
		struct evbuffer *body = evbuffer_new();
		if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
			evbuffer_add(body, text, len);
			evbuffer_add(body, "\n", 1);
		}
		evhttp_send_reply(http_reply_part(reply), status, NULL, body);
		evbuffer_free(body);
	}
	free(reply);
}

void http_reply_json(struct http_reply *reply, int status, const char *text, size_t len)
{
	http_reply_text(reply, status, "application/json", text, len);
}

void http_reply_error(struct http_reply *reply, int status, const struct error *err)
{
	const struct error_kind_row *kind = error_kind_of(err->kind);
	if (!status)
		status = kind->http_status;
	if (status == 401)
		http_reply_header(reply, "WWW-Authenticate", "Bearer");
	if (status == 503 || status == 429)
		http_reply_header(reply, "Retry-After", "1");
	if (status >= 500 && !kind->can_retry)
		log_failure(LOG_ERROR, "a request failed", err);
	/* What a caller sent may stand in a message, and need not be UTF-8: it is cut there. */
	size_t detail = utf8_valid_prefix(err->message, strlen(err->message));
	size_t hint = utf8_valid_prefix(err->hint, strlen(err->hint));
	json_auto_t *problem = json_pack("{s:s, s:s, s:i, s:s%, s:s%, s:s, s:s}", "type", "about:blank", "title",
					 kind->name, "status", status, "detail", err->message, detail, "hint",
					 err->hint, hint, "kind", kind->name, "request_id", reply->id);
	CLEANUP(free_p) char *text = json_dumps(problem, JSON_COMPACT);
	http_reply_text(reply, status, "application/problem+json", text, strlen(text));
}

const char *http_reply_id(const struct http_reply *reply)
{
	return reply->id;
}

void http_stream_start(struct http_reply *reply, const struct http_stream_events *events)
{
	http_reply_status(reply, 200);
	reply->is_stream = true;
	reply->events = *events;
	if (!reply->request)
		return;
	http_reply_header(reply, "Content-Type", "application/x-ndjson");
	http_reply_header(reply, "Connection", "close");
	/* A stream may be silent for long, and its reader may be: only the kernel's
	 * keepalive ends it. */
	bufferevent_set_timeouts(reply->connection->bev, NULL, NULL);
	bufferevent_set_max_single_write(reply->connection->bev, HTTP_STREAM_HIGH); /* not 16 KiB a turn of the loop */
	evhttp_send_reply_start(reply->request, 200, NULL);
}

static void http_stream_drained(struct evhttp_connection *evcon, void *arg)
{
	(void)evcon;
	const struct http_reply *reply = arg;
	if (reply->events.drained)
		reply->events.drained(reply->events.arg);
}

bool http_stream_line(struct http_reply *reply, const char *line, size_t len)
{
	if (!reply->request)
		return false;
	struct evbuffer *chunk = evbuffer_new();
	evbuffer_add(chunk, line, len);
	evbuffer_add(chunk, "\n", 1);
	evhttp_send_reply_chunk_with_cb(reply->request, chunk, http_stream_drained, reply);
	evbuffer_free(chunk);
	return true;
}

bool http_stream_is_full(const struct http_reply *reply)
{
	return reply->request && evbuffer_get_length(bufferevent_get_output(reply->connection->bev)) > HTTP_STREAM_HIGH;
}

bool http_stream_is_void(const struct http_reply *reply)
{
	return !reply->request || evhttp_request_get_command(reply->request) == EVHTTP_REQ_HEAD;
}

void http_stream_end(struct http_reply *reply)
{
	if (reply->request)
		evhttp_send_reply_end(http_reply_part(reply));
	free(reply);
}
