/* The rules that say who may call, as tables: each row names what a caller sends and whether it is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "lib/buf.h"
#include "lib/http_guard.h"

static void test_token(void **state)
{
	(void)state;
	static const struct {
		const char *authorization;
		const char *token;
		bool served;
	} rows[] = {
		{ "Bearer s3cret", "s3cret", true },
		{ "bearer s3cret", "s3cret", true }, /* schemes know no case */
		{ "Bearer s3creT", "s3cret", false },
		{ "Bearer s3cre", "s3cret", false },
		{ "Bearer s3crets3cret", "s3cret", false }, /* the comparison wraps around: length counts */
		{ "Bearer ", "s3cret", false },
		{ "Bearer", "s3cret", false },
		{ "Basic s3cret", "s3cret", false },
		{ "s3cret", "s3cret", false },
		{ NULL, "s3cret", false },
		{ "Bearer ", "", false },
		{ "Bearer x", NULL, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (http_guard_token(rows[i].authorization, rows[i].token) != rows[i].served)
			fail_msg("row %zu: %s", i, rows[i].authorization);
}

static void test_host(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		const char *allowed;
		bool served;
	} rows[] = {
		{ "localhost", NULL, true },
		{ "LOCALHOST:8700", NULL, true },
		{ "127.0.0.1:1", NULL, true },
		{ "[::1]:8700", NULL, true },
		{ "[::1]", NULL, true },
		{ NULL, NULL, false },
		{ "", NULL, false },
		{ ":8700", NULL, false },
		{ "evil.example", NULL, false },
		{ "localhost.evil.example", NULL, false },
		{ "evil.example", "train.example", false },
		{ "train.example", "train.example", true },
		{ "Train.Example:443", "other, train.example", true },
		{ "train.example:8700", "train.example:8700", true },
		{ "train.example:8701", "train.example:8700", false },
		{ "train.example", "train.example:8700", false },
		{ "train.example.evil", "train.example", false },
		{ "localhost@evil.example", "evil.example", false },
		{ "localhost:80@evil.example", NULL, false },
		{ "localhost:http", NULL, false },
		{ "[::1", NULL, false },
		{ "[::1]x", NULL, false },
		{ "evil.example", "", false },
		{ "evil.example", ",,", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (http_guard_host(rows[i].host, rows[i].allowed) != rows[i].served)
			fail_msg("row %zu: %s in %s", i, rows[i].host, rows[i].allowed);
}

static void test_origin(void **state)
{
	(void)state;
	static const struct {
		const char *origin;
		const char *host;
		bool served;
	} rows[] = {
		{ NULL, "localhost:8700", true },
		{ "http://localhost:8700", "localhost:8700", true },
		{ "HTTP://LocalHost:8700", "localhost:8700", true },
		{ "http://localhost", "localhost", true },
		{ "http://localhost:80", "localhost", true },
		{ "https://train.example", "train.example", true },
		{ "https://train.example", "train.example:443", true },
		{ "http://train.example", "train.example:443", false },
		{ "null", "localhost:8700", false },
		{ "", "localhost:8700", false },
		{ "http://evil.example", "localhost:8700", false },
		{ "http://localhost:8701", "localhost:8700", false },
		{ "http://localhost:8700/", "localhost:8700", false },
		{ "http://localhost:8700.evil.example", "localhost:8700", false },
		{ "http://localhost:8700@evil.example", "localhost:8700", false },
		{ "file://localhost:8700", "localhost:8700", false },
		{ "http://localhost:8700", NULL, false },
		{ "http://[::1]:8700", "[::1]:8700", true },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (http_guard_origin(rows[i].origin, rows[i].host) != rows[i].served)
			fail_msg("row %zu: %s at %s", i, rows[i].origin, rows[i].host);
}

#define TEN "0123456789"
static void test_route(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		const char *path;
		const char *segment; /* NULL: no match */
	} rows[] = {
		{ "/livez", "/livez", "" },
		{ "/livez", "/livez/", NULL },
		{ "/livez", "/live", NULL },
		{ "/jobs/{id}", "/jobs/gpu-42", "gpu-42" },
		{ "/jobs/{id}", "/jobs/", NULL },
		{ "/jobs/{id}", "/jobs", NULL },
		{ "/jobs/{id}", "/jobs/gpu-42/logs", NULL },
		{ "/jobs/{id}/logs", "/jobs/gpu-42/logs", "gpu-42" },
		{ "/jobs/{id}/logs", "/jobs//logs", NULL },
		{ "/jobs/{id}/logs", "/jobs/gpu-42/log", NULL },
		{ "/jobs/{id}/{part}", "/jobs/gpu-42/log", "gpu-42 log" },
		{ "/jobs/{id}/{part}/x", "/jobs/gpu-42/2-1/x", "gpu-42 2-1" },
		{ "/jobs/{id}/{part}/x", "/jobs/gpu-42/2-1", NULL },
		{ "/jobs/{id}", "/jobs/" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN,
		  NULL }, /* does not fit */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct http_segments segments;
		bool matches = http_guard_route(rows[i].pattern, rows[i].path, &segments);
		if (matches != (rows[i].segment != NULL))
			fail_msg("row %zu: %s", i, rows[i].path);
		CLEANUP(free_p)
		char *both = mem_printf("%s%s%s", segments.all[0], *segments.all[1] ? " " : "", segments.all[1]);
		if (matches)
			assert_string_equal(both, rows[i].segment);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_origin),
		cmocka_unit_test(test_route),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
