/*
 * Checkpoints that this machine has stored or fetched lately, so that a run that starts
 * again here downloads nothing. Files under their hashes in one folder; what is read
 * from them is verified like what comes from the store, so nothing has to be trusted.
 * Bounded: the longest unused go first. It is a help and never a condition: whatever
 * fails here is as if there were no cache.
 *
 * For helper processes; several use it at once.
 */
#ifndef STOKER_WORKER_CACHE_H
#define STOKER_WORKER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache {
	const char *folder; /* NULL: there is none */
	int64_t most_bytes;
};

/* Makes the folder; false: there is no cache from now on. */
bool cache_make(const struct cache *cache);

/* So many bytes of it go, the longest unused first. */
void cache_give_way(const struct cache *cache, int64_t bytes);

/* The file of this hash, marked as used; -1: it is not here. The caller closes it. */
int cache_open(const struct cache *cache, const char *hash);
/* The same as a text (NUL-terminated, freed by the caller), if it has at most max bytes; NULL: it is not here. */
char *cache_text(const struct cache *cache, const char *hash, size_t max, size_t *len);
void cache_forget(const struct cache *cache, const char *hash);

/* Removes what writers that died left behind, and what is above the bound. */
void cache_tidy(const struct cache *cache);

/* Writing: NULL at the begin, or a failure later, make the rest do nothing. most: how large it can become; what would
 * not fit makes nothing else go. */
struct cache_put;
struct cache_put *cache_begin(const struct cache *cache, int64_t most);
void cache_write(struct cache_put *put, const void *data, size_t len);
void cache_keep(struct cache_put *put, const char *hash); /* ends it; NULL: it is thrown away */

/* A small one in one piece. */
void cache_keep_text(const struct cache *cache, const char *hash, const char *text, size_t len);

static inline void cleanup_cache_put(struct cache_put **put)
{
	cache_keep(*put, NULL);
}

#endif
