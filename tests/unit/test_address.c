/* Which addresses are public, and ranges that are allowed beside them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/address.h"
#include "lib/cleanup.h"

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		v4->sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		v6->sin6_family = AF_INET6;
	return storage;
}

static void test_public(void **state)
{
	static const char *const is_public[] = { "1.1.1.1",          "8.8.8.8",         "172.15.255.255",
						 "172.32.0.0",       "192.167.0.1",     "100.63.255.255",
						 "100.128.0.0",      "169.253.1.1",     "223.255.255.255",
						 "11.0.0.0",         "126.255.255.255", "2606:4700::1111",
						 "2a00:1450::1",     "::ffff:8.8.8.8",  "64:ff9b::8.8.8.8",
						 "2002:0808:0808::1" };
	static const char *const is_not[] = { "0.0.0.0",
					      "0.1.2.3",
					      "10.0.0.0",
					      "10.255.255.255",
					      "100.64.0.1",
					      "127.0.0.1",
					      "127.255.255.255",
					      "169.254.169.254",
					      "172.16.0.1",
					      "172.31.255.255",
					      "192.0.0.1",
					      "192.0.2.1",
					      "192.168.1.1",
					      "198.18.0.1",
					      "198.19.255.255",
					      "198.51.100.1",
					      "203.0.113.1",
					      "224.0.0.1",
					      "239.1.1.1",
					      "240.0.0.1",
					      "255.255.255.255",
					      "::",
					      "::1",
					      "::127.0.0.1",
					      "::ffff:127.0.0.1",
					      "::ffff:10.1.2.3",
					      "64:ff9b::127.0.0.1",
					      "64:ff9b::a00:1",
					      "64:ff9b:1::1",
					      "2002:7f00:1::",
					      "2002:0a00:0001::",
					      "2001::1",
					      "2001:db8::1",
					      "fc00::1",
					      "fd12:3456::1",
					      "fe80::1",
					      "fec0::1",
					      "ff02::1",
					      "100::1",
					      "3fff::1" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(is_public); i++) {
		struct sockaddr_storage a = address_of(is_public[i]);
		if (!address_is_public((struct sockaddr *)&a))
			fail_msg("%s is public", is_public[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(is_not); i++) {
		struct sockaddr_storage a = address_of(is_not[i]);
		if (address_is_public((struct sockaddr *)&a))
			fail_msg("%s is not public", is_not[i]);
	}
	struct sockaddr_storage local = { .ss_family = AF_UNIX };
	assert_false(address_is_public((struct sockaddr *)&local));
}

static void test_ranges(void **state)
{
	static const struct {
		const char *ranges;
		const char *address;
		bool is_in;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "::ffff:127.0.0.1", true },
		{ "192.168.4.0/22", "192.168.7.255", true },
		{ "192.168.4.0/22", "192.168.8.0", false },
		{ "fd00::/8", "fdff::1", true },
		{ "fd00::/8", "fc00::1", false },
		{ "1.1.1.1,::1", "::1", true },
		{ "0.0.0.0/0", "9.9.9.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "127.0.0.1", true },
		{ "", "127.0.0.1", false },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct address_ranges ranges;
		struct error err;
		struct sockaddr_storage a = address_of(rows[i].address);
		assert_true(address_ranges_parse(rows[i].ranges, &ranges, &err));
		if (address_ranges_have(&ranges, (struct sockaddr *)&a) != rows[i].is_in)
			fail_msg("%s in %s", rows[i].address, rows[i].ranges);
		address_ranges_done(&ranges);
	}
}

static void test_wrong_ranges(void **state)
{
	static const char *const wrong[] = { "localhost",    "10.0.0.0/33", "10.0.0/8", "::1/129",
					     "10.0.0.0/",    "10.0.0.0/x",  "/8",       "1.1.1.1,,2.2.2.2",
					     "10.0.0.0/8/8", "10.0.0.0/-1", " 1.1.1.1", "10.0.0.0/0008" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct address_ranges ranges;
		struct error err;
		if (address_ranges_parse(wrong[i], &ranges, &err))
			fail_msg("%s was taken", wrong[i]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_non_null(strstr(err.message, "is no address and no range of addresses"));
		assert_null(ranges.items);
	}
}

static void test_print(void **state)
{
	static const char *const texts[] = { "127.0.0.1", "::1", "fe80::1" };
	char text[ADDRESS_TEXT_MAX];
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct sockaddr_storage a = address_of(texts[i]);
		address_print((struct sockaddr *)&a, text);
		assert_string_equal(text, texts[i]);
	}
	struct sockaddr_storage local = { .ss_family = AF_UNIX };
	address_print((struct sockaddr *)&local, text);
	assert_string_equal(text, "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_public), cmocka_unit_test(test_ranges),
					    cmocka_unit_test(test_wrong_ranges), cmocka_unit_test(test_print) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
