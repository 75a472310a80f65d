/*
 * CRCs of the entries of ZIP files, checked on the bytes that pass by on their way into the store: a
 * checkpoint is read once. Whoever looks at a file first says which of its spans must have which CRC.
 *
 * What is deflated is unpacked for it, 64 KiB at a time, one entry after the other; of what is compressed otherwise
 * nothing is said.
 *
 * torch can be told not to compute CRCs (torch.serialization.set_crc32_options(False)); it writes others then, of
 * which none is right. So a file of which no CRC is right counts as one without CRCs, not as a torn one; but for
 * entries that are deflated, which it never writes.
 */
#ifndef STOKER_WORKER_CHECKSUMS_H
#define STOKER_WORKER_CHECKSUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

struct checksums;

struct checksums *checksums_new(void);
void checksums_free(struct checksums *sums);

/* What is expected from now on is of this file. Calls with sums NULL do nothing. */
void checksums_file(struct checksums *sums, const char *path);
void checksums_expect(struct checksums *sums, int64_t at, int64_t len, uint32_t crc);
/* len bytes that unpack to `whole` of this CRC. */
void checksums_expect_deflated(struct checksums *sums, int64_t at, int64_t len, int64_t whole, uint32_t crc);

/* The bytes of each file, in order from 0. */
void checksums_pass(void *sums, const char *path, int64_t at, const void *data, size_t len);

/* This file passed before: nothing is expected of it. */
void checksums_known(struct checksums *sums, const char *path);

/* After everything has passed. right: how many CRCs were right; unknown: of how many entries nothing can be said.
 * ERR_DAMAGED: some are right and some are not, or a span never passed. */
bool checksums_finish(const struct checksums *sums, size_t *right, size_t *unknown, struct error *err) MUST_CHECK;

static inline void cleanup_checksums(struct checksums **sums)
{
	checksums_free(*sums);
}

#endif
