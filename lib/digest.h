/*
 * SHA-256 over pieces of data, as lower-case hex: the name of what was stored.
 */
#ifndef STOKER_LIB_DIGEST_H
#define STOKER_LIB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_HEX 64

struct digest_hex {
	char text[DIGEST_HEX + 1];
};

struct digest;

struct digest *digest_new(void); /* never NULL: aborts when OpenSSL cannot make one */
void digest_free(struct digest *d);
void digest_add(struct digest *d, const void *data, size_t len);
/* The hash of everything added; starts over. */
struct digest_hex digest_take(struct digest *d);

struct digest_hex digest_of(const void *data, size_t len);
bool digest_is_hex(const char *text); /* exactly 64 lower-case hex digits */

static inline void cleanup_digest(struct digest **d)
{
	digest_free(*d);
}

#endif
