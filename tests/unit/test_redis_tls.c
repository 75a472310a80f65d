/* queue/redis over TLS: a certificate must be trusted and made for the host, or nothing is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis.h"
#include "tests/unit/certificates.h"
#include "tests/unit/redis_server.h"

struct fixture {
	struct redis_server server;
	struct test_loop loop;
	struct redis *redis;
	struct certificate ca, stranger;
	char ca_file[128], stranger_file[128], cert_file[128], key_file[128];
	char port[16];
	bool connected;
	int losses;
	struct error loss;
};

struct one {
	int ended;
	enum error_kind kind;
	int64_t number;
	size_t len;
};

static void on_one(void *arg, const struct redisReply *reply, const struct error *err)
{
	struct one *one = arg;
	one->ended++;
	one->kind = err ? err->kind : ERR_NONE;
	one->number = reply ? reply->integer : 0;
	one->len = reply ? reply->len : 0;
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

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	*state = f;
	test_loop_start(&f->loop);
	redis_server_folder(&f->server);
	str_format(f->ca_file, sizeof f->ca_file, "%s/ca.pem", f->server.dir);
	str_format(f->stranger_file, sizeof f->stranger_file, "%s/stranger.pem", f->server.dir);
	str_format(f->cert_file, sizeof f->cert_file, "%s/cert.pem", f->server.dir);
	str_format(f->key_file, sizeof f->key_file, "%s/key.pem", f->server.dir);
	certificate_make(&f->ca, &(struct certificate_options){ .name = "test authority", .valid_s = 3600 });
	certificate_make(&f->stranger, &(struct certificate_options){ .name = "a stranger", .valid_s = 3600 });
	certificate_write(&f->ca, f->ca_file, NULL);
	certificate_write(&f->stranger, f->stranger_file, NULL);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	redis_free(f->redis);
	test_loop_stop(&f->loop);
	redis_server_stop(&f->server);
	certificate_free(&f->ca);
	certificate_free(&f->stranger);
	free(f);
	return 0;
}

static void start_server(struct fixture *f, const char *hosts, long valid_s)
{
	struct certificate certificate;
	certificate_make(&certificate, &(struct certificate_options){
					       .name = "redis", .hosts = hosts, .issuer = &f->ca, .valid_s = valid_s });
	certificate_write(&certificate, f->cert_file, f->key_file);
	certificate_free(&certificate);
	str_format(f->port, sizeof f->port, "%d", redis_server_free_port());
	redis_server_start(&f->server,
			   (const char *const[]){ "--bind", "127.0.0.1", "--tls-port", f->port, "--tls-cert-file",
						  f->cert_file, "--tls-key-file", f->key_file, "--tls-ca-cert-file",
						  f->ca_file, "--tls-auth-clients", "no", NULL });
}

static void open_redis(struct fixture *f, const char *scheme, const char *host, const char *ca_file)
{
	struct error err = { 0 };
	char *url = mem_printf("%s://%s:%s", scheme, host, f->port);
	struct redis_options options = { .url = url, .ca_file = ca_file, .connect_ms = 2000, .deadline_ms = 60000 };
	redis_free(f->redis);
	f->losses = 0;
	f->connected = false;
	f->redis = redis_new(f->loop.base, &options, &err);
	if (!f->redis)
		fail_msg("%s", err.message);
	redis_on_state(f->redis, on_state, f);
	free(url);
}

static void test_good(void **state)
{
	struct fixture *f = *state;
	struct one one = { 0 };
	start_server(f, "DNS:localhost,IP:127.0.0.1", 3600);
	open_redis(f, "rediss", "localhost", f->ca_file);
	redis_do(f->redis, 0, on_one, &one, "INCR", "n", NULL);
	UNTIL(&f->loop, one.ended);
	assert_int_equal(one.number, 1);
	open_redis(f, "rediss", "127.0.0.1", f->ca_file);
	redis_do(f->redis, 0, on_one, &one, "INCR", "n", NULL);
	UNTIL(&f->loop, one.ended == 2);
	assert_int_equal(one.number, 2);
	assert_int_equal(f->losses, 0);
}

static void test_much(void **state)
{
	enum { MANY = 4000 };
	struct fixture *f = *state;
	struct one *calls = mem_alloc(MANY * sizeof *calls);
	struct one big = { 0 };
	char *padding = mem_alloc(2048);
	memset(padding, 'p', 2047);
	start_server(f, "DNS:localhost", 3600);
	open_redis(f, "rediss", "localhost", f->ca_file);
	for (int i = 0; i < MANY; i++)
		redis_do(f->redis, 0, on_one, &calls[i], "EVAL", "return redis.call('incr', 'n')", "0", padding, NULL);
	redis_do(f->redis, 0, on_one, &big, "EVAL", "return string.rep('x', 16 * 1024 * 1024)", "0", NULL);
	UNTIL(&f->loop, big.ended);
	assert_int_equal(big.len, 16 * 1024 * 1024);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(calls[i].number, i + 1);
	free(padding);
	free(calls);
}

/* As in test_redis_faults, with records instead of bytes. */
static void test_kill(void **state)
{
	enum { MANY = 6000 }; /* 24 MB: more than the sockets between hold */
	struct fixture *f = *state;
	struct one *calls = mem_alloc(MANY * sizeof *calls);
	int of_kind[ERR_KINDS] = { 0 };
	char padding[4096];
	memset(padding, 'p', sizeof padding - 1);
	padding[sizeof padding - 1] = '\0';
	start_server(f, "DNS:localhost", 3600);
	open_redis(f, "rediss", "localhost", f->ca_file);
	for (int i = 0; i < MANY; i++) {
		char key[32];
		str_format(key, sizeof key, "k%d", i);
		redis_do(f->redis, 0, on_one, &calls[i], "EVAL", "return redis.call('incr', KEYS[1])", "1", key,
			 padding, NULL);
	}
	UNTIL(&f->loop, calls[100].ended);
	redis_server_kill(&f->server);
	UNTIL(&f->loop, f->losses > 0);
	redis_server_restart(&f->server);
	for (int i = 0; i < MANY; i++) {
		char key[32];
		UNTIL(&f->loop, calls[i].ended);
		str_format(key, sizeof key, "k%d", i);
		int64_t there = redis_server_ask_number(&f->server, "GET", key);
		assert_int_equal(calls[i].ended, 1);
		assert_in_range(there, 0, 1);
		of_kind[calls[i].kind]++;
		if (calls[i].kind == ERR_NONE)
			assert_int_equal(there, 1);
	}
	assert_int_equal(of_kind[ERR_NONE] + of_kind[ERR_UNKNOWN], MANY);
	assert_int_equal(calls[MANY - 1].kind, ERR_NONE);
	free(calls);
}

