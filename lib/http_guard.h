/*
 * Who may call an HTTP server, and which route a path names: pure functions, so
 * that the rules that keep a web page from submitting jobs are tested as a table.
 *
 *   token    `Authorization: Bearer <token>`, compared in constant time.
 *   Host     must be a name that the server serves. A page whose own name was made
 *            to point at 127.0.0.1 (DNS rebinding) sends that name, and is refused.
 *   Origin   browsers send it with what a page asks for; where it is present it must
 *            be the same host and port as Host. `null` never is.
 */
#ifndef STOKER_LIB_HTTP_GUARD_H
#define STOKER_LIB_HTTP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* authorization may be NULL. An empty token matches nothing. */
bool http_guard_token(const char *authorization, const char *token);

/* allowed: comma-separated `name` (any port) or `name:port`, NULL for none. The loopback
 * names localhost, 127.0.0.1 and [::1] are served with any port. */
bool http_guard_host(const char *host, const char *allowed);

/* origin NULL: there is none, which is fine. */
bool http_guard_origin(const char *origin, const char *host);

/* What stood for each {…} of a pattern, in their order; "" where there is none. */
enum { HTTP_SEGMENTS_MAX = 2, HTTP_SEGMENT_SIZE = 160 };
struct http_segments {
	char all[HTTP_SEGMENTS_MAX][HTTP_SEGMENT_SIZE];
};

/* Does path (without the query) match a pattern such as /api/v1/jobs/{id}/logs? Each {…}
 * stands for one segment, which is not empty and must fit. */
bool http_guard_route(const char *pattern, const char *path, struct http_segments *segments);

#endif
