/* queue/redis against a real server that behaves: answers, order, bounds, log-in, life and death of the object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis.h"
#include "tests/unit/redis_server.h"

struct fixture {
	struct redis_server server;
	struct test_loop loop;
	struct redis *redis;
	int ended;      /* calls */
	int answered;   /* of those, with a reply */
	int64_t last;   /* integer of the last reply */
	char text[256]; /* text of the last reply */
	struct error err;
	bool connected;
	int changes; /* of state */
	struct error loss;
};

static void on_state(void *arg, bool connected, const struct error *err)
{
	struct fixture *f = arg;
	f->connected = connected;
	f->changes++;
	if (err)
		f->loss = *err;
}

static void on_reply(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	assert_true(!reply == !!err);
	f->ended++;
	if (err) {
		f->err = *err;
		return;
	}
	f->answered++;
	if (reply->type == REDIS_REPLY_INTEGER)
		f->last = reply->integer;
	if (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
		str_format(f->text, sizeof f->text, "%.200s", reply->str);
}

static void open_redis(struct fixture *f, const struct redis_options *options)
{
	struct error err = { 0 };
	f->redis = redis_new(f->loop.base, options, &err);
	if (!f->redis)
		fail_msg("%s", err.message);
	redis_on_state(f->redis, on_state, f);
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	test_loop_start(&f->loop);
	redis_server_start(&f->server, NULL);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	redis_free(f->redis);
	test_loop_stop(&f->loop);
	redis_server_stop(&f->server);
	free(f);
	return 0;
}

static void test_answers(void **state)
{
	struct fixture *f = *state;
	open_redis(f, &(struct redis_options){ .url = f->server.url, .name = "stoker-test" });
	assert_false(redis_is_connected(f->redis));
	assert_string_equal(redis_where(f->redis), f->server.url);
	redis_do(f->redis, 0, on_reply, f, "CLIENT", "GETNAME", NULL);
	assert_int_equal(f->ended, 0);
	UNTIL(&f->loop, f->ended == 1);
	assert_string_equal(f->text, "stoker-test");
	assert_true(redis_is_connected(f->redis));
	UNTIL(&f->loop, f->connected);

	const char *const argv[] = { "SET", "a\0b", "x\0y" };
	const size_t lens[] = { 3, 3, 3 };
	redis_call(f->redis, 0, on_reply, f, 3, argv, lens);
	redis_do(f->redis, 0, on_reply, f, "STRLEN", "a", NULL);
	UNTIL(&f->loop, f->ended == 3);
	assert_int_equal(f->last, 0); /* "a" is another key than "a\0b" */
	const char *const get[] = { "STRLEN", "a\0b" };
	const size_t get_lens[] = { 6, 3 };
	redis_call(f->redis, 0, on_reply, f, 2, get, get_lens);
	UNTIL(&f->loop, f->ended == 4);
	assert_int_equal(f->answered, 4);
	assert_int_equal(f->last, 3);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *said, *message, *hint;
		enum error_kind kind;
	} rows[] = {
		{ "INVALID name: too long | make it short", "name: too long", "make it short", ERR_INPUT },
		{ "NOQUEUE no queue gpu", "no queue gpu", "", ERR_NOT_FOUND },
		{ "NOTFOUND no job gpu-1", "no job gpu-1", "", ERR_NOT_FOUND },
		{ "CONFLICT it is running", "it is running", "", ERR_CONFLICT },
		{ "STALE another token", "another token", "", ERR_STALE },
		{ "FULL too many jobs", "too many jobs", "", ERR_FULL },
		{ "STALENESS x", NULL, NULL, ERR_INTERNAL },
		{ "NOPERM x", NULL, NULL, ERR_AUTH },
		{ "OOM x", NULL, NULL, ERR_UNAVAILABLE },
		{ "MISCONF x", NULL, NULL, ERR_UNAVAILABLE },
		{ "READONLY x", NULL, NULL, ERR_UNAVAILABLE },
		{ "LOADING x", NULL, NULL, ERR_UNAVAILABLE },
		{ "ERR Function not found", NULL, "the function library in this Redis lacks it", ERR_INTERNAL },
		{ "MYSTERY x", NULL, NULL, ERR_INTERNAL },
	};
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		redis_do(f->redis, 0, on_reply, f, "EVAL", "return redis.error_reply(ARGV[1])", "0", rows[i].said,
			 NULL);
		UNTIL(&f->loop, f->ended == (int)i + 1);
		assert_int_equal(f->err.kind, rows[i].kind);
		if (rows[i].message)
			assert_string_equal(f->err.message, rows[i].message);
		else
			assert_non_null(strstr(f->err.message, rows[i].said));
		if (rows[i].hint)
			assert_string_equal(f->err.hint, rows[i].hint);
	}
	assert_int_equal(f->answered, 0);
	assert_int_equal(f->changes, 1);
}

