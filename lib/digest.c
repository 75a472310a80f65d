#include "lib/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"

struct digest {
	EVP_MD_CTX *context;
};

/* OpenSSL fails here only without memory or with a broken installation: nothing could be trusted then. */
static void digest_must(int ok)
{
	if (ok != 1)
		abort_saying("OpenSSL makes no SHA-256: out of memory, or a broken installation");
}

struct digest *digest_new(void)
{
	struct digest *d = mem_alloc(sizeof *d);
	d->context = mem_must(EVP_MD_CTX_new());
	digest_must(d->context != NULL);
	digest_must(EVP_DigestInit_ex(d->context, EVP_sha256(), NULL));
	return d;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	free(d);
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	digest_must(EVP_DigestUpdate(d->context, data, len));
}

struct digest_hex digest_take(struct digest *d)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	digest_must(EVP_DigestFinal_ex(d->context, hash, &len));
	digest_must(EVP_DigestInit_ex(d->context, NULL, NULL));
	static const char digits[] = "0123456789abcdef";
	struct digest_hex hex = { .text = "" };
	for (unsigned i = 0; i < len && i < DIGEST_HEX / 2; i++) {
		hex.text[2 * i] = digits[hash[i] >> 4];
		hex.text[2 * i + 1] = digits[hash[i] & 15];
	}
	return hex;
}

struct digest_hex digest_of(const void *data, size_t len)
{
	CLEANUP(digest) struct digest *d = digest_new();
	digest_add(d, data, len);
	return digest_take(d);
}

bool digest_is_hex(const char *text)
{
	return strlen(text) == DIGEST_HEX && strspn(text, "0123456789abcdef") == DIGEST_HEX;
}
