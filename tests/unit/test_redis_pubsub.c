/* queue/redis as a subscriber. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis.h"
#include "tests/unit/redis_server.h"

struct fixture {
	struct redis_server server;
	struct test_loop loop;
	struct redis *redis;
	int messages, subscribed, ups, losses, ended;
	size_t len;
	char channel[128];
	char text[128];
	struct error err, loss;
	bool frees_itself;
};

static void on_state(void *arg, bool connected, const struct error *err)
{
	struct fixture *f = arg;
	f->ups += connected;
	f->losses += !connected;
	if (err)
		f->loss = *err;
}

static void on_message(void *arg, const char *channel, const char *text, size_t len)
{
	struct fixture *f = arg;
	f->messages++;
	f->len = len;
	str_format(f->channel, sizeof f->channel, "%.100s", channel);
	str_format(f->text, sizeof f->text, "%.100s", text);
	if (f->frees_itself) {
		redis_free(f->redis);
		f->redis = NULL;
	}
}

static void on_subscribed(void *arg, const char *channel)
{
	struct fixture *f = arg;
	(void)channel;
	f->subscribed++;
}

static void on_reply(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct fixture *f = arg;
	(void)reply;
	f->ended++;
	if (err)
		f->err = *err;
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	struct error err = { 0 };
	*state = f;
	test_loop_start(&f->loop);
	redis_server_start(&f->server, NULL);
	struct redis_options options = { .url = f->server.url, .name = "sub", .deadline_ms = 250, .connect_ms = 500 };
	f->redis = redis_new(f->loop.base, &options, &err);
	assert_non_null(f->redis);
	redis_on_state(f->redis, on_state, f);
	redis_on_message(f->redis, on_message, f);
	redis_on_subscribed(f->redis, on_subscribed, f);
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

static void publish(struct fixture *f, const char *channel, const char *text, const char *receivers)
{
	char *said = redis_server_ask(&f->server, "PUBLISH", channel, text, NULL);
	assert_string_equal(said, receivers);
	free(said);
}

static void test_messages(void **state)
{
	struct fixture *f = *state;
	redis_subscribe(f->redis, "b"); /* before it is connected */
	UNTIL(&f->loop, f->subscribed == 1 && f->ups == 1);
	redis_subscribe(f->redis, "a");
	redis_subscribe(f->redis, "c");
	redis_subscribe(f->redis, "b");
	UNTIL(&f->loop, f->subscribed == 3);
	publish(f, "a", "first", "1");
	UNTIL(&f->loop, f->messages == 1);
	assert_string_equal(f->channel, "a");
	assert_string_equal(f->text, "first");
	redis_unsubscribe(f->redis, "a");
	redis_unsubscribe(f->redis, "never");
	char *said = NULL;
	UNTIL(&f->loop, (free(said), said = redis_server_ask(&f->server, "PUBLISH", "a", "x", NULL), said[0] == '0'));
	free(said);
	publish(f, "b", "second", "1");
	UNTIL(&f->loop, strcmp(f->text, "second") == 0);
	assert_string_equal(f->channel, "b");
}

static void test_many_channels(void **state)
{
	struct fixture *f = *state;
	char channel[32];
	for (int i = 0; i < 500; i++) {
		str_format(channel, sizeof channel, "channel-%d", i * 7919 % 500);
		redis_subscribe(f->redis, channel);
	}
	UNTIL(&f->loop, f->subscribed == 500);
	for (int i = 0; i < 500; i++) {
		str_format(channel, sizeof channel, "channel-%d", i);
		publish(f, channel, channel, "1");
		UNTIL(&f->loop, f->messages == i + 1);
		assert_string_equal(f->text, channel);
	}
}

static void test_subscribes_again(void **state)
{
	struct fixture *f = *state;
	redis_subscribe(f->redis, "a");
	redis_subscribe(f->redis, "b");
	UNTIL(&f->loop, f->subscribed == 2);
	redis_server_kill(&f->server);
	UNTIL(&f->loop, f->losses > 0);
	redis_unsubscribe(f->redis, "b"); /* while it is away */
	redis_server_restart(&f->server);
	UNTIL(&f->loop, f->subscribed == 3 && f->ups == 2);
	publish(f, "b", "no", "0");
	publish(f, "a", "yes", "1");
	UNTIL(&f->loop, f->messages == 1);
	assert_string_equal(f->text, "yes");
}

/* Quiet is no fault, as long as a PING is answered; a server that hangs is one. */
static void test_quiet_and_hanging(void **state)
{
	struct fixture *f = *state;
	int64_t start_ms = clock_boot_ms();
	redis_subscribe(f->redis, "a");
	UNTIL(&f->loop, f->ups == 1);
	UNTIL(&f->loop, clock_boot_ms() - start_ms > 1200); /* several times the deadline */
	assert_int_equal(f->losses, 0);
	redis_unsubscribe(f->redis, "a"); /* then PING is answered in another form */
	UNTIL(&f->loop, clock_boot_ms() - start_ms > 2000);
	assert_int_equal(f->losses, 0);
	redis_subscribe(f->redis, "a");
	redis_server_signal(&f->server, SIGSTOP);
	UNTIL(&f->loop, f->losses > 0);
	assert_non_null(strstr(f->loss.message, "nothing heard"));
	redis_server_signal(&f->server, SIGCONT);
	UNTIL(&f->loop, f->ups == 2);
}

static void test_takes_no_commands(void **state)
{
	struct fixture *f = *state;
	redis_do(f->redis, 0, on_reply, f, "BLPOP", "x", "30", NULL);
	UNTIL(&f->loop, f->ups == 1);
	event_base_loop(f->loop.base, EVLOOP_ONCE);
	redis_subscribe(f->redis, "a"); /* what it was asked before ends */
	UNTIL(&f->loop, f->ended == 1 && f->subscribed == 1);
	assert_int_equal(f->err.kind, ERR_UNKNOWN);
	redis_do(f->redis, 0, on_reply, f, "PING", NULL);
	redis_call_bound(f->redis, on_reply, f, 1, (const char *const[]){ "PING" }, NULL);
	UNTIL(&f->loop, f->ended == 3);
	assert_int_equal(f->err.kind, ERR_INTERNAL);
	publish(f, "a", "still here", "1");
	UNTIL(&f->loop, f->messages == 1);
}

static void test_free_in_message(void **state)
{
	struct fixture *f = *state;
	f->frees_itself = true;
	redis_subscribe(f->redis, "a");
	UNTIL(&f->loop, f->subscribed == 1);
	char *said = redis_server_ask(&f->server, "EVAL",
				      "for i = 1, 100 do redis.call('PUBLISH', 'a', i) end return 'done'", "0", NULL);
	free(said);
	UNTIL(&f->loop, f->messages == 1);
	event_base_loop(f->loop.base, EVLOOP_ONCE);
	assert_int_equal(f->messages, 1);
}

static void test_channel_not_allowed(void **state)
{
	struct fixture *f = *state;
	free(redis_server_ask(&f->server, "ACL", "SETUSER", "default", "resetchannels", "&good", NULL));
	redis_subscribe(f->redis, "bad");
	UNTIL(&f->loop, f->losses > 0);
	assert_int_equal(f->loss.kind, ERR_AUTH);
	assert_non_null(strstr(f->loss.message, "NOPERM"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages),
		TEST(test_many_channels),
		TEST(test_subscribes_again),
		TEST(test_quiet_and_hanging),
		TEST(test_takes_no_commands),
		TEST(test_free_in_message),
		TEST(test_channel_not_allowed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
