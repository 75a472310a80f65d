/*
 * The address of a Redis, taken apart.
 *
 *	redis://[user:password@]host[:port][/db]
 *	rediss://…                                the same, with TLS
 *	unix:///path[?db=n&user=u&password=p]
 *
 * User, password, path and the values of a query may be percent-encoded. The rule
 * this file protects: a password leaves it only in `password`. No error and not
 * `where` hold any part of the text in which one may stand.
 */
#ifndef STOKER_QUEUE_REDIS_URL_H
#define STOKER_QUEUE_REDIS_URL_H

#include <stdbool.h>
#include "lib/error.h"

struct redis_url {
	bool is_tls;
	char *path; /* of the Unix socket; NULL: TCP */
	char *host; /* a name or an address without brackets; NULL: Unix socket */
	char port[8];
	int db;
	char *user;     /* NULL: the default user */
	char *password; /* NULL: none */
	char *where;    /* for people: no user, no password */
};

/* Fills url; on an error there is nothing to free. */
MUST_CHECK bool redis_url_parse(const char *text, struct redis_url *url, struct error *err);
void redis_url_done(struct redis_url *url);

#endif
