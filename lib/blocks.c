#include "lib/blocks.h"

#include <stdlib.h>

#include "lib/buf.h"

void blocks_add(struct blocks *blocks, const struct digest_hex *hash)
{
	if ((blocks->count & (blocks->count - 1)) == 0) /* full: twice as many */
		blocks->hashes = mem_realloc(blocks->hashes, (blocks->count ? 2 * blocks->count : 1) * sizeof *hash);
	blocks->hashes[blocks->count++] = *hash;
}

void blocks_done(struct blocks *blocks)
{
	free(blocks->hashes);
	*blocks = (struct blocks){ 0 };
}

struct digest_hex blocks_hash(const struct blocks *blocks)
{
	CLEANUP(digest) struct digest *digest = digest_new();
	for (size_t i = 0; i < blocks->count; i++) {
		digest_add(digest, blocks->hashes[i].text, DIGEST_HEX);
		digest_add(digest, "\n", 1);
	}
	return digest_take(digest);
}

size_t blocks_count_of(int64_t size)
{
	return size > 0 ? (size_t)((size + BLOCK_BYTES - 1) / BLOCK_BYTES) : 1;
}
