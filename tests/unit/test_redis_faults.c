/* queue/redis against a server that dies, hangs or is not there: what is reported is what happened. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
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
	bool connected;
	int losses;
	struct error loss;
};

/* One call: how often and how it ended. */
struct one {
	int ended;
	enum error_kind kind;
	int64_t number;
	char message[256];
};

static void on_one(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct one *one = arg;
	one->ended++;
	one->kind = err ? err->kind : ERR_NONE;
	one->number = reply ? reply->integer : 0;
	str_format(one->message, sizeof one->message, "%.250s", err ? err->message : "");
}

static void on_state(void *arg, bool connected, const struct error *err)
{
	struct fixture *f = arg;
	f->connected = connected;
	if (!connected) {
		f->losses++;
		f->loss = *err;
	}
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

static void test_waits_for_the_server(void **state)
{
	struct fixture *f = *state;
	struct one one = { 0 };
	redis_server_kill(&f->server);
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	redis_do(f->redis, 0, on_one, &one, "INCR", "n", NULL);
	UNTIL(&f->loop, f->losses >= 2);
	assert_non_null(strstr(f->loss.message, "cannot connect: Connection refused"));
	assert_int_equal(one.ended, 0);
	redis_server_restart(&f->server);
	UNTIL(&f->loop, one.ended);
	assert_int_equal(one.number, 1);
	UNTIL(&f->loop, f->connected);
}

/* However long it is away, it is looked for at least every 0.63 s: the rest of 2 s is for a claim. */
static void test_looks_again_soon(void **state)
{
	struct fixture *f = *state;
	int64_t lost_ms[9], least_ms = INT64_MAX, most_ms = 0;
	redis_server_kill(&f->server);
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	for (int i = 0; i < 9; i++) {
		UNTIL(&f->loop, f->losses > i);
		lost_ms[i] = clock_boot_ms();
	}
	/* By then it is as patient as it ever is. On a busy machine one of them may be seen late: then the one before
	 * looks longer, and the one after it shorter than it was. */
	for (int i = 7; i < 9; i++) {
		int64_t gap_ms = lost_ms[i] - lost_ms[i - 1];
		least_ms = gap_ms < least_ms ? gap_ms : least_ms;
		most_ms = gap_ms > most_ms ? gap_ms : most_ms;
	}
	assert_true(least_ms < 800);
	assert_true(most_ms > 350);
}

static void test_not_waiting(void **state)
{
	struct fixture *f = *state;
	struct one early = { 0 }, up = { 0 }, down = { 0 }, late = { 0 };
	open_redis(f, &(struct redis_options){ .url = f->server.url, .fail_when_down = true });
	redis_do(f->redis, 0, on_one, &early, "INCR", "n", NULL);
	assert_int_equal(early.ended, 0);
	UNTIL(&f->loop, early.ended && f->connected);
	assert_int_equal(early.kind, ERR_UNAVAILABLE);
	redis_do(f->redis, 0, on_one, &up, "INCR", "n", NULL);
	UNTIL(&f->loop, up.ended);
	assert_int_equal(up.number, 1);
	redis_server_kill(&f->server);
	UNTIL(&f->loop, f->losses > 0);
	redis_do(f->redis, 0, on_one, &down, "INCR", "n", NULL);
	UNTIL(&f->loop, down.ended);
	assert_int_equal(down.kind, ERR_UNAVAILABLE);
	redis_server_restart(&f->server);
	UNTIL(&f->loop, f->connected);
	redis_do(f->redis, 0, on_one, &late, "INCR", "n", NULL);
	UNTIL(&f->loop, late.ended);
	assert_int_equal(late.number, 2);
}

/* A stopped server: the call ends as unknown when its deadline passes, the connection stays, and
 * when the late answer comes it is not taken for that of the next call. */
static void test_deadline_and_late_answer(void **state)
{
	struct fixture *f = *state;
	struct one first = { 0 }, second = { 0 }, third = { 0 };
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	UNTIL(&f->loop, f->connected);
	redis_server_signal(&f->server, SIGSTOP);
	int64_t start_ms = clock_boot_ms();
	redis_do(f->redis, 200, on_one, &first, "INCRBY", "n", "10", NULL);
	redis_do(f->redis, 0, on_one, &second, "INCRBY", "n", "100", NULL);
	UNTIL(&f->loop, first.ended);
	assert_in_range(clock_boot_ms() - start_ms, 199, 8000);
	assert_int_equal(first.kind, ERR_UNKNOWN);
	assert_non_null(strstr(first.message, "no answer in time (200 ms)"));
	redis_do(f->redis, 0, on_one, &third, "INCRBY", "n", "1000", NULL);
	redis_server_signal(&f->server, SIGCONT);
	UNTIL(&f->loop, third.ended && second.ended);
	assert_int_equal(second.number, 110);
	assert_int_equal(third.number, 1110);
	assert_int_equal(first.ended, 1);
	assert_int_equal(f->losses, 0);
}

/* A server that says nothing for a whole deadline is given up, and found again. */
static void test_silent_server_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct one sent = { 0 }, after = { 0 }, never = { 0 };
	open_redis(f, &(struct redis_options){ .url = f->server.url, .deadline_ms = 300, .connect_ms = 200 });
	UNTIL(&f->loop, f->connected);
	redis_server_signal(&f->server, SIGSTOP);
	redis_do(f->redis, 0, on_one, &sent, "INCR", "n", NULL);
	UNTIL(&f->loop, sent.ended && f->losses > 0);
	assert_int_equal(sent.kind, ERR_UNKNOWN);
	assert_non_null(strstr(f->loss.message, "nothing heard"));
	redis_do(f->redis, 50, on_one, &never, "INCR", "never", NULL);
	redis_do(f->redis, 10000, on_one, &after, "INCR", "after", NULL);
	UNTIL(&f->loop, never.ended && f->losses >= 2);
	assert_int_equal(never.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(f->loss.message, "not connected within 200 ms (logging in)"));
	redis_server_signal(&f->server, SIGCONT);
	UNTIL(&f->loop, after.ended);
	assert_int_equal(after.number, 1);
	assert_int_equal(redis_server_ask_number(&f->server, "GET", "never"), 0);
	assert_int_equal(redis_server_ask_number(&f->server, "GET", "n"), 1); /* unknown meant: it happened */
}

