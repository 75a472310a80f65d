/*
 * POST requests to whoever a user named, many at a time on an event loop: libcurl's multi
 * handle, driven by libevent. Names are resolved beside the loop (libcurl's own resolver).
 *
 * The rule this file protects: a request reaches only an address that was allowed. Each
 * address is judged when its socket is made, after resolving and right before the
 * connect to that very address: what the name stands for a moment later does not matter.
 * Proxies of the environment are not used, and redirects are not followed.
 *
 * Each request ends exactly once by its callback, from the loop. http_poster_free ends
 * none: whoever waits is being torn down.
 */
#ifndef STOKER_LIB_HTTP_POST_H
#define STOKER_LIB_HTTP_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/address.h"
#include "lib/error.h"

struct http_poster;

struct http_poster_options {
	struct event_base *base;
	const struct address_ranges *allowed; /* beside public addresses; outlives the poster */
	const char *ca_file;                  /* https: PEM of who may sign; NULL: the system's. Copied */
	const char *user_agent;               /* copied */
	int64_t timeout_ms;                   /* of a whole request, resolving included */
};
struct http_poster *http_poster_new(const struct http_poster_options *options);
void http_poster_free(struct http_poster *poster);

/* Copied. */
struct http_post {
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end */
	const char *body;
	size_t len;
};

struct http_post_end {
	int status;       /* 0: no answer */
	bool is_refused;  /* no address of the host is allowed */
	char reason[160]; /* why there was no answer, for people; "" when there was */
};
typedef void http_post_fn(void *arg, const struct http_post_end *end);

/* False: not even begun (libcurl is missing); fn is not called. */
bool http_poster_send(struct http_poster *poster, const struct http_post *post, http_post_fn *fn, void *arg,
		      struct error *err) MUST_CHECK;

#endif
