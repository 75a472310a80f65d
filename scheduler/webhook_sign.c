#include "scheduler/webhook_sign.h"

#include <event2/util.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include "lib/buf.h"

static const char webhook_secret_mark[] = "whsec_";

/* The key behind a secret: the secret itself, or what it decodes to. */
static size_t webhook_key(const char *secret, unsigned char decoded[WEBHOOK_SECRET_MAX], const unsigned char **key)
{
	size_t mark = sizeof webhook_secret_mark - 1, len = strlen(secret);
	if (strncmp(secret, webhook_secret_mark, mark) == 0 && (len - mark) % 4 == 0 && len > mark &&
	    len <= WEBHOOK_SECRET_MAX) {
		int count = EVP_DecodeBlock(decoded, (const unsigned char *)secret + mark, (int)(len - mark));
		int padding = (secret[len - 1] == '=') + (secret[len - 2] == '=');
		*key = decoded;
		if (count > padding)
			return (size_t)(count - padding);
	}
	*key = (const unsigned char *)secret;
	return len;
}

void webhook_sign(const char *secret, const struct webhook_message *message, char signature[WEBHOOK_SIGNATURE_MAX])
{
	unsigned char decoded[WEBHOOK_SECRET_MAX], mac[EVP_MAX_MD_SIZE];
	const unsigned char *key;
	unsigned char text[WEBHOOK_SIGNATURE_MAX];
	unsigned mac_len = 0;
	CLEANUP(buf) struct buf content;
	buf_init(&content, message->len + 512);
	buf_printf(&content, "%s.%" PRId64 ".", message->id, message->time_s);
	buf_add(&content, message->body, message->len);
	size_t key_len = webhook_key(secret, decoded, &key);
	if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)buf_text(&content), content.len, mac,
		  &mac_len))
		abort_saying("OpenSSL makes no HMAC: out of memory, or a broken installation");
	EVP_EncodeBlock(text, mac, (int)mac_len); /* 44 characters */
	str_format(signature, WEBHOOK_SIGNATURE_MAX, "v1,%s", (const char *)text);
}

void webhook_make_secret(char secret[WEBHOOK_SECRET_MAX + 1])
{
	unsigned char random[24], text[33];
	evutil_secure_rng_get_bytes(random, sizeof random);
	EVP_EncodeBlock(text, random, sizeof random);
	str_format(secret, WEBHOOK_SECRET_MAX + 1, "%s%s", webhook_secret_mark, (const char *)text);
}
