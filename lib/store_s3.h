/* Private to lib/store_s3*.c: s3://bucket/prefix, an object store behind lib/store.h. */
#ifndef STOKER_LIB_STORE_S3_H
#define STOKER_LIB_STORE_S3_H

#include "lib/s3.h"
#include "lib/store.h"

enum {
	STORE_S3_PART_BYTES = BLOCK_BYTES, /* S3 takes 5 MiB and more */
	STORE_S3_SLOTS = 5,                /* parts in memory: one that is filled, four on their way */
};

struct store_s3 {
	struct store base;
	struct s3 *s3;
};

static inline struct s3 *store_s3_of(const struct store *store)
{
	return ((const struct store_s3 *)store)->s3;
}

/* A part of an upload, or a range of a download. */
struct store_s3_slot {
	char *data;
	size_t room; /* of data, while it is written */
	size_t len;  /* bytes that are in it, or will be */
	size_t at;   /* what was read of it */
	bool is_busy;
	size_t number; /* of the part, from 0 */
	char text[24]; /* its number, for the request */
	struct digest_hex sha256;
	struct s3_call call;
};

/* lib/store_s3_put.c */
bool store_s3_begin(struct store *store, const char *key, struct store_put **put, struct error *err);
bool store_s3_write(struct store_put *put, const void *data, size_t len, struct error *err);
bool store_s3_finish(struct store_put *put, struct error *err);
void store_s3_abort(struct store_put *put);

/* lib/store_s3_list.c */
bool store_s3_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err);
bool store_s3_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err);

#endif