/*
 * kill -9 in the middle of a pipeline, again and again. Each call increments a key of its own,
 * so that afterwards what Redis did can be told for every single one:
 *   answered     the key is there (append-only file, fsync always)
 *   unavailable  it is not there
 *   unknown      either
 * and no key was incremented twice.
 */
enum { KILLS = 8, A_ROUND = 3000 };

static void kill_round(struct fixture *f, struct one *calls, int round, const char *padding)
{
	int first = round * A_ROUND;
	for (int i = first; i < first + A_ROUND; i++) {
		char key[32];
		str_format(key, sizeof key, "k%d", i);
		redis_do(f->redis, 0, on_one, &calls[i], "EVAL", "return redis.call('incr', KEYS[1])", "1", key,
			 padding, NULL);
	}
	/* Some answers are in, others on their way, others in the socket or not yet sent. */
	int enough = first + round * A_ROUND / KILLS;
	UNTIL(&f->loop, calls[enough].ended);
	redis_server_kill(&f->server);
	UNTIL(&f->loop, !redis_is_connected(f->redis));
	redis_server_restart(&f->server);
}

static void test_kill_in_pipeline(void **state)
{
	struct fixture *f = *state;
	struct one *calls = mem_alloc(KILLS * A_ROUND * sizeof *calls);
	int answered = 0, unknown = 0, unavailable = 0;
	char padding[600];
	memset(padding, 'p', sizeof padding - 1);
	padding[sizeof padding - 1] = '\0';
	open_redis(f, &(struct redis_options){ .url = f->server.url, .deadline_ms = 60000, .fail_when_down = true });
	for (int round = 0; round < KILLS; round++) {
		UNTIL(&f->loop, redis_is_connected(f->redis));
		kill_round(f, calls, round, padding);
	}
	for (int i = 0; i < KILLS * A_ROUND; i++) {
		char key[32];
		UNTIL(&f->loop, calls[i].ended);
		str_format(key, sizeof key, "k%d", i);
		int64_t there = redis_server_ask_number(&f->server, "GET", key);
		assert_int_equal(calls[i].ended, 1);
		assert_in_range(there, 0, 1);
		if (calls[i].kind == ERR_NONE)
			answered++, assert_int_equal(there, 1);
		else if (calls[i].kind == ERR_UNAVAILABLE)
			unavailable++, assert_int_equal(there, 0);
		else
			unknown++, assert_int_equal(calls[i].kind, ERR_UNKNOWN);
	}
	print_message("answered %d, unknown %d, not sent %d\n", answered, unknown, unavailable);
	assert_true(answered && unknown && unavailable); /* else this tested nothing */
	free(calls);
}

