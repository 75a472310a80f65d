/*
 * The signature of a webhook, as the Standard Webhooks specification has it, so that
 * receivers can use one of its libraries: HMAC-SHA256 over "<message id>.<timestamp>.<body>",
 * as "v1,<base64>". A secret "whsec_<base64>" stands for its bytes, any other for itself.
 */
#ifndef STOKER_SCHEDULER_WEBHOOK_SIGN_H
#define STOKER_SCHEDULER_WEBHOOK_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEBHOOK_SIGNATURE_MAX 64
#define WEBHOOK_SECRET_MAX    256

struct webhook_message {
	const char *id;
	int64_t time_s;
	const char *body;
	size_t len;
};

void webhook_sign(const char *secret, const struct webhook_message *message, char signature[WEBHOOK_SIGNATURE_MAX]);

/* A new secret from the system's generator. */
void webhook_make_secret(char secret[WEBHOOK_SECRET_MAX + 1]);

#endif
