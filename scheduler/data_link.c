#include "scheduler/data_link.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/buf.h"
#include "lib/http_client.h"

enum { SIGNATURE_BYTES = 32, SECRET_BYTES = 32 };

/* Of this process, made when it is first needed. */
static const unsigned char *data_link_secret(void)
{
	static unsigned char secret[SECRET_BYTES];
	static bool is_made;
	if (!is_made && getrandom(secret, sizeof secret, 0) != (ssize_t)sizeof secret)
		abort();
	is_made = true;
	return secret;
}

static void data_link_sign(const char *token, const struct data_link *link, char signature[2 * SIGNATURE_BYTES + 1])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	CLEANUP(free_p)
	char *text = mem_printf("stoker data link\n%s\n%s\n%" PRId64, link->key, link->name, link->until_ms);
	const unsigned char *secret = token ? (const unsigned char *)token : data_link_secret();
	if (!HMAC(EVP_sha256(), secret, token ? (int)strlen(token) : SECRET_BYTES, (const unsigned char *)text,
		  strlen(text), mac, &len))
		abort_saying("OpenSSL makes no HMAC: out of memory, or a broken installation");
	for (size_t i = 0; i < SIGNATURE_BYTES; i++)
		str_format(signature + 2 * i, 3, "%02x", mac[i]);
}

char *data_link_make(const char *token, const struct data_link *link)
{
	char signature[2 * SIGNATURE_BYTES + 1];
	CLEANUP(buf) struct buf path;
	buf_init(&path, 8192);
	data_link_sign(token, link, signature);
	buf_str(&path, "/api/v1/data?key=");
	http_encode(&path, link->key);
	buf_str(&path, "&name=");
	http_encode(&path, link->name);
	buf_printf(&path, "&until=%" PRId64 "&signature=%s", link->until_ms, signature);
	return mem_strdup(buf_text(&path));
}

bool data_link_check(const char *token, const struct data_link *link, const char *signature, int64_t now_ms,
		     struct error *err)
{
	static const char hint[] = "ask for a new one: stoker checkpoints get";
	char right[2 * SIGNATURE_BYTES + 1];
	data_link_sign(token, link, right);
	if (strlen(signature) != strlen(right) || CRYPTO_memcmp(signature, right, strlen(right)) != 0)
		return error_set(err, ERR_AUTH, hint, "this link was not made by this API, or was changed");
	if (now_ms >= link->until_ms)
		return error_set(err, ERR_AUTH, hint, "this link is too old");
	return true;
}
