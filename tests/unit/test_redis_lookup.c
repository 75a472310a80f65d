/* Names looked up at name servers of our own: which one is asked, and when the next. */
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/redis_lookup.h"
#include "tests/unit/folder.h"

enum { SILENT = -1, KNOWS = DNS_ERR_NONE, REFUSES = DNS_ERR_REFUSED, DENIES = DNS_ERR_NOTEXIST };

struct name_server {
	struct evdns_server_port *port;
	int answer;      /* one of the above */
	uint8_t address; /* 10.0.0.<address> is what it knows */
	int asked;
	bool is_case_drawn; /* it was asked in letters that the name does not have */
	in_port_t number;
};

struct fixture {
	struct event_base *base;
	struct name_server servers[2];
	char *folder, *resolv_conf;
	int ended;
	char address[INET_ADDRSTRLEN]; /* "": none */
	char error[300];
};

static void server_asked(struct evdns_server_request *request, void *arg)
{
	struct name_server *server = arg;
	server->asked++;
	if (server->answer == SILENT) {
		evdns_server_request_drop(request);
		return;
	}
	for (int i = 0; i < request->nquestions; i++)
		for (const char *p = request->questions[i]->name; *p; p++)
			server->is_case_drawn |= isupper((unsigned char)*p);
	for (int i = 0; server->answer == KNOWS && i < request->nquestions; i++) {
		const uint8_t address[4] = { 10, 0, 0, server->address };
		if (request->questions[i]->type == EVDNS_TYPE_A)
			evdns_server_request_add_a_reply(request, request->questions[i]->name, 1, address, 60);
	}
	evdns_server_request_respond(request, server->answer);
}

static void server_start(struct fixture *f, struct name_server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	server->number = ntohs(address.sin_port);
	server->port = evdns_add_server_port_with_base(f->base, fd, 0, server_asked, server);
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->base = event_base_new();
	f->folder = folder_make();
	f->resolv_conf = folder_path(f->folder, "resolv.conf");
	for (int i = 0; i < 2; i++) {
		f->servers[i].address = (uint8_t)(i + 1);
		server_start(f, &f->servers[i]);
	}
	char *text = mem_printf("nameserver 127.0.0.1:%d\nnameserver 127.0.0.1:%d\n", f->servers[0].number,
				f->servers[1].number);
	folder_text(f->folder, "resolv.conf", text);
	free(text);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++)
		evdns_close_server_port(f->servers[i].port);
	event_base_free(f->base);
	free(f->resolv_conf);
	folder_remove(f->folder);
	free(f);
	return 0;
}

static void looked_up(void *arg, const struct evutil_addrinfo *addresses, const struct error *err)
{
	struct fixture *f = arg;
	f->ended++;
	f->address[0] = '\0';
	str_copy(f->error, sizeof f->error, err ? err->message : "");
	if (addresses)
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(void *)addresses->ai_addr)->sin_addr, f->address,
			  sizeof f->address);
}

static void look_up(struct fixture *f, const char *host)
{
	struct error err = { 0 };
	int ended = f->ended;
	struct redis_lookup *lookup = redis_lookup_new(f->base, f->resolv_conf, host, "6379", looked_up, f, &err);
	assert_non_null(lookup);
	while (f->ended == ended)
		event_base_loop(f->base, EVLOOP_ONCE);
	redis_lookup_free(lookup);
}

/* As in a network of containers: only the first knows the names there. */
static void test_the_first_server_is_asked_every_time(void **state)
{
	struct fixture *f = *state;
	f->servers[1].answer = DENIES;
	for (int i = 0; i < 20; i++) {
		look_up(f, "redis");
		assert_string_equal(f->address, "10.0.0.1");
	}
	assert_true(f->servers[0].asked >= 20);
	assert_int_equal(f->servers[1].asked, 0);
}

/* Some servers know a name in one case only. */
static void test_names_are_asked_for_as_they_are(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 10; i++) {
		look_up(f, "redis.dns.example");
		assert_string_equal(f->address, "10.0.0.1");
	}
	assert_false(f->servers[0].is_case_drawn);
}

static void test_a_no_is_an_answer(void **state)
{
	struct fixture *f = *state;
	f->servers[0].answer = DENIES;
	look_up(f, "redis");
	assert_string_equal(f->address, "");
	assert_non_null(strstr(f->error, "cannot resolve redis"));
	assert_int_equal(f->servers[1].asked, 0);
}

static void test_the_next_is_asked_when_one_refuses(void **state)
{
	struct fixture *f = *state;
	f->servers[0].answer = REFUSES;
	look_up(f, "redis.example");
	assert_string_equal(f->address, "10.0.0.2");
	f->servers[1].answer = REFUSES;
	look_up(f, "redis.example");
	assert_string_equal(f->address, "");
	assert_non_null(strstr(f->error, "cannot resolve redis.example"));
}

static void test_the_next_is_asked_when_one_is_silent(void **state)
{
	struct fixture *f = *state;
	int64_t start_ms = clock_boot_ms();
	f->servers[0].answer = SILENT;
	look_up(f, "redis.example");
	assert_string_equal(f->address, "10.0.0.2");
	assert_true(clock_boot_ms() - start_ms < 4000); /* there is time left for the dial */
}

static void test_numbers_need_no_server(void **state)
{
	struct fixture *f = *state;
	look_up(f, "127.0.0.7");
	assert_string_equal(f->address, "127.0.0.7");
	assert_int_equal(f->servers[0].asked + f->servers[1].asked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_first_server_is_asked_every_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_are_asked_for_as_they_are, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_no_is_an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_is_asked_when_one_refuses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_next_is_asked_when_one_is_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers_need_no_server, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
