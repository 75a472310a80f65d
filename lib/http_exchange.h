/*
 * Private to lib/http_client*.c: one request under way, and the two ways to carry it.
 *
 * Plain http goes over a socket of our own (http_client_plain.c): a command that asks
 * the scheduler on this machine starts in 3 ms. https goes over libcurl
 * (http_client_curl.c), which is loaded only then: with the thirty libraries behind it
 * that takes 6 ms.
 */
#ifndef STOKER_LIB_HTTP_EXCHANGE_H
#define STOKER_LIB_HTTP_EXCHANGE_H

#include "lib/http_client.h"

struct http_curl;

struct http_client {
	char *url; /* without a slash at its end */
	char *unix_socket;
	char *ca_file;
	char *token;
	char *user_agent;
	char *header;
	char *peer;
	char *down_hint;
	char *where;
	int64_t connect_ms;
	struct http_curl *curl; /* NULL until a https request */
};

enum http_end {
	HTTP_END_ANSWER,      /* exchange.status says what it was */
	HTTP_END_INTERRUPTED, /* by interrupt_fd */
	HTTP_END_UNREACHABLE, /* nothing was sent; exchange.reason */
	HTTP_END_LATE,        /* no answer in time */
	HTTP_END_LOST,        /* sent, but the connection died; exchange.reason */
	HTTP_END_FAILED,      /* err says what */
};

struct http_exchange {
	const struct http_client *client;
	const struct http_call *call;
	struct http_answer *answer;
	int status;
	char reason[128];
	struct buf line;  /* what came after the last newline */
	struct buf error; /* the body of an answer that is no success */
	bool is_stopped;  /* on_line said enough */
	bool is_too_large;
};

/* A part of the answer's body; false: no more is wanted. */
bool http_exchange_body(struct http_exchange *x, int status, const char *data, size_t len);

/* It may last: only its silence is bounded. */
static inline bool http_exchange_is_stream(const struct http_exchange *x)
{
	return x->call->on_line || x->call->on_data;
}

static inline int64_t http_exchange_deadline_ms(const struct http_exchange *x)
{
	return x->call->deadline_ms ? x->call->deadline_ms : 30000;
}

enum http_end http_plain_run(struct http_exchange *x, struct error *err);
enum http_end http_curl_run(struct http_client *client, struct http_exchange *x, struct error *err);
void http_curl_free(struct http_curl *curl); /* NULL is fine */

#endif
