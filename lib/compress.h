/*
 * A stream through zstd, at its fastest level: bytes go in, and come out smaller at a function, or are read back. One
 * frame, with zstd's own checksum left out: what is compressed here is hashed by who stores it.
 *
 * Reading trusts nothing: a window above 8 MiB, a second frame, or bytes behind the end are ERR_DAMAGED. How much may
 * come out is for the caller to bound.
 */
#ifndef STOKER_LIB_COMPRESS_H
#define STOKER_LIB_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/error.h"

typedef bool compress_write_fn(void *arg, const void *data, size_t len, struct error *err);
typedef bool compress_read_fn(void *arg, void *data, size_t size, size_t *len, struct error *err);

/* ---- writing ---- */
struct compress;

struct compress *compress_new(compress_write_fn *fn, void *arg);
void compress_free(struct compress *c);
bool compress_write(struct compress *c, const void *data, size_t len, struct error *err) MUST_CHECK;
bool compress_finish(struct compress *c, struct error *err) MUST_CHECK;

/* What len bytes of a sample become. */
size_t compress_sample(const void *data, size_t len);

/* ---- reading ---- */
struct decompress;

struct decompress *decompress_new(compress_read_fn *fn, void *arg);
void decompress_free(struct decompress *d);
/* A compress_read_fn; arg is the struct decompress. *len 0 at the end. */
bool decompress_read(void *arg, void *data, size_t size, size_t *len, struct error *err) MUST_CHECK;

static inline void cleanup_compress(struct compress **c)
{
	compress_free(*c);
}

static inline void cleanup_decompress(struct decompress **d)
{
	decompress_free(*d);
}

#endif
