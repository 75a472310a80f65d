/*
 * What an object is made of: blocks of 8 MiB, each with its SHA-256, and the last one
 * shorter. Made while it is written; read block by block, so that nothing is handed on
 * before it was verified, in memory that does not depend on its size.
 *
 * The hash of the whole is that of the list, one hash a line:
 *   split -b 8M --filter='sha256sum | cut -c1-64' data.tar | sha256sum
 */
#ifndef STOKER_LIB_BLOCKS_H
#define STOKER_LIB_BLOCKS_H

#include <stdint.h>
#include "lib/digest.h"

#define BLOCK_BYTES (8 * 1024 * 1024)

struct blocks {
	struct digest_hex *hashes;
	size_t count; /* at least one, also of an empty object */
};

void blocks_add(struct blocks *blocks, const struct digest_hex *hash);
void blocks_done(struct blocks *blocks);
struct digest_hex blocks_hash(const struct blocks *blocks);
size_t blocks_count_of(int64_t size); /* how many an object of that size has */

static inline void cleanup_blocks(struct blocks *blocks)
{
	blocks_done(blocks);
}

#endif
