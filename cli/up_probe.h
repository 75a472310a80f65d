/*
 * Asks a Redis on a Unix socket whether it answers PING yet: again and again, until it
 * does. LOADING counts as not yet.
 */
#ifndef STOKER_CLI_UP_PROBE_H
#define STOKER_CLI_UP_PROBE_H

#include <event2/event.h>

struct up_probe;
typedef void up_probe_fn(void *arg);

/* fn is called once. */
struct up_probe *up_probe_new(struct event_base *base, const char *socket_path, up_probe_fn *fn, void *arg);
void up_probe_free(struct up_probe *probe); /* NULL is fine; not from inside fn */

#endif
