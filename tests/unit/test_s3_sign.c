/* lib/s3_sign, against the examples that AWS publishes: "Authenticating Requests (AWS Signature Version 4)" of the S3
 * API Reference, "Examples: Signature Calculations" and "Example of a presigned URL". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "lib/s3_sign.h"

#define HOST    "examplebucket.s3.amazonaws.com"
#define TIME    1369353600                                                         /* 2013-05-24 00:00:00 UTC */
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072" /* of "Welcome to Amazon S3." */

static const struct s3_keys keys = { .id = "AKIAIOSFODNN7EXAMPLE",
				     .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
				     .region = "us-east-1" };

struct signed_text {
	struct buf target, headers;
};

static struct signed_text sign(const struct s3_keys *with, const struct s3_request *request)
{
	struct signed_text s;
	buf_init(&s.target, 4096);
	buf_init(&s.headers, 8192);
	s3_sign(with, request, TIME, &s.target, &s.headers);
	return s;
}

static void signed_done(struct signed_text *s)
{
	buf_done(&s->target);
	buf_done(&s->headers);
}

static void test_published_examples(void **state)
{
	(void)state;
	static const struct {
		struct s3_request request;
		const char *target, *names, *signature;
	} rows[] = {
		{ { .method = "GET",
		    .host = HOST,
		    .path = "/test.txt",
		    .headers = { { "range", "bytes=0-9" } },
		    .header_count = 1,
		    .sha256 = S3_EMPTY_HASH },
		  "/test.txt",
		  "host;range;x-amz-content-sha256;x-amz-date",
		  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
		{ { .method = "PUT",
		    .host = HOST,
		    .path = "/test$file.text",
		    .headers = { { "x-amz-storage-class", "REDUCED_REDUNDANCY" },
				 { "date", "Fri, 24 May 2013 00:00:00 GMT" } },
		    .header_count = 2,
		    .sha256 = WELCOME },
		  "/test%24file.text",
		  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
		  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
		{ { .method = "GET",
		    .host = HOST,
		    .path = "/",
		    .query = { { "lifecycle", "" } },
		    .query_count = 1,
		    .sha256 = S3_EMPTY_HASH },
		  "/?lifecycle=",
		  "host;x-amz-content-sha256;x-amz-date",
		  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
		{ { .method = "GET",
		    .host = HOST,
		    .path = "/",
		    .query = { { "prefix", "J" }, { "max-keys", "2" } },
		    .query_count = 2,
		    .sha256 = S3_EMPTY_HASH },
		  "/?max-keys=2&prefix=J",
		  "host;x-amz-content-sha256;x-amz-date",
		  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct signed_text s = sign(&keys, &rows[i].request);
		CLEANUP(free_p)
		char *expected = mem_printf("Authorization: AWS4-HMAC-SHA256 "
					    "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
					    "SignedHeaders=%s,Signature=%s\n",
					    rows[i].names, rows[i].signature);
		assert_string_equal(buf_text(&s.target), rows[i].target);
		if (!strstr(buf_text(&s.headers), expected))
			fail_msg("example %zu: not %s\nbut %s", i, expected, buf_text(&s.headers));
		assert_non_null(strstr(buf_text(&s.headers), "x-amz-date: 20130524T000000Z\n"));
		assert_null(strstr(buf_text(&s.headers), "host:"));
		signed_done(&s);
	}
}

static void test_the_published_presigned_url(void **state)
{
	(void)state;
	const struct s3_request request = { .method = "GET", .host = HOST, .path = "/test.txt", .sha256 = S3_UNSIGNED };
	CLEANUP(buf) struct buf target;
	buf_init(&target, 4096);
	s3_presign(&keys, &request, TIME, 86400, &target);
	assert_string_equal(
		buf_text(&target),
		"/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524"
		"%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400"
		"&X-Amz-SignedHeaders=host&X-Amz-Signature="
		"aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

static void test_everything_that_is_not_plain_is_encoded_once(void **state)
{
	(void)state;
	const struct s3_request request = { .method = "GET",
					    .host = HOST,
					    .path = "/a b/=+@:%41/~.\xc3\xa9//x",
					    .query = { { "prefix", "a/b c+&=" }, { "list-type", "2" } },
					    .query_count = 2,
					    .sha256 = S3_EMPTY_HASH };
	struct signed_text s = sign(&keys, &request);
	assert_string_equal(buf_text(&s.target),
			    "/a%20b/%3D%2B%40%3A%2541/~.%C3%A9//x?list-type=2&prefix=a%2Fb%20c%2B%26%3D");
	signed_done(&s);
}

static void test_a_session_token_is_signed_and_sent(void **state)
{
	(void)state;
	struct s3_keys with = keys;
	const struct s3_request request = { .method = "GET", .host = HOST, .path = "/a", .sha256 = S3_EMPTY_HASH };
	with.session = "TOKEN+/=";
	struct signed_text s = sign(&with, &request);
	assert_non_null(strstr(buf_text(&s.headers), "x-amz-security-token: TOKEN+/=\n"));
	assert_non_null(strstr(buf_text(&s.headers), "x-amz-date;x-amz-security-token,"));
	signed_done(&s);
	CLEANUP(buf) struct buf target;
	buf_init(&target, 4096);
	s3_presign(&with, &request, TIME, 60, &target);
	assert_non_null(strstr(buf_text(&target), "&X-Amz-Security-Token=TOKEN%2B%2F%3D&X-Amz-SignedHeaders="));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_examples),
		cmocka_unit_test(test_the_published_presigned_url),
		cmocka_unit_test(test_everything_that_is_not_plain_is_encoded_once),
		cmocka_unit_test(test_a_session_token_is_signed_and_sent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
