#include "queue/redis_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

static bool redis_tls_fail(struct error *err, const char *what)
{
	char text[160];
	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	ERR_clear_error();
	return error_set(err, ERR_SYSTEM, NULL, "%s: %s", what, text);
}

SSL_CTX *redis_tls_context(const char *ca_file, struct error *err)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (!context) {
		redis_tls_fail(err, "cannot set up TLS");
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	int loaded = ca_file ? SSL_CTX_load_verify_locations(context, ca_file, NULL)
			     : SSL_CTX_set_default_verify_paths(context);
	if (loaded == 1)
		return context;
	redis_tls_fail(err, "cannot read certificates");
	if (ca_file)
		error_set(err, ERR_INPUT, "name a file of PEM certificates", "cannot read certificates from %s",
			  ca_file);
	SSL_CTX_free(context);
	return NULL;
}

static bool redis_tls_is_address(const char *host)
{
	unsigned char address[16];
	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

SSL *redis_tls_new(SSL_CTX *context, const char *host, struct error *err)
{
	SSL *ssl = SSL_new(context);
	if (!ssl) {
		redis_tls_fail(err, "cannot set up TLS");
		return NULL;
	}
	bool is_set;
	if (redis_tls_is_address(host)) {
		is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	} else {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		is_set = SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
	}
	if (is_set)
		return ssl;
	redis_tls_fail(err, "cannot check the host name");
	SSL_free(ssl);
	return NULL;
}

void redis_tls_error(SSL *ssl, unsigned long ssl_error, struct error *err)
{
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *reason = ssl_error ? ERR_reason_error_string(ssl_error) : NULL;
	if (verdict != X509_V_OK)
		error_set(err, ERR_AUTH, "check the host name and the CA file", "its certificate was refused: %s",
			  X509_verify_cert_error_string(verdict));
	else if (reason)
		error_set(err, ERR_UNAVAILABLE, "does this port speak TLS?", "TLS handshake failed: %s", reason);
	else
		error_set(err, ERR_UNAVAILABLE, "does this port speak TLS?",
			  "TLS handshake failed: the other side hung up");
}
