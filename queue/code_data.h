/*
 * The code of a job, read back from the store: its manifest, and its tar, of which nobody
 * sees a byte before the hash of its block was found to be right. The calls block: they
 * belong into helper processes.
 */
#ifndef STOKER_QUEUE_CODE_DATA_H
#define STOKER_QUEUE_CODE_DATA_H

#include "lib/store.h"
#include "queue/code.h"

/* What the store has under this hash. ERR_NOT_FOUND: nothing. code is the caller's either way. */
bool code_read(struct store *store, const char *installation, const char *hash, struct code *code,
	       struct error *err) MUST_CHECK;

/* Its tar, a verified block at a time. */
struct code_data {
	struct store *store;
	const char *installation, *hash;
	const struct code *code;
	char *block;
	size_t len, at; /* of the block that is verified, and what was read of it */
	size_t next;    /* block */
};
void code_data_done(struct code_data *data);
/* A tarball_read_fn; arg is the struct code_data. */
bool code_data_read(void *arg, void *into, size_t size, size_t *len, struct error *err) MUST_CHECK;

static inline void cleanup_code_data(struct code_data *data)
{
	code_data_done(data);
}

#endif
