/*
 * An HTTP/1.1 server on a libevent base: a table of routes, the rules on who may
 * call (lib/http_guard.h), bounds on everything a caller can send or hold, and
 * answers that may come later.
 *
 * A handler gets the request, which is valid during the handler only, and a reply
 * token. The rule this file protects: each token is ended exactly once by its
 * holder (http_reply_json, http_reply_error or http_stream_end), at any time,
 * whether or not the client is still there; a client that hangs up makes the
 * answer go nowhere and never leaves a dangling pointer. Freeing the server ends
 * the connections; tokens not yet ended stay valid until their holder ends them.
 *
 * A request that breaks HTTP itself or has a body above 8 MiB is answered by the
 * library underneath with a plain 400 or 413; everything else that is refused
 * gets an RFC 9457 problem.
 */
#ifndef STOKER_LIB_HTTP_SERVER_H
#define STOKER_LIB_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/error.h"
#include "lib/http_route.h"

struct http_server;
struct evhttp_request;
struct evkeyvalq;

struct http_request {
	const char *path;    /* without the query */
	const char *segment; /* what stood for {…} in the pattern; "" where there is none */
	const char *part;    /* what stood for the second {…} */
	const char *body;    /* NUL-terminated; "" when there is none */
	size_t body_len;
	bool is_local; /* came over a Unix socket */
	struct evhttp_request *raw;
	const struct evkeyvalq *query;
};

/* NULL where it is absent. */
const char *http_request_query(const struct http_request *r, const char *name);
const char *http_request_header(const struct http_request *r, const char *name);

struct http_server_options {
	const char *listen;                     /* comma-separated: unix:/path, address:port */
	const struct http_group *const *groups; /* must outlive the server */
	size_t group_count;
	void *arg;                   /* for the handlers */
	const char *token;           /* NULL: TCP is refused at the start if a route needs it */
	const char *allowed_hosts;   /* beside loopback names and the addresses listened on; NULL: none */
	size_t max_connections;      /* 0: 512; what is above is closed at once */
	size_t max_connections_each; /* of one address; 0: as many. Unix sockets are not counted */
	int64_t request_ms;          /* for a whole request to arrive; 0: a minute */
};

struct http_server *http_server_new(struct event_base *base, const struct http_server_options *options,
				    struct error *err);
void http_server_free(struct http_server *server);

/* "URL=http://127.0.0.1:8700\n" and "SOCKET=/path\n", one line a listener. */
struct buf;
void http_server_addresses(const struct http_server *server, struct buf *into);

/* Those that are open. */
size_t http_server_connections(const struct http_server *server);

/* Stops listening; idle is called once no answer is under way any more (from the loop). Streams
 * count: whoever holds them ends them. */
typedef void http_idle_fn(void *arg);
void http_server_stop(struct http_server *server, http_idle_fn *idle, void *arg);

/* ---- answers ---- */

/* A header of the answer, before it. */
void http_reply_header(struct http_reply *reply, const char *name, const char *value);
/* Where what was made is. */
void http_reply_location(struct http_reply *reply, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The state of what is answered next, as a word: becomes its ETag, and who has that already gets 304 and no body. */
void http_reply_tag(struct http_reply *reply, const char *word);

/* text is JSON, copied; packed with gzip where it is long and asked for. */
void http_reply_json(struct http_reply *reply, int status, const char *text, size_t len);
/* Any other text, likewise. */
void http_reply_plain(struct http_reply *reply, int status, const char *type, const char *text, size_t len);
/* A problem of err's kind; status 0: the kind's own. */
void http_reply_error(struct http_reply *reply, int status, const struct error *err);

/* 303: what is asked for is at this URL; a body says so, too: {"url": …}. */
void http_reply_redirect(struct http_reply *reply, const char *url);

/* A file as it is, or the range of it that the request asks for (bytes=N-, bytes=N-M). Sent as the client takes it,
 * never read into memory. Takes fd over. */
struct http_file {
	int fd;
	int64_t size;
	const char *name; /* what a browser is to save it as: [A-Za-z0-9._-] */
	const char *type; /* "application/x-tar" */
};
void http_reply_file(struct http_reply *reply, const struct http_request *request, const struct http_file *file);

/* Words for log lines and for the actor of a change: the X-Request-Id of this reply. */
const char *http_reply_id(const struct http_reply *reply);

/* 204: there is nothing to answer. */
void http_reply_empty(struct http_reply *reply);

/* ---- streams: newline-delimited JSON, as it happens, or whatever the lines are ----
 * drained: everything sent so far has left this process: go on sending. closed: the client is gone:
 * nothing that is sent arrives any more; the holder still ends the token (it may do so in here). */
struct http_stream_events {
	void (*drained)(void *arg);
	void (*closed)(void *arg);
	void *arg;
	const char *type; /* NULL: application/x-ndjson */
};
void http_stream_start(struct http_reply *reply, const struct http_stream_events *events);
/* One line, len bytes without its newline. false: the client is gone. */
bool http_stream_line(struct http_reply *reply, const char *line, size_t len);
/* More than 256 KiB have not left yet: wait for drained before sending more, so that a slow
 * reader costs bounded memory and slows only itself. */
bool http_stream_is_full(const struct http_reply *reply);
/* HEAD, or the client is gone already: there is nothing to send. */
bool http_stream_is_void(const struct http_reply *reply);
void http_stream_end(struct http_reply *reply);
/* Closes the connection at once, whatever has not left yet: closed is called from inside. */
void http_stream_cut(struct http_reply *reply);

#endif
