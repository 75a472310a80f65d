/*
 * Reads one HTTP/1.1 response as its bytes come: status line, headers, and the body by
 * Content-Length, in chunks, or to the end of the connection. Interim (1xx) responses are
 * skipped. Nothing is kept but the line under way, so that a body of any length passes
 * through; every line has a bound.
 */
#ifndef STOKER_LIB_HTTP_RESPONSE_H
#define STOKER_LIB_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"

enum http_response_state {
	HTTP_RESPONSE_MORE,    /* wants more bytes */
	HTTP_RESPONSE_DONE,    /* the whole response was read */
	HTTP_RESPONSE_STOPPED, /* the receiver of the body has enough */
	HTTP_RESPONSE_BROKEN,  /* this is not HTTP */
};

/* A part of the body; false: enough. */
typedef bool http_response_fn(void *arg, int status, const char *data, size_t len);

enum http_response_part { /* what comes next */
			  HTTP_PART_STATUS,
			  HTTP_PART_HEADER,
			  HTTP_PART_LENGTH,     /* a body of .left bytes */
			  HTTP_PART_REST,       /* a body to the end of the connection */
			  HTTP_PART_CHUNK_SIZE, /* a line with the size of a chunk */
			  HTTP_PART_CHUNK,      /* its .left bytes */
			  HTTP_PART_CHUNK_END,  /* the empty line behind it */
			  HTTP_PART_TRAILER,
			  HTTP_PART_NONE,
};

struct http_response {
	http_response_fn *fn;
	void *arg;
	enum http_response_part part;
	struct buf line;
	int status;
	uint64_t left;
	size_t head; /* bytes of headers so far */
	bool has_length, is_chunked;
};

void http_response_init(struct http_response *r, http_response_fn *fn, void *arg);
void http_response_done(struct http_response *r);
enum http_response_state http_response_feed(struct http_response *r, const char *data, size_t len);
/* The connection ended: DONE when the response was whole, else BROKEN. */
enum http_response_state http_response_end(const struct http_response *r);

static inline void cleanup_http_response(struct http_response *r)
{
	http_response_done(r);
}

#endif
