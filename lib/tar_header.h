/*
 * What stands before a file in a tar, written by ourselves: the same bytes for the same
 * file on every machine, whatever its libarchive is, since the hash of the whole names it.
 * Nothing but path, mode and size: no owner, no time.
 */
#ifndef STOKER_LIB_TAR_HEADER_H
#define STOKER_LIB_TAR_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lib/buf.h"

#define TAR_BLOCK 512 /* headers and files are filled up to it */

/* Appends the header of a file; a path of more than 100 bytes gets a pax header in front of it. False: out is full. */
bool tar_header(struct buf *out, const char *path, mode_t mode, int64_t size);
/* Appends what follows a file of that size up to the next header. */
bool tar_padding(struct buf *out, int64_t size);
/* Appends the end of the tar. */
bool tar_end(struct buf *out);

#endif
