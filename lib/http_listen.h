/*
 * Listening sockets of an HTTP server: `unix:/path` (mode 0600) and `address:port`
 * (port 0: any free one).
 *
 * The rule this file protects: a socket file is replaced only when nobody listens
 * on it, anything else at that path is left alone, and only the file that this
 * process made is removed at its end.
 */
#ifndef STOKER_LIB_HTTP_LISTEN_H
#define STOKER_LIB_HTTP_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"

struct http_listen {
	int fd;             /* listening, non-blocking, close-on-exec; -1 once handed over */
	bool is_local;      /* a Unix socket */
	char authority[80]; /* "127.0.0.1:8700" with the port that was bound; "" for a Unix socket */
	char path[108];     /* of the Unix socket; "" for TCP */
	uint64_t device;    /* of the socket file, to know it again */
	uint64_t inode;
};

bool http_listen_open(const char *where, struct http_listen *into, struct error *err) MUST_CHECK;

/* Closes fd if it is still here, and removes the socket file if it is still ours. */
void http_listen_close(struct http_listen *l);

#endif
