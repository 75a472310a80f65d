#include "lib/http_private.h"

#include <string.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/http_accept.h"
#include "lib/http_guard.h"

/* ---- dispatch ---- */

const char *http_request_query(const struct http_request *r, const char *name)
{
	return evhttp_find_header(r->query, name);
}

const char *http_request_header(const struct http_request *r, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(r->raw), name);
}

static const char *http_method_name(enum evhttp_cmd_type type)
{
	if (type == EVHTTP_REQ_GET || type == EVHTTP_REQ_HEAD)
		return "GET";
	if (type == EVHTTP_REQ_DELETE)
		return "DELETE";
	return type == EVHTTP_REQ_POST ? "POST" : "other";
}

static size_t http_header_count(const struct evkeyvalq *headers, const char *name)
{
	size_t count = 0;
	const struct evkeyval *header;
	TAILQ_FOREACH(header, headers, next)
	count += evutil_ascii_strcasecmp(header->key, name) == 0;
	return count;
}

/* Requests that two parties could read differently, and callers that are not served. */
static bool http_request_may_enter(const struct http_server *server, const struct http_request *r, struct error *err)
{
	const struct evkeyvalq *headers = evhttp_request_get_input_headers(r->raw);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->raw);
	if (!uri || evhttp_uri_get_host(uri) || r->path[0] != '/')
		return error_set(err, ERR_INPUT, NULL, "the request target must be a path");
	if (http_header_count(headers, "Host") > 1 || http_header_count(headers, "Content-Length") > 1 ||
	    (http_request_header(r, "Content-Length") && http_request_header(r, "Transfer-Encoding")))
		return error_set(err, ERR_INPUT, NULL, "the request's headers contradict each other");
	const char *host = http_request_header(r, "Host");
	if (!r->is_local && !http_guard_host(host, server->allowed_hosts))
		return error_set(err, ERR_AUTH, "add it to allowed_hosts if it is a name of this server",
				 "the host \"%s\" is not served here", host ? host : "");
	const char *origin = http_request_header(r, "Origin");
	if (!http_guard_origin(origin, host))
		return error_set(err, ERR_AUTH, "web pages of other sites may not call",
				 "the origin \"%s\" may not call \"%s\"", origin, host ? host : "");
	return true;
}

/* The route, or NULL: then allow lists the methods that the path is answered with. */
static const struct http_route *http_route_find(const struct http_server *server, const char *method, const char *path,
						struct http_segments *segments, struct buf *allow)
{
	for (size_t g = 0; g < server->options.group_count; g++)
		for (size_t i = 0; i < server->options.groups[g]->count; i++) {
			const struct http_route *route = &server->options.groups[g]->routes[i];
			if (!http_guard_route(route->pattern, path, segments))
				continue;
			if (strcmp(route->method, method) == 0)
				return route;
			bool is_get = strcmp(route->method, "GET") == 0;
			buf_printf(allow, "%s%s", allow->len ? ", " : "", is_get ? "GET, HEAD" : route->method);
		}
	return NULL;
}

static void http_refuse_route(const struct http_request *r, struct http_reply *reply, const struct buf *allow)
{
	struct error err;
	if (allow->len) {
		evhttp_add_header(evhttp_request_get_output_headers(r->raw), "Allow", buf_text(allow));
		error_set(&err, ERR_INPUT, NULL, "%s is answered with %s only", r->path, buf_text(allow));
		http_reply_error(reply, 405, &err);
		return;
	}
	error_set(&err, ERR_NOT_FOUND, "docs/api.md lists what there is", "there is no %s", r->path);
	http_reply_error(reply, 0, &err);
}

/* What is sent is not of a type that the route reads, or what it answers is of none that is asked for: the status that
 * says so; 0: all is well. */
static int http_request_misfit(const struct http_route *route, const struct http_request *r, struct error *err)
{
	const char *types = route->body_types ? route->body_types : "application/json";
	const char *accept = http_request_header(r, "Accept");
	bool is_accepted = false;
	/* A form or plain text is what a web page could send without asking first. */
	if (route->body && r->body_len && !http_is_type(http_request_header(r, "Content-Type"), types)) {
		CLEANUP(free_p) char *hint = mem_printf("send one of them as Content-Type: %s", types);
		error_set(err, ERR_INPUT, hint, "the type of the body is not one that is read here");
		return 415;
	}
	for (size_t i = 0; i < HTTP_OUTCOMES_MAX && route->answers[i].status; i++) {
		const char *type = route->answers[i].type;
		is_accepted = is_accepted || http_accepts_type(accept, type ? type : "application/json");
	}
	if (is_accepted)
		return 0;
	error_set(err, ERR_INPUT, "send Accept: */*, or none", "Accept allows nothing that is answered here");
	return 406;
}

