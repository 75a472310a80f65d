/*
 * gzip, a member at a time: members one behind the other are one file for gunzip, and a
 * reader may begin at each of them.
 */
#ifndef STOKER_LIB_GZIP_H
#define STOKER_LIB_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include "lib/buf.h"
#include "lib/error.h"

/* Adds len bytes as a member. */
bool gzip_add(struct buf *out, const void *data, size_t len, struct error *err) MUST_CHECK;

/* What was packed, a piece at a time; false ends the reading, with *err as it left it. */
typedef bool gunzip_fn(void *arg, const char *data, size_t len, struct error *err);

struct gunzip;
struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
/* The next bytes. ERR_DAMAGED: they are not what was packed; the end of each member is checked by its CRC. */
bool gunzip_next(struct gunzip *g, const void *data, size_t len, gunzip_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;
/* No member is begun that has not ended. */
bool gunzip_is_whole(const struct gunzip *g);

static inline void cleanup_gunzip(struct gunzip **g)
{
	gunzip_free(*g);
}

#endif
