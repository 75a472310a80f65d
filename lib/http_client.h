/*
 * HTTP for the command line: one request at a time, over a Unix socket, TCP or TLS, with
 * a bearer token; answers whole, or line by line as they come. Redirects are not
 * followed and proxies are not used for plain http: the token goes to who was named.
 *
 * An answer that is no success becomes an error: problem+json (RFC 9457) gives
 * kind, message and hint as the server stated them. What is known when there is no
 * answer: ERR_UNAVAILABLE nothing was sent, ERR_UNKNOWN the connection died after
 * it was, ERR_TIMEOUT not in time.
 */
#ifndef STOKER_LIB_HTTP_CLIENT_H
#define STOKER_LIB_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"

struct http_client;

struct http_client_options {     /* copied */
	const char *url;         /* "http://127.0.0.1:8700": stands in front of every path */
	const char *unix_socket; /* connect here, whatever the url names; NULL: TCP */
	const char *ca_file;     /* https: PEM of who may sign the certificate; NULL: the system's */
	const char *token;       /* sent as Authorization: Bearer; NULL: none. Never part of an error */
	const char *user_agent;  /* "stoker/0.1.0" */
	const char *header;      /* one more of every request, "Name: value"; NULL: none */
	const char *peer;        /* who answers, for sentences: "the scheduler" */
	const char *down_hint;   /* hint when it cannot be reached */
	int64_t connect_ms;      /* 0: 5000 */
};

/* ERR_INPUT for a url that is neither http nor https. */
struct http_client *http_client_new(const struct http_client_options *options, struct error *err);
void http_client_free(struct http_client *client);

/* Where requests go, for people: the url, or "unix:/run/scheduler.sock". */
const char *http_client_where(const struct http_client *client);

/* One line without its newline; valid during the call. False ends the request, which then succeeded. */
typedef bool http_line_fn(void *arg, const char *line, size_t len);

/* A part of the body of an answer with this status, which is a success. False: enough. */
typedef bool http_data_fn(void *arg, int status, const char *data, size_t len);

struct http_call {
	const char *method; /* NULL: GET */
	const char *path;   /* "/api/v1/jobs?limit=50", encoded where needed (http_encode) */
	const char *content_type;
	const void *body; /* NULL: none */
	size_t body_len;
	const char *header;    /* one more, "Name: value"; NULL: none */
	int64_t deadline_ms;   /* of the whole request, 0: 30000; with on_line or on_data: of the silence between two
				  bytes */
	http_line_fn *on_line; /* NULL: the body is kept whole */
	http_data_fn *on_data; /* instead: it is handed over as it comes; deadline_ms as with on_line */
	void *arg;
	int interrupt_fd; /* ends the request when it becomes readable; 0 or less: none */
};

struct http_answer {
	int status;
	bool interrupted; /* interrupt_fd ended it */
	struct buf body;  /* empty with on_line and on_data */
};

/* answer is initialised here and owned by the caller (http_answer_done), also on failure. */
bool http_client_call(struct http_client *client, const struct http_call *call, struct http_answer *answer,
		      struct error *err) MUST_CHECK;
void http_answer_done(struct http_answer *answer);

static inline void cleanup_http_answer(struct http_answer *answer)
{
	http_answer_done(answer);
}

/* Appends text percent-encoded, for a path segment or a query value. */
void http_encode(struct buf *into, const char *text);

/* problem+json (or whatever else came with that status) as an error; always returns false. */
bool http_problem(struct error *err, int status, const char *body, size_t len);

#endif
