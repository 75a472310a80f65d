/*
 * What the last checkpoint of this attempt put into the store, file by file: one that has not changed since (frozen
 * base weights beside a small adapter) is not read and not sent again. The same file is one of the same device, inode,
 * size and times, of which the times were old enough when it was read to tell a later change.
 *
 * Kept in the run's folder, by helpers that follow one another. It is a help and never a condition: what cannot be read
 * or written is as if nothing had been sent. That the earlier checkpoint still exists is decided by the commit.
 */
#ifndef STOKER_WORKER_SENT_H
#define STOKER_WORKER_SENT_H

#include <stdbool.h>
#include <sys/stat.h>
#include "queue/manifest.h"

#define SENT_LEAST BLOCK_BYTES /* smaller files are sent again: a restore fetches whole blocks */

struct sent;

/* now: of the checkpoint that is being made; what it uses of others is noted in it. Both must outlive it. */
struct sent *sent_open(const char *run_dir, struct manifest *now);
void sent_free(struct sent *sent);

/* Whether this file need not be sent, as far as can be told before it is packed. path: the member's. */
bool sent_has(struct sent *sent, const struct stat *st, const char *path);
/* A tarball_known_fn; arg is the struct sent. */
bool sent_known(void *arg, const struct stat *st, struct tarball_member *member);
size_t sent_known_count(const struct sent *sent);

/* The checkpoint is in the store: it is the last one from now on. */
void sent_keep(const struct sent *sent);
/* It does not count, or those before it are gone. True: there was something to forget. */
bool sent_forget(const char *run_dir);

static inline void cleanup_sent(struct sent **sent)
{
	sent_free(*sent);
}

#endif
