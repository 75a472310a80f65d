/*
 * Does the store do what is asked of it? Everything that checkpoints need of it, tried
 * on small objects under a prefix of their own, which are removed. For a helper process.
 */
#ifndef STOKER_SCHEDULER_STORED_PROBE_H
#define STOKER_SCHEDULER_STORED_PROBE_H

#include "lib/buf.h"
#include "lib/store.h"

/* prefix ends with '/'. text: what was found, a sentence. */
bool stored_probe(struct store *store, const char *prefix, struct buf *text, struct error *err) MUST_CHECK;

#endif
