/*
 * One look-up of a host name, without blocking (evdns). Numbers and /etc/hosts
 * are answered, too, but never from inside redis_lookup_new.
 *
 * evdns calls back even for what was cancelled, and its base must live until
 * then: so a lookup that is freed early stays behind on its own, without
 * calling anyone, for as long as evdns needs it.
 */
#ifndef STOKER_QUEUE_REDIS_LOOKUP_H
#define STOKER_QUEUE_REDIS_LOOKUP_H

#include <event2/event.h>
#include <event2/util.h>
#include "lib/error.h"

struct redis_lookup;

/* addresses are valid until redis_lookup_free; NULL: err says why. Called once. */
typedef void redis_lookup_fn(void *arg, const struct evutil_addrinfo *addresses, const struct error *err);

/* resolv_conf: the file that names the servers, which are asked in its order; it must outlive the lookup. NULL and err
 * if there is not even a way to ask. */
struct redis_lookup *redis_lookup_new(struct event_base *base, const char *resolv_conf, const char *host,
				      const char *port, redis_lookup_fn *fn, void *arg, struct error *err);
void redis_lookup_free(struct redis_lookup *lookup);

#endif
