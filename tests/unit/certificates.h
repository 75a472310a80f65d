/*
 * Certificates for tests: an authority of their own and what it signs. Everything
 * fails loudly.
 */
#ifndef STOKER_TESTS_CERTIFICATES_H
#define STOKER_TESTS_CERTIFICATES_H

#include <openssl/x509.h>

struct certificate {
	EVP_PKEY *key;
	X509 *x509;
};

struct certificate_options {
	const char *name;                 /* common name */
	const char *hosts;                /* "DNS:localhost,IP:127.0.0.1"; NULL: it is an authority */
	const struct certificate *issuer; /* NULL: signs itself */
	long valid_s;                     /* from now; negative: expired that long ago */
};

void certificate_make(struct certificate *certificate, const struct certificate_options *options);
void certificate_free(struct certificate *certificate);

/* PEM files; key_path may be NULL. */
void certificate_write(const struct certificate *certificate, const char *path, const char *key_path);

#endif