struct ordered {
	struct fixture *f;
	int64_t want;
};

static void on_ordered(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct ordered *o = arg;
	assert_null(err);
	assert_int_equal(reply->integer, o->want);
	o->f->ended++;
}

static void test_pipeline(void **state)
{
	enum { MANY = 20000 };
	struct fixture *f = *state;
	struct ordered *o = mem_alloc(MANY * sizeof *o);
	char *kilobyte = mem_alloc(1024);
	memset(kilobyte, 'x', 1023);
	open_redis(f, &(struct redis_options){ .url = f->server.url, .deadline_ms = 60000 });
	for (int i = 0; i < MANY; i++) { /* 20 MB ahead of any answer: far more than the window */
		o[i] = (struct ordered){ f, i + 1 };
		redis_do(f->redis, 0, on_ordered, &o[i], "EVAL", "return redis.call('incr', 'n')", "0", kilobyte, NULL);
	}
	UNTIL(&f->loop, f->ended == MANY);
	free(kilobyte);
	free(o);
}

static void on_big(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	assert_null(err);
	assert_int_equal(reply->type, REDIS_REPLY_STRING);
	assert_int_equal(reply->len, 32 * 1024 * 1024);
	assert_int_equal(reply->str[reply->len - 1], 'z');
	f->ended++;
}

static void on_list(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	assert_null(err);
	assert_int_equal(reply->elements, 100000);
	assert_string_equal(reply->element[99999]->str, "100000");
	f->ended++;
}

static void test_big_replies(void **state)
{
	struct fixture *f = *state;
	int64_t start_ms = clock_boot_ms();
	open_redis(f, &(struct redis_options){ .url = f->server.url, .deadline_ms = 60000 });
	redis_do(f->redis, 0, on_big, f, "EVAL", "return string.rep('x', 32 * 1024 * 1024 - 1) .. 'z'", "0", NULL);
	redis_do(f->redis, 0, on_list, f, "EVAL", "local t = {} for i = 1, 100000 do t[i] = tostring(i) end return t",
		 "0", NULL);
	UNTIL(&f->loop, f->ended == 2);
	assert_true(clock_boot_ms() - start_ms < 30000); /* quadratic feeding takes minutes */
}

static void on_ended(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	f->ended++;
	f->answered += reply != NULL;
	f->err = err ? *err : (struct error){ 0 };
}

/* What is larger than the bound costs the connection, and is known to be unknown; the next one serves again. */
static void test_bounded_replies(void **state)
{
	struct fixture *f = *state;
	open_redis(f, &(struct redis_options){ .url = f->server.url, .max_reply = 100000 });
	redis_do(f->redis, 0, on_ended, f, "EVAL", "return string.rep('x', 90000)", "0", NULL);
	UNTIL(&f->loop, f->ended == 1);
	assert_int_equal(f->answered, 1);
	redis_do(f->redis, 0, on_ended, f, "EVAL", "return string.rep('x', 50000000)", "0", NULL);
	UNTIL(&f->loop, f->ended == 2);
	assert_int_equal(f->err.kind, ERR_UNKNOWN);
	redis_do(f->redis, 0, on_ended, f, "PING", NULL);
	UNTIL(&f->loop, f->ended == 3);
	assert_int_equal(f->answered, 2);
}

