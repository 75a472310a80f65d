/*
 * Makes one connection: resolve (without blocking, by evdns), connect to one
 * address after the other, TLS handshake. It has no deadline of its own: who
 * dials stops it with redis_dial_free, at any time.
 */
#ifndef STOKER_QUEUE_REDIS_DIAL_H
#define STOKER_QUEUE_REDIS_DIAL_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include "lib/error.h"
#include "queue/redis_url.h"

struct redis_dial;

/* Called once, from the loop: bev is open and the caller's, or NULL and err says
 * why. The callback frees the dial. */
typedef void redis_dial_fn(void *arg, struct bufferevent *bev, const struct error *err);

/* url and tls (NULL without TLS) outlive the dial. */
struct redis_dial *redis_dial_new(struct event_base *base, const struct redis_url *url, SSL_CTX *tls, redis_dial_fn *fn,
				  void *arg);
void redis_dial_free(struct redis_dial *dial);

/* "resolving db.example", "connecting": for the error of a deadline. */
const char *redis_dial_doing(const struct redis_dial *dial);

#endif