/* Finds the route and asks for the token; what is refused is answered here. */
static void http_dispatch(struct http_server *server, struct http_request *r, struct http_segments *segments,
			  struct http_reply *reply)
{
	struct error err;
	CLEANUP(buf) struct buf allow;
	buf_init(&allow, 256);
	if (server->is_stopping) {
		error_set(&err, ERR_UNAVAILABLE, "try again: another one may be there", "the server is stopping");
		http_reply_error(reply, 0, &err);
		return;
	}
	if (!http_request_may_enter(server, r, &err)) {
		http_reply_error(reply, err.kind == ERR_AUTH ? 403 : 0, &err);
		return;
	}
	const char *method = http_method_name(evhttp_request_get_command(r->raw));
	const struct http_route *route = http_route_find(server, method, r->path, segments, &allow);
	/* Asked before anything is told about paths: who has no token learns nothing. */
	if ((!route || !route->is_open) && !r->is_local &&
	    !http_guard_token(http_request_header(r, "Authorization"), server->token)) {
		error_set(&err, ERR_AUTH, "send Authorization: Bearer <token>", "the token is missing or wrong");
		http_reply_error(reply, 0, &err);
		return;
	}
	if (!route) {
		http_refuse_route(r, reply, &allow);
		return;
	}
	reply->route = route;
	r->segment = segments->all[0];
	r->part = segments->all[1];
	int refused = http_request_misfit(route, r, &err);
	if (refused)
		http_reply_error(reply, refused, &err);
	else
		route->handler(server->options.arg, r, reply);
}

static void http_server_request(struct evhttp_request *raw, void *arg)
{
	struct http_server *server = arg;
	struct http_connection *c = http_connection_of(server, evhttp_request_get_connection(raw));
	c->is_busy = true;
	server->busy_count++;
	event_del(c->timer);
	struct http_reply *reply = http_reply_new(c, raw);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(raw);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
	struct evbuffer *input = evhttp_request_get_input_buffer(raw);
	size_t len = evbuffer_get_length(input);
	evbuffer_add(input, "", 1);
	struct evkeyvalq parameters;
	struct http_segments segments;
	struct http_request r = { .path = path ? path : "",
				  .segment = "",
				  .part = "",
				  .body = (const char *)evbuffer_pullup(input, -1),
				  .body_len = len,
				  .is_local = c->is_local,
				  .raw = raw,
				  .query = &parameters };
	if (evhttp_parse_query_str(query ? query : "", &parameters) == 0) {
		http_dispatch(server, &r, &segments, reply);
	} else {
		struct error err;
		error_set(&err, ERR_INPUT, "write it as name=value&name=value", "the query is malformed");
		http_reply_error(reply, 0, &err);
	}
	evhttp_clear_headers(&parameters);
}

/* ---- the server ---- */

static void http_server_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct http_server *server = arg;
	if (server->busy_count == 0 && server->idle)
		server->idle(server->idle_arg);
}

static bool http_server_needs_token(const struct http_server *server)
{
	for (size_t g = 0; g < server->options.group_count; g++)
		for (size_t i = 0; i < server->options.groups[g]->count; i++)
			if (!server->options.groups[g]->routes[i].is_open)
				return true;
	return false;
}

static bool http_server_listen(struct http_server *server, const char *where, struct error *err)
{
	if (server->listener_count == HTTP_MAX_LISTENERS)
		return error_set(err, ERR_INPUT, NULL, "cannot listen on more than %d addresses", HTTP_MAX_LISTENERS);
	struct http_listen *l = &server->listeners[server->listener_count];
	if (!http_listen_open(where, l, err))
		return false;
	server->listener_count++;
	if (!l->is_local && !server->token && http_server_needs_token(server))
		return error_set(err, ERR_INPUT, "give it one with --token-file, or listen on unix:/path only",
				 "listening on %s needs a token", where);
	server->bound[server->listener_count - 1] = evhttp_accept_socket_with_handle(server->http, l->fd);
	if (!server->bound[server->listener_count - 1])
		return error_set(err, ERR_SYSTEM, NULL, "cannot accept on %s", where);
	l->fd = -1; /* the library's now */
	/* Somebody who was told the address may use it: it is no name that a page could fake. */
	char *hosts = mem_printf("%s,%s", server->allowed_hosts, l->authority);
	free(server->allowed_hosts);
	server->allowed_hosts = hosts;
	return true;
}

