/*
 * What http_server.c (listening, dispatch), http_connection.c and http_reply.c (answers)
 * share, and nobody else sees.
 */
#ifndef STOKER_LIB_HTTP_PRIVATE_H
#define STOKER_LIB_HTTP_PRIVATE_H

#include <sys/queue.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include "lib/http_listen.h"
#include "lib/http_server.h"

enum {
	HTTP_MAX_HEADERS = 16 * 1024,
	HTTP_MAX_BODY = 8 * 1024 * 1024, /* thousands of specs in one request */
	HTTP_MAX_LISTENERS = 8,
	HTTP_STREAM_HIGH = 256 * 1024, /* unsent bytes from which a stream counts as full */
	HTTP_QUIET_MS = 15 * 1000,     /* without a byte, while bytes are due */
	HTTP_REQUEST_MS = 60 * 1000,   /* for a whole request to arrive, however it trickles, unless it is said */
	HTTP_PACK_FROM = 1024,         /* bytes from which an answer is packed for who takes it so */
};

/* One connection, from accept to close. */
struct http_connection {
	TAILQ_ENTRY(http_connection) next;
	struct http_server *server;
	struct bufferevent *bev;         /* a reference of ours until settled; then evcon's */
	struct evhttp_connection *evcon; /* NULL until settled */
	struct event *timer;             /* first: settle; then: the deadline of the next request */
	struct http_reply *reply;        /* token of the request that is being answered */
	unsigned char peer[8];           /* whose connections are counted together; zeros over a Unix socket */
	bool is_local;
	bool is_busy; /* from dispatch until the last byte of the answer has left */
};

struct http_server {
	struct event_base *base;
	struct evhttp *http;
	struct http_server_options options;
	char *token;
	char *allowed_hosts;
	struct http_listen listeners[HTTP_MAX_LISTENERS];
	struct evhttp_bound_socket *bound[HTTP_MAX_LISTENERS];
	size_t listener_count;
	TAILQ_HEAD(, http_connection) connections;
	size_t connection_count;
	size_t busy_count;
	bool is_stopping;
	http_idle_fn *idle;
	void *idle_arg;
	struct event *idle_event;
};

struct http_reply {
	struct http_connection *connection; /* NULL: the client is gone */
	struct evhttp_request *request;     /* NULL likewise */
	const struct http_route *route;     /* NULL: none was found, or none was looked for */
	char id[65];
	char tag[72]; /* of what is answered; "": none */
	struct http_stream_events events;
	bool is_stream;
};

/* http_reply.c */
struct http_reply *http_reply_new(struct http_connection *connection, struct evhttp_request *request);
void http_reply_lose_client(struct http_reply *reply);
/* Every answer says its status here: one that its route does not know is a defect, and is logged. */
void http_reply_status(const struct http_reply *reply, int status);
/* Parts the token from its connection: what is sent from now on is the library's. */
struct evhttp_request *http_reply_part(struct http_reply *reply);

/* http_connection.c */
struct bufferevent *http_connection_new(struct event_base *base, void *server);
void http_connection_settle(struct http_connection *connection); /* see there */
struct http_connection *http_connection_of(struct http_server *server, const struct evhttp_connection *evcon);
void http_connection_rest(struct http_connection *connection); /* the answer has left */

#endif
