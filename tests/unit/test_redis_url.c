/* queue/redis_url: what is read, what is refused, and that no secret gets out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "queue/redis_url.h"

struct good_row {
	const char *text, *host, *port, *path, *user, *password, *where;
	int db;
	bool is_tls;
};

static const struct good_row good_rows[] = {
	{ .text = "redis://db.example", .host = "db.example", .port = "6379", .where = "redis://db.example:6379/0" },
	{ .text = "redis://db.example/", .host = "db.example", .port = "6379", .where = "redis://db.example:6379/0" },
	{ .text = "REDIS://127.0.0.1:7000/3",
	  .host = "127.0.0.1",
	  .port = "7000",
	  .db = 3,
	  .where = "redis://127.0.0.1:7000/3" },
	{ .text = "rediss://ada:p%40ss%3Aw%2Frd@db.example:1/15",
	  .host = "db.example",
	  .port = "1",
	  .user = "ada",
	  .password = "p@ss:w/rd",
	  .db = 15,
	  .is_tls = true,
	  .where = "rediss://db.example:1/15" },
	{ .text = "redis://:only@h", .host = "h", .port = "6379", .password = "only", .where = "redis://h:6379/0" },
	{ .text = "redis://a:b:c@h",
	  .host = "h",
	  .port = "6379",
	  .user = "a",
	  .password = "b:c",
	  .where = "redis://h:6379/0" },
	{ .text = "redis://a:b@c@h",
	  .host = "h",
	  .port = "6379",
	  .user = "a",
	  .password = "b@c",
	  .where = "redis://h:6379/0" },
	{ .text = "redis://[::1]:6380", .host = "::1", .port = "6380", .where = "redis://[::1]:6380/0" },
	{ .text = "redis://[fe80::1]/2",
	  .host = "fe80::1",
	  .port = "6379",
	  .db = 2,
	  .where = "redis://[fe80::1]:6379/2" },
	{ .text = "unix:///run/redis.sock", .path = "/run/redis.sock", .where = "unix:///run/redis.sock" },
	{ .text = "unix:///a%20b/r.sock?db=4&user=u&password=%25%26",
	  .path = "/a b/r.sock",
	  .db = 4,
	  .user = "u",
	  .password = "%&",
	  .where = "unix:///a b/r.sock?db=4" },
};

static void same_text(const char *got, const char *want)
{
	if (!want)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good_rows); i++) {
		const struct good_row *row = &good_rows[i];
		struct redis_url url;
		struct error err = { 0 };
		if (!redis_url_parse(row->text, &url, &err))
			fail_msg("%s: %s", row->text, err.message);
		same_text(url.host, row->host);
		same_text(url.path, row->path);
		same_text(url.user, row->user);
		same_text(url.password, row->password);
		same_text(url.where, row->where);
		same_text(url.port, row->port ? row->port : "");
		assert_int_equal(url.db, row->db);
		assert_int_equal(url.is_tls, row->is_tls);
		redis_url_done(&url);
	}
}

/* Every one holds the word hunter2, which no error may show. */
static const char *const bad_rows[] = {
	"hunter2",
	"http://hunter2@h",
	"redis:/hunter2@h",
	"redis://hunter2@h",
	"redis://u:hunter2@",
	"redis://u:hunter2@h:port",
	"redis://u:hunter2@h:0",
	"redis://u:hunter2@h:65536",
	"redis://u:hunter2@h:",
	"redis://u:hunter2@h/x",
	"redis://u:hunter2@h/1/2",
	"redis://u:hunter2@h/-1",
	"redis://u:hunter2@h/65536",
	"redis://u:hunter2@h?db=1",
	"redis://u:hunter2@h#x",
	"redis://u:hunter2@[::1",
	"redis://u:hunter2@[::1]x",
	"redis://u:hunter2@::1",
	"redis://u:hunter2@a b",
	"redis://u:hunter2%@h",
	"redis://u:hunter2%4@h",
	"redis://u:hunter2%zz@h",
	"redis://u:hunter2%00@h",
	"redis://u:hunter2/x@h",
	"redis://u:hunter2?x@h",
	"redis://u:hunter2\n@h",
	"redis://hunter2:@h",
	"unix://hunter2",
	"unix://",
	"unix:///x?password",
	"unix:///x?password=hunter2&db=z",
	"unix:///x?password=hunter2%f",
	"unix:///x?user=hunter2",
	"unix:///x?passwort=hunter2",
	"unix:///hunter2%00x",
	"",
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad_rows); i++) {
		struct redis_url url;
		struct error err = { 0 };
		if (redis_url_parse(bad_rows[i], &url, &err))
			fail_msg("taken: %s", bad_rows[i]);
		assert_int_equal(err.kind, ERR_INPUT);
		assert_null(strstr(err.message, "hunter2"));
		assert_null(strstr(err.hint, "hunter2"));
		assert_true(strlen(err.message) > strlen("redis URL: "));
	}
}

static void test_long(void **state)
{
	struct redis_url url;
	struct error err = { 0 };
	char path[200];
	(void)state;
	memset(path, 'x', sizeof path);
	memcpy(path, "unix:///", 8);
	path[sizeof path - 1] = '\0';
	assert_false(redis_url_parse(path, &url, &err));
	assert_non_null(strstr(err.message, "too long"));
	assert_false(redis_url_parse(NULL, &url, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
