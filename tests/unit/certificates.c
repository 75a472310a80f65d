#include "tests/unit/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

static void certificate_extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x509, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(x509, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

void certificate_make(struct certificate *certificate, const struct certificate_options *options)
{
	X509 *x509 = X509_new();
	X509_NAME *subject = X509_get_subject_name(x509);
	certificate->key = EVP_EC_gen("P-256");
	certificate->x509 = x509;
	const struct certificate *issuer = options->issuer ? options->issuer : certificate;
	int32_t serial;
	assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof serial), 1);
	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), serial & INT32_MAX);
	X509_gmtime_adj(X509_getm_notBefore(x509), -7200);
	X509_gmtime_adj(X509_getm_notAfter(x509), options->valid_s);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)options->name, -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(issuer->x509));
	X509_set_pubkey(x509, certificate->key);
	if (options->hosts)
		certificate_extend(x509, issuer->x509, NID_subject_alt_name, options->hosts);
	certificate_extend(x509, issuer->x509, NID_basic_constraints, options->hosts ? "CA:FALSE" : "critical,CA:TRUE");
	assert_true(X509_sign(x509, issuer->key, EVP_sha256()) > 0);
}

void certificate_free(struct certificate *certificate)
{
	EVP_PKEY_free(certificate->key);
	X509_free(certificate->x509);
}

void certificate_write(const struct certificate *certificate, const char *path, const char *key_path)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate->x509), 1);
	fclose(file);
	if (!key_path)
		return;
	file = fopen(key_path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, certificate->key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}
