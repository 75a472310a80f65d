/*
 * Removes the folders of ended runs beyond those to keep, in a process of its own:
 * folders may be large, and the worker's loop must not wait for a disk.
 */
#ifndef STOKER_WORKER_PRUNE_H
#define STOKER_WORKER_PRUNE_H

#include <stdint.h>
#include <event2/event.h>

struct prune;

struct prune *prune_new(struct event_base *base, const char *state_dir, int64_t keep); /* state_dir must outlive it */
void prune_soon(struct prune *prune); /* within seconds, once for many calls */
void prune_free(struct prune *prune);

#endif