/* Calls again and again from inside its callback, and ends the last one by freeing the redis. */
static void on_chain(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	if (err) {
		assert_int_equal(f->ended, 100);
		assert_int_equal(err->kind, ERR_UNAVAILABLE); /* no turn of the loop has sent them */
		f->answered++;
		redis_do(f->redis, 0, on_chain, f, "PING", NULL); /* being torn down: neither made nor ended */
		return;
	}
	assert_non_null(reply);
	int before = ++f->ended;
	if (f->ended == 100) {
		redis_do(f->redis, 0, on_chain, f, "PING", NULL); /* ends in the freeing */
		redis_do(f->redis, 0, on_chain, f, "PING", NULL);
		redis_free(f->redis);
		assert_int_equal(f->answered, 2);
		assert_string_equal(reply->str, "PONG"); /* still valid */
		return;
	}
	redis_do(f->redis, 0, on_chain, f, "PING", NULL);
	assert_int_equal(f->ended, before); /* never from inside redis_call */
}

static void test_free_in_callback(void **state)
{
	struct fixture *f = *state;
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	redis_do(f->redis, 0, on_chain, f, "PING", NULL);
	UNTIL(&f->loop, f->ended == 100);
	f->redis = NULL;
	event_base_loop(f->loop.base, EVLOOP_ONCE);
}

static void on_state_free(void *arg, bool connected, const struct error *err)
{
	struct fixture *f = arg;
	on_state(f, connected, err);
	redis_free(f->redis);
	f->redis = NULL;
}

static void test_free_in_state_callback(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		open_redis(f, &(struct redis_options){ .url = i ? "unix:///nonexistent/redis.sock" : f->server.url });
		redis_on_state(f->redis, on_state_free, f);
		redis_do(f->redis, 0, on_reply, f, "INCR", "n", NULL);
		UNTIL(&f->loop, !f->redis);
		assert_int_equal(f->ended, i + 1);
		assert_int_equal(f->connected, i == 0);
	}
	assert_int_equal(f->err.kind, ERR_UNAVAILABLE);
}

