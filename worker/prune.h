/*
 * Removes the folders of ended runs beyond those to keep, and what is left over in the
 * cache of checkpoints, when the worker starts and as runs end. In a process of its own:
 * folders may be large, and the worker's loop must not wait for a disk.
 */
#ifndef STOKER_WORKER_PRUNE_H
#define STOKER_WORKER_PRUNE_H

#include <stdint.h>
#include <event2/event.h>
#include "worker/cache.h"

struct prune;

/* state_dir and cache must outlive it. */
struct prune *prune_new(struct event_base *base, const char *state_dir, int64_t keep, const struct cache *cache);
void prune_soon(struct prune *prune); /* within seconds, once for many calls */
void prune_free(struct prune *prune);

#endif
