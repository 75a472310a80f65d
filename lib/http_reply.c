#include "lib/http_private.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include "lib/buf.h"
#include "lib/gzip.h"
#include "lib/http_accept.h"
#include "lib/http_problem.h"
#include "lib/log.h"

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

/* The name that the caller has for the request, if it is a word; else one of our own. */
static void http_reply_name(struct http_reply *reply, const char *given)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	uint64_t number = 0;
	if (given && *given && strspn(given, letters) == strlen(given) && str_copy(reply->id, sizeof reply->id, given))
		return;
	if (getrandom(&number, sizeof number, GRND_NONBLOCK) != sizeof number)
		number = (uintptr_t)reply; /* only has to be told apart in a log */
	str_format(reply->id, sizeof reply->id, "%016" PRIx64, number);
}

struct http_reply *http_reply_new(struct http_connection *connection, struct evhttp_request *request)
{
	struct http_reply *reply = mem_alloc(sizeof *reply);
	reply->connection = connection;
	reply->request = request;
	http_reply_name(reply, evhttp_find_header(evhttp_request_get_input_headers(request), "X-Request-Id"));
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

void http_reply_location(struct http_reply *reply, const char *fmt, ...)
{
	char *path = NULL;
	va_list args;
	va_start(args, fmt);
	if (vasprintf(&path, fmt, args) < 0)
		mem_exhausted();
	va_end(args);
	http_reply_header(reply, "Location", path);
	free(path);
}

void http_reply_tag(struct http_reply *reply, const char *word)
{
	str_format(reply->tag, sizeof reply->tag, "W/\"%s\"", word);
	http_reply_header(reply, "ETag", reply->tag);
}

static const char *http_reply_asked(const struct http_reply *reply, const char *header)
{
	return evhttp_find_header(evhttp_request_get_input_headers(reply->request), header);
}

/* Text and a newline; packed, if it is long and the client takes it so. */
static void http_reply_body(struct http_reply *reply, const char *text, size_t len, struct evbuffer *body)
{
	CLEANUP(buf) struct buf packed, whole;
	buf_init(&packed, len + HTTP_PACK_FROM);
	buf_init(&whole, len + 2);
	http_reply_header(reply, "Vary", "Accept-Encoding");
	if (len >= HTTP_PACK_FROM && http_accepts_encoding(http_reply_asked(reply, "Accept-Encoding"), "gzip") &&
	    buf_add(&whole, text, len) && buf_byte(&whole, '\n') && gzip_add(&packed, whole.data, whole.len, NULL)) {
		http_reply_header(reply, "Content-Encoding", "gzip");
		evbuffer_add(body, packed.data, packed.len);
		return;
	}
	evbuffer_add(body, text, len);
	evbuffer_add(body, "\n", 1);
}

void http_reply_plain(struct http_reply *reply, int status, const char *type, const char *text, size_t len)
{
	struct evhttp_request *request = reply->request;
	if (request && status == 200 && *reply->tag &&
	    http_names_tag(http_reply_asked(reply, "If-None-Match"), reply->tag))
		status = 304;
	http_reply_status(reply, status);
	if (request) {
		log_debug("answered", "request_id=%s status=%d path=%s", reply->id, status,
			  evhttp_request_get_uri(request));
		struct evbuffer *body = evbuffer_new();
		if (status != 304)
			http_reply_header(reply, "Content-Type", type);
		if (status != 304 && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD)
			http_reply_body(reply, text, len, body);
		evhttp_send_reply(http_reply_part(reply), status, NULL, body);
		evbuffer_free(body);
	}
	free(reply);
}

void http_reply_json(struct http_reply *reply, int status, const char *text, size_t len)
{
	http_reply_plain(reply, status, "application/json", text, len);
}

static bool http_reply_has_parameter(const void *arg, const char *name)
{
	const struct http_reply *reply = arg;
	const struct evhttp_uri *uri = reply->request ? evhttp_request_get_evhttp_uri(reply->request) : NULL;
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
	struct evkeyvalq parameters;
	if (!query || evhttp_parse_query_str(query, &parameters) != 0)
		return false;
	bool is_there = evhttp_find_header(&parameters, name) != NULL;
	evhttp_clear_headers(&parameters);
	return is_there;
}

void http_reply_error(struct http_reply *reply, int status, const struct error *err)
{
	const struct error_kind_row *kind = error_kind_of(err->kind);
	const struct problem problem = { .status = status ? status : kind->http_status,
					 .err = err,
					 .request_id = reply->id,
					 .is_parameter = http_reply_has_parameter,
					 .arg = reply };
	status = problem.status;
	if (status == 401)
		http_reply_header(reply, "WWW-Authenticate", "Bearer");
	if (status == 503 || status == 429)
		http_reply_header(reply, "Retry-After", "1");
	if (status >= 500 && !kind->can_retry)
		log_error("a request failed", "request_id=%s kind=%s error=%s", reply->id, kind->name, err->message);
	json_auto_t *document = problem_document(&problem);
	CLEANUP(free_p) char *text = json_dumps(document, JSON_COMPACT);
	http_reply_plain(reply, status, "application/problem+json", text, strlen(text));
}

void http_reply_empty(struct http_reply *reply)
{
	http_reply_status(reply, 204);
	if (reply->request)
		evhttp_send_reply(http_reply_part(reply), 204, NULL, NULL);
	free(reply);
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
	http_reply_header(reply, "Content-Type", events->type ? events->type : "application/x-ndjson");
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

void http_stream_cut(struct http_reply *reply)
{
	if (reply->request)
		evhttp_connection_free(reply->connection->evcon);
}