static void test_free_at_any_moment(void **state)
{
	struct fixture *f = *state;
	for (int turns = 0; turns < 12; turns++) {
		f->ended = 0;
		open_redis(f, &(struct redis_options){ .url = f->server.url });
		for (int i = 0; i < 10; i++)
			redis_do(f->redis, 0, on_reply, f, "PING", NULL);
		for (int i = 0; i < turns; i++)
			event_base_loop(f->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		redis_free(f->redis);
		f->redis = NULL;
		assert_int_equal(f->ended, 10);
	}
	redis_free(NULL);
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;
	open_redis(f, &(struct redis_options){ .url = f->server.url, .max_pending = 10 });
	for (int i = 0; i < 12; i++)
		redis_do(f->redis, 0, on_reply, f, "PING", NULL);
	assert_int_equal(f->ended, 0);
	UNTIL(&f->loop, f->ended == 12);
	assert_int_equal(f->answered, 10);
	assert_int_equal(f->err.kind, ERR_FULL);
	redis_do(f->redis, 0, on_reply, f, "PING", NULL);
	UNTIL(&f->loop, f->ended == 13);
	assert_int_equal(f->answered, 11);
}

static void test_database(void **state)
{
	struct fixture *f = *state;
	char *url = mem_printf("%s?db=3", f->server.url);
	open_redis(f, &(struct redis_options){ .url = url });
	redis_do(f->redis, 0, on_reply, f, "SET", "here", "yes", NULL);
	UNTIL(&f->loop, f->ended == 1);
	char *size = redis_server_ask(&f->server, "DBSIZE", NULL);
	char *keys = redis_server_ask(&f->server, "INFO", "keyspace", NULL);
	assert_string_equal(size, "0");
	assert_non_null(strstr(keys, "db3:keys=1"));
	free(size);
	free(keys);
	free(url);
	redis_free(f->redis);

	url = mem_printf("%s?db=999", f->server.url); /* it has 16 */
	open_redis(f, &(struct redis_options){ .url = url });
	free(url);
	f->changes = 0;
	UNTIL(&f->loop, f->changes > 0);
	assert_false(f->connected);
	assert_non_null(strstr(f->loss.message, "DB index is out of range"));
}

static void test_password(void **state)
{
	struct fixture *f = *state;
	free(redis_server_ask(&f->server, "ACL", "SETUSER", "ada", "on", ">good%", "~*", "+@all", NULL));
	free(redis_server_ask(&f->server, "CONFIG", "SET", "requirepass", "main", NULL));
	const struct {
		const char *query, *said;
	} rows[] = {
		{ "?user=ada&password=good%25", NULL },
		{ "?password=main", NULL },
		{ "?user=ada&password=hunter2", "WRONGPASS" },
		{ "?password=hunter2", "WRONGPASS" },
		{ "", "NOAUTH" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *url = mem_printf("%s%s", f->server.url, rows[i].query);
		f->changes = 0;
		f->ended = 0;
		f->err.kind = ERR_NONE;
		open_redis(f, &(struct redis_options){ .url = url, .name = "n" });
		free(url);
		redis_do(f->redis, 300, on_reply, f, "INCR", "n", NULL);
		UNTIL(&f->loop, f->changes > 0 && f->ended == 1);
		if (rows[i].said) {
			assert_false(f->connected);
			assert_int_equal(f->loss.kind, ERR_AUTH);
			assert_non_null(strstr(f->loss.message, rows[i].said));
			assert_null(strstr(f->loss.message, "hunter2"));
			assert_int_equal(f->err.kind, ERR_UNAVAILABLE); /* it was never sent */
			assert_non_null(strstr(f->err.message, rows[i].said));
		} else {
			assert_true(f->connected);
			assert_int_equal(f->err.kind, ERR_NONE);
		}
		redis_free(f->redis);
		f->redis = NULL;
	}
	/* Without a password there, giving one is a mistake that is told. */
	redisContext *context = redisConnectUnix(f->server.socket);
	freeReplyObject(redisCommand(context, "AUTH main"));
	freeReplyObject(redisCommand(context, "CONFIG SET requirepass %s", ""));
	redisFree(context);
	char *url = mem_printf("%s?password=hunter2", f->server.url);
	f->changes = 0;
	open_redis(f, &(struct redis_options){ .url = url });
	free(url);
	UNTIL(&f->loop, f->changes > 0);
	assert_int_equal(f->loss.kind, ERR_AUTH);
}

static void test_too_many_clients(void **state)
{
	struct fixture *f = *state;
	redisContext *one = redisConnectUnix(f->server.socket);
	freeReplyObject(redisCommand(one, "CONFIG SET maxclients 1"));
	open_redis(f, &(struct redis_options){ .url = f->server.url, .name = "n" });
	UNTIL(&f->loop, f->changes > 0);
	assert_false(f->connected);
	assert_non_null(strstr(f->loss.message, "max number of clients"));
	assert_int_equal(f->loss.kind, ERR_UNAVAILABLE);
	freeReplyObject(redisCommand(one, "CONFIG SET maxclients 100"));
	redisFree(one);
	UNTIL(&f->loop, f->connected);
}

static void test_refuse(void **state)
{
	struct fixture *f = *state;
	struct error err;
	error_set(&err, ERR_INPUT, "hint", "no such thing");
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	redis_refuse(f->redis, on_reply, f, &err);
	assert_int_equal(f->ended, 0);
	UNTIL(&f->loop, f->ended == 1);
	assert_string_equal(f->err.message, "no such thing");
	assert_string_equal(f->err.hint, "hint");
}

static void test_bad_url(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	assert_null(redis_new(f->loop.base, &(struct redis_options){ .url = "redis:" }, &err));
	assert_int_equal(err.kind, ERR_INPUT);
	assert_null(redis_new(f->loop.base,
			      &(struct redis_options){ .url = "rediss://h", .ca_file = "/nonexistent/ca.pem" }, &err));
	assert_non_null(strstr(err.message, "/nonexistent/ca.pem"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers),
		TEST(test_errors),
		TEST(test_pipeline),
		TEST(test_big_replies),
		TEST(test_bounded_replies),
		TEST(test_free_in_callback),
		TEST(test_free_in_state_callback),
		TEST(test_free_at_any_moment),
		TEST(test_bounds),
		TEST(test_database),
		TEST(test_password),
		TEST(test_too_many_clients),
		TEST(test_refuse),
		TEST(test_bad_url),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