/* The same, but what was not sent waits for the next connection: nothing is ever unavailable. */
static void test_kill_and_wait(void **state)
{
	struct fixture *f = *state;
	struct one *calls = mem_alloc(A_ROUND * sizeof *calls);
	int answered = 0;
	char padding[600];
	memset(padding, 'p', sizeof padding - 1);
	padding[sizeof padding - 1] = '\0';
	open_redis(f, &(struct redis_options){ .url = f->server.url, .deadline_ms = 60000 });
	UNTIL(&f->loop, redis_is_connected(f->redis));
	for (int i = 0; i < A_ROUND; i++) {
		char key[32];
		str_format(key, sizeof key, "k%d", i);
		redis_do(f->redis, 0, on_one, &calls[i], "EVAL", "return redis.call('incr', KEYS[1])", "1", key,
			 padding, NULL);
	}
	UNTIL(&f->loop, calls[100].ended);
	redis_server_kill(&f->server);
	UNTIL(&f->loop, !redis_is_connected(f->redis));
	redis_server_restart(&f->server);
	for (int i = 0; i < A_ROUND; i++) {
		char key[32];
		UNTIL(&f->loop, calls[i].ended);
		str_format(key, sizeof key, "k%d", i);
		int64_t there = redis_server_ask_number(&f->server, "GET", key);
		assert_in_range(there, 0, 1);
		assert_true(calls[i].kind == ERR_NONE || calls[i].kind == ERR_UNKNOWN);
		if (calls[i].kind == ERR_NONE)
			answered++, assert_int_equal(there, 1);
	}
	assert_int_equal(calls[A_ROUND - 1].kind, ERR_NONE);
	assert_in_range(answered, 101, A_ROUND);
	free(calls);
}

/* Tombstones and unsent bytes together: a full socket of a stopped server, which then dies. */
static void test_full_socket(void **state)
{
	enum { MANY = 2000 };
	struct fixture *f = *state;
	struct one *calls = mem_alloc(MANY * sizeof *calls);
	int unknown = 0, unavailable = 0;
	char *padding = mem_alloc(4096);
	memset(padding, 'p', 4095);
	open_redis(f, &(struct redis_options){ .url = f->server.url, .fail_when_down = true });
	UNTIL(&f->loop, f->connected);
	redis_server_signal(&f->server, SIGSTOP);
	for (int i = 0; i < MANY; i++)
		redis_do(f->redis, i % 3 ? 0 : 100, on_one, &calls[i], "LPUSH", "list", padding, NULL);
	UNTIL(&f->loop, calls[0].ended && calls[MANY - 2].ended);
	assert_int_equal(calls[0].kind, ERR_UNKNOWN);            /* it went into the socket */
	assert_int_equal(calls[MANY - 2].kind, ERR_UNAVAILABLE); /* it never left us, and late */
	redis_server_kill(&f->server);
	redis_server_restart(&f->server);
	for (int i = 0; i < MANY; i++) {
		UNTIL(&f->loop, calls[i].ended);
		assert_int_equal(calls[i].ended, 1);
		unknown += calls[i].kind == ERR_UNKNOWN;
		unavailable += calls[i].kind == ERR_UNAVAILABLE;
	}
	assert_int_equal(unknown + unavailable, MANY);
	assert_true(unknown < 200); /* a socket and one window, not everything */
	free(padding);
	free(calls);
}

static void test_interrupt(void **state)
{
	struct fixture *f = *state;
	struct one blocked = { 0 }, again = { 0 }, unsent = { 0 };
	open_redis(f, &(struct redis_options){ .url = f->server.url });
	UNTIL(&f->loop, f->connected);
	redis_do(f->redis, 60000, on_one, &blocked, "BZPOPMIN", "bell", "30", NULL);
	char *clients = NULL;
	UNTIL(&f->loop, (free(clients), clients = redis_server_ask(&f->server, "INFO", "clients", NULL),
			 strstr(clients, "blocked_clients:1")));
	free(clients);
	redis_interrupt(f->redis);
	assert_int_equal(blocked.ended, 0);
	redis_do(f->redis, 60000, on_one, &again, "BZPOPMIN", "bell", "30", NULL); /* is not hit by it */
	UNTIL(&f->loop, blocked.ended);
	assert_int_equal(blocked.kind, ERR_UNKNOWN);
	free(redis_server_ask(&f->server, "ZADD", "bell", "0", "1", NULL));
	UNTIL(&f->loop, again.ended);
	assert_int_equal(again.kind, ERR_NONE);
	assert_int_equal(f->losses, 0); /* it was asked for */

	redis_do(f->redis, 0, on_one, &unsent, "INCR", "n", NULL);
	redis_interrupt(f->redis);
	redis_interrupt(f->redis);
	UNTIL(&f->loop, unsent.ended && redis_is_connected(f->redis));
	assert_int_equal(unsent.kind, ERR_UNAVAILABLE);
	assert_int_equal(redis_server_ask_number(&f->server, "GET", "n"), 0);
}

