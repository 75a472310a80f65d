/*
 * The code of a job: a folder as one tar, named by the hash of its blocks (lib/blocks.h),
 * which the spec carries. In the store:
 *
 *	<installation>/code/<hash>/<hash of a block>    each block of the tar once
 *	<installation>/code/<hash>/manifest.json        last: what has none does not exist
 *
 * The manifest names the blocks in their order, and the files with their hashes. Nothing in
 * the store is trusted: the blocks must make up the hash, and the tar must be what the
 * manifest says. The same hash is the same bytes, so that writing one twice does no harm.
 */
#ifndef STOKER_QUEUE_CODE_H
#define STOKER_QUEUE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/blocks.h"
#include "lib/error.h"
#include "lib/tarball.h"

#define CODE_FILES_MAX    10000
#define CODE_BYTES_MAX    (INT64_C(4) << 30) /* whatever a client allows itself */
#define CODE_MANIFEST_MAX (8 * 1024 * 1024)

struct code {
	struct blocks blocks;
	struct tarball contents; /* files only, each with its hash */
};

void code_done(struct code *code);

/* The caller frees it. */
char *code_to_json(const struct code *code);
/* ERR_DAMAGED when it is no manifest, or not that of hash. code is the caller's either way. */
bool code_from_json(const char *text, size_t len, const char *hash, struct code *code, struct error *err) MUST_CHECK;

/* The hashes that a spec names, in code and lineage.git_diff, a blank between them. The caller frees it. */
char *code_named(const char *spec);

/* Of a block, or "manifest.json". The caller frees it. */
char *code_key(const char *installation, const char *hash, const char *name);
int64_t code_block_size(const struct code *code, size_t i);

static inline void cleanup_code(struct code *code)
{
	code_done(code);
}

#endif
