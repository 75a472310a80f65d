/*
 * A downloaded checkpoint: the tar (and those of earlier checkpoints, where it uses files of them) against the hashes
 * of its manifest, and its files out of it. The manifest says where in the tar the bytes of each file are, so that
 * nothing has to read a tar.
 */
#ifndef STOKER_CLI_UNPACK_H
#define STOKER_CLI_UNPACK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

struct unpack {
	const char *stored;       /* as it was fetched: the tar, or that compressed */
	const char *tar;          /* the others are beside it, see unpack_object_path */
	const char *folder;       /* that is there */
	const json_t *checkpoint; /* answer of GET /api/v1/jobs/{id}/checkpoints/{checkpoint} */
	size_t file_count;        /* out: written */
};

/* "<tar without .tar>-object-<seq>.tar": the data of an earlier checkpoint. The caller frees it. */
char *unpack_object_path(const char *tar, int64_t seq);

/* ERR_DAMAGED: it is not what was committed; then it is removed, so that it is fetched anew. */
bool unpack_verify(const struct unpack *unpack, struct error *err) MUST_CHECK;
/* Makes the tar of what is stored, which goes; nothing when they are the same. */
bool unpack_tar(const struct unpack *unpack, struct error *err) MUST_CHECK;
bool unpack_files(struct unpack *unpack, struct error *err) MUST_CHECK;

#endif