/* What Redis said before it hung up counts, even if our own sending failed first. */
static void test_drains_before_eof(void **state)
{
	struct fixture *f = *state;
	struct one before = { 0 }, quit = { 0 }, after[50] = { 0 };
	open_redis(f, &(struct redis_options){ .url = f->server.url, .fail_when_down = true });
	UNTIL(&f->loop, f->connected);
	redis_server_signal(&f->server, SIGSTOP);
	redis_do(f->redis, 0, on_one, &before, "INCR", "n", NULL);
	redis_do(f->redis, 0, on_one, &quit, "QUIT", NULL);
	for (int i = 0; i < 5; i++) /* they go out; nothing can come back yet */
		event_base_loop(f->loop.base, EVLOOP_ONCE);
	redis_server_signal(&f->server, SIGCONT);
	int64_t end_ms = clock_boot_ms() + 5000;
	char *clients = NULL; /* until Redis has closed its side: we are the only one left */
	do {
		free(clients);
		clients = redis_server_ask(&f->server, "CLIENT", "LIST", NULL);
	} while (strchr(clients, '\n') != strrchr(clients, '\n') && clock_boot_ms() < end_ms);
	free(clients);
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		redis_do(f->redis, 0, on_one, &after[i], "INCR", "n", NULL);
	UNTIL(&f->loop, after[49].ended);
	assert_int_equal(before.kind, ERR_NONE);
	assert_int_equal(quit.kind, ERR_NONE);
	assert_int_equal(redis_server_ask_number(&f->server, "GET", "n"), 1);
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		assert_true(after[i].kind == ERR_UNKNOWN || after[i].kind == ERR_UNAVAILABLE);
}

/* A server that speaks something else. */
static void test_not_redis(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char *url = mem_printf("unix://%s/other.sock", f->server.dir);
	str_copy(address.sun_path, sizeof address.sun_path, url + 7);
	int peer = -1;
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	open_redis(f, &(struct redis_options){ .url = url });
	free(url);
	UNTIL(&f->loop, (peer = accept(listener, NULL, NULL)) >= 0);
	assert_int_equal(write(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
	UNTIL(&f->loop, f->losses > 0);
	assert_non_null(strstr(f->loss.message, "not the Redis protocol"));
	close(peer);
	close(listener);
}

static void test_name_resolution(void **state)
{
	struct fixture *f = *state;
	struct one one = { 0 };
	int64_t start_ms = clock_boot_ms();
	open_redis(f, &(struct redis_options){ .url = "redis://no-such-host.invalid:1", .connect_ms = 400 });
	redis_do(f->redis, 600, on_one, &one, "PING", NULL);
	UNTIL(&f->loop, f->losses > 0 && one.ended);
	assert_true(clock_boot_ms() - start_ms < 3000); /* whatever the name server does */
	assert_int_equal(one.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(f->loss.message, "no-such-host.invalid"));
	assert_non_null(strstr(f->loss.message, "resolv"));
	/* Freed in the middle of a look-up, whose end then still comes. */
	int losses = f->losses;
	redis_interrupt(f->redis);
	event_base_loop(f->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	event_base_loop(f->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	redis_free(f->redis);
	f->redis = NULL;
	for (int i = 0; i < 5; i++)
		event_base_loop(f->loop.base, EVLOOP_ONCE);
	assert_int_equal(f->losses, losses);
}

/* "localhost" of /etc/hosts, over TCP, after a server that is not there yet. */
static void test_tcp_by_name(void **state)
{
	struct fixture *f = *state;
	struct redis_server tcp = { 0 };
	struct one one = { 0 };
	char port[16];
	str_format(port, sizeof port, "%d", redis_server_free_port());
	char *url = mem_printf("redis://localhost:%s/2", port);
	open_redis(f, &(struct redis_options){ .url = url });
	redis_do(f->redis, 0, on_one, &one, "INCR", "n", NULL);
	UNTIL(&f->loop, f->losses > 0);
	assert_non_null(strstr(f->loss.message, "Connection refused"));
	redis_server_start(&tcp, (const char *const[]){ "--port", port, "--bind", "127.0.0.1", NULL });
	UNTIL(&f->loop, one.ended);
	assert_int_equal(one.number, 1);
	redis_server_stop(&tcp);
	free(url);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_waits_for_the_server),
		TEST(test_looks_again_soon),
		TEST(test_not_waiting),
		TEST(test_deadline_and_late_answer),
		TEST(test_silent_server_is_given_up),
		TEST(test_kill_in_pipeline),
		TEST(test_kill_and_wait),
		TEST(test_full_socket),
		TEST(test_interrupt),
		TEST(test_drains_before_eof),
		TEST(test_not_redis),
		TEST(test_name_resolution),
		TEST(test_tcp_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