/* Nothing was said to the server, and the reason is clear. */
static void refused(struct fixture *f, const char *host, const char *ca_file, enum error_kind kind, const char *said)
{
	struct one one = { 0 };
	open_redis(f, "rediss", host, ca_file);
	redis_do(f->redis, 200, on_one, &one, "INCR", "n", NULL);
	UNTIL(&f->loop, f->losses > 0 && one.ended);
	assert_false(f->connected);
	assert_int_equal(f->loss.kind, kind);
	if (!strstr(f->loss.message, said))
		fail_msg("%s", f->loss.message);
	assert_int_equal(one.kind, ERR_UNAVAILABLE);
	assert_int_equal(redis_server_ask_number(&f->server, "EXISTS", "n"), 0);
}

static void test_wrong_host(void **state)
{
	struct fixture *f = *state;
	start_server(f, "DNS:db.example,IP:10.0.0.1,DNS:*.localhost", 3600);
	refused(f, "localhost", f->ca_file, ERR_AUTH, "hostname mismatch");
	refused(f, "127.0.0.1", f->ca_file, ERR_AUTH, "IP address mismatch");
}

static void test_unknown_authority(void **state)
{
	struct fixture *f = *state;
	start_server(f, "DNS:localhost", 3600);
	refused(f, "localhost", f->stranger_file, ERR_AUTH, "its certificate was refused");
	refused(f, "localhost", NULL, ERR_AUTH, "its certificate was refused"); /* the system's */
}

static void test_expired(void **state)
{
	struct fixture *f = *state;
	start_server(f, "DNS:localhost", -60);
	refused(f, "localhost", f->ca_file, ERR_AUTH, "certificate has expired");
}

/* The name is in the open in the first words of the client, so that a proxy can choose by it. */
static void test_server_name(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	char hello[2048];
	ssize_t got = -1;
	int peer = -1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	str_format(f->port, sizeof f->port, "%d", ntohs(address.sin_port));
	open_redis(f, "rediss", "localhost", f->ca_file);
	UNTIL(&f->loop, (peer = accept(listener, NULL, NULL)) >= 0);
	UNTIL(&f->loop, (got = recv(peer, hello, sizeof hello, MSG_DONTWAIT)) > 0);
	assert_non_null(memmem(hello, (size_t)got, "localhost", 9));
	close(peer);
	close(listener);
}

static void test_mixed_up_ports(void **state)
{
	struct fixture *f = *state;
	char plain[16];
	start_server(f, "DNS:localhost", 3600);
	open_redis(f, "redis", "localhost", NULL); /* plain words to a TLS port */
	UNTIL(&f->loop, f->losses > 0);
	assert_int_equal(f->loss.kind, ERR_UNAVAILABLE);
	str_format(plain, sizeof plain, "%d", redis_server_free_port());
	free(redis_server_ask(&f->server, "CONFIG", "SET", "port", plain, NULL));
	str_copy(f->port, sizeof f->port, plain);
	refused(f, "localhost", f->ca_file, ERR_UNAVAILABLE, "TLS handshake");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_good),
		TEST(test_much),
		TEST(test_kill),
		TEST(test_wrong_host),
		TEST(test_unknown_authority),
		TEST(test_expired),
		TEST(test_server_name),
		TEST(test_mixed_up_ports),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