static bool http_server_listen_all(struct http_server *server, struct error *err)
{
	CLEANUP(free_p) char *list = mem_strdup(server->options.listen ? server->options.listen : "");
	char *rest = list;
	for (char *where = strsep(&rest, ","); where; where = strsep(&rest, ",")) {
		where += strspn(where, " ");
		if (*where && !http_server_listen(server, where, err))
			return false;
	}
	return server->listener_count > 0 || error_set(err, ERR_INPUT, "for example unix:/run/stoker/scheduler.sock",
						       "there is nothing to listen on");
}

struct http_server *http_server_new(struct event_base *base, const struct http_server_options *options,
				    struct error *err)
{
	struct http_server *server = mem_alloc(sizeof *server);
	server->base = base;
	server->options = *options;
	server->token = mem_strdup(options->token);
	server->allowed_hosts = mem_strdup(options->allowed_hosts ? options->allowed_hosts : "");
	if (!server->options.max_connections)
		server->options.max_connections = 512;
	if (!server->options.max_connections_each)
		server->options.max_connections_each = server->options.max_connections;
	if (!server->options.request_ms)
		server->options.request_ms = HTTP_REQUEST_MS;
	TAILQ_INIT(&server->connections);
	server->http = evhttp_new(base);
	server->idle_event = event_new(base, -1, 0, http_server_idle, server);
	if (!server->http || !server->idle_event)
		abort();
	/* Unlimited by default. The oversized body is read to its end, not kept, so that
	 * the client sees the answer. Every method comes to http_dispatch, which refuses. */
	evhttp_set_max_headers_size(server->http, HTTP_MAX_HEADERS);
	evhttp_set_max_body_size(server->http, HTTP_MAX_BODY);
	evhttp_set_flags(server->http, EVHTTP_SERVER_LINGERING_CLOSE);
	evhttp_set_allowed_methods(server->http, UINT16_MAX);
	evhttp_set_default_content_type(server->http, NULL);
	int64_t request_ms = server->options.request_ms;
	struct timeval quiet = clock_timeval(request_ms < HTTP_QUIET_MS ? request_ms : HTTP_QUIET_MS);
	evhttp_set_timeout_tv(server->http, &quiet);
	evhttp_set_bevcb(server->http, http_connection_new, server);
	evhttp_set_gencb(server->http, http_server_request, server);
	if (http_server_listen_all(server, err))
		return server;
	http_server_free(server);
	return NULL;
}

void http_server_stop(struct http_server *server, http_idle_fn *idle, void *arg)
{
	server->idle = idle;
	server->idle_arg = arg;
	server->is_stopping = true;
	for (size_t i = 0; i < server->listener_count; i++) {
		if (server->bound[i])
			evhttp_del_accept_socket(server->http, STEAL(server->bound[i]));
		http_listen_close(&server->listeners[i]);
	}
	if (server->busy_count == 0)
		event_active(server->idle_event, EV_TIMEOUT, 1);
}

void http_server_addresses(const struct http_server *server, struct buf *into)
{
	for (size_t i = 0; i < server->listener_count; i++) {
		const struct http_listen *l = &server->listeners[i];
		if (l->is_local)
			buf_printf(into, "SOCKET=%s\n", l->path);
		else
			buf_printf(into, "URL=http://%s\n", l->authority);
	}
}

size_t http_server_connections(const struct http_server *server)
{
	return server->connection_count;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	http_server_stop(server, NULL, NULL);
	struct http_connection *c, *after;
	for (c = TAILQ_FIRST(&server->connections); c; c = after) {
		after = TAILQ_NEXT(c, next);
		if (!c->evcon)
			http_connection_settle(c); /* stopping: this closes it */
	}
	evhttp_free(server->http);
	event_free(server->idle_event);
	free(server->token);
	free(server->allowed_hosts);
	free(server);
}
