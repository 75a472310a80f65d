/*
 * A folder as one tar in an unnamed temporary file, with the hashes of its blocks and
 * files: the same contents give the same hash, on every machine.
 */
#ifndef STOKER_CLI_CODE_PACK_H
#define STOKER_CLI_CODE_PACK_H

#include "cli/code_walk.h"
#include "queue/code.h"

struct code_pack {
	struct code code;
	struct digest_hex hash; /* of the whole */
	int fd;                 /* the tar; -1: none */
	int64_t files_size;     /* of what is in it */
};

/* pack is the caller's either way (code_pack_done). */
bool code_pack(const struct code_files *files, struct code_pack *pack, struct error *err) MUST_CHECK;
/* The same of one file that is a text. */
bool code_pack_text(const char *path, const char *text, size_t len, struct code_pack *pack,
		    struct error *err) MUST_CHECK;
void code_pack_done(struct code_pack *pack);
/* One block of the tar into a buffer of BLOCK_BYTES. */
bool code_pack_block(const struct code_pack *pack, size_t i, void *into, size_t *len, struct error *err) MUST_CHECK;

static inline void cleanup_code_pack(struct code_pack *pack)
{
	code_pack_done(pack);
}

#endif
