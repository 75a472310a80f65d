/* Signatures, against the example of the Standard Webhooks specification and against OpenSSL's own answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "scheduler/webhook_sign.h"

static void test_signatures(void **state)
{
	static const struct {
		const char *secret, *id;
		int64_t time_s;
		const char *body, *signature;
	} rows[] = {
		{ "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
		  "{\"test\": 2432232314}", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" },
		/* no base64 behind the mark, and a secret that is what it is: printf 'a.1.{}' | openssl dgst -hmac … */
		{ "plain-secret-of-a-file", "a", 1, "{}", "v1,zwR7Dd5fwG/5HDMTGX9h9cdNHAQaW22d9VclEKCFBQc=" },
		{ "whsec_not!base64", "a", 1, "{}", "v1,i3ra9nkcSTC4Dl8bQiPPKCE22IXuOxLlKFJtQlGyD6k=" },
	};
	char signature[WEBHOOK_SIGNATURE_MAX];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct webhook_message message = { rows[i].id, rows[i].time_s, rows[i].body,
							 strlen(rows[i].body) };
		webhook_sign(rows[i].secret, &message, signature);
		assert_string_equal(signature, rows[i].signature);
	}
}

static void test_new_secrets(void **state)
{
	char one[WEBHOOK_SECRET_MAX + 1], other[WEBHOOK_SECRET_MAX + 1];
	(void)state;
	webhook_make_secret(one);
	webhook_make_secret(other);
	assert_int_equal(strlen(one), 6 + 32);
	assert_memory_equal(one, "whsec_", 6);
	assert_string_not_equal(one, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_signatures), cmocka_unit_test(test_new_secrets) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
