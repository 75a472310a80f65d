/*
 * TLS of rediss://. The rule this file protects: a connection is up only when the
 * peer's certificate is signed by a trusted authority and was made for the host
 * of the URL. There is no switch to turn that off.
 */
#ifndef STOKER_QUEUE_REDIS_TLS_H
#define STOKER_QUEUE_REDIS_TLS_H

#include <openssl/ssl.h>
#include "lib/error.h"

/* ca_file: PEM bundle; NULL: the system's. NULL and err on failure. */
SSL_CTX *redis_tls_context(const char *ca_file, struct error *err);

/* The client side of one connection to host (a name or an address). */
SSL *redis_tls_new(SSL_CTX *context, const char *host, struct error *err);

/* Why a handshake failed; ssl_error is libevent's bufferevent_get_openssl_error. */
void redis_tls_error(SSL *ssl, unsigned long ssl_error, struct error *err);

#endif
