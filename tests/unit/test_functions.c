/* queue/functions: the library gets in, is never downgraded, and comes back when it is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "queue/functions.h"
#include "queue/jobs.h"
#include "tests/unit/redis_server.h"

extern const char library_lua[];

struct fixture {
	struct redis_server server;
	struct test_loop loop;
	struct error loss;
	bool connected;
	int ended, failed;
	char text[256];
	struct error err;
};

static void on_state(void *arg, bool connected, const struct error *err)
{
	struct fixture *f = arg;
	f->connected = connected;
	if (err)
		f->loss = *err;
}

static void on_text(void *arg, const char *text, size_t len, const struct error *err)
{
	struct fixture *f = arg;
	assert_true(!text == !!err);
	f->ended++;
	f->failed += !!err;
	if (err)
		f->err = *err;
	else
		str_format(f->text, sizeof f->text, "%.*s", (int)(len < 250 ? len : 250), text);
}

static struct jobs *open_jobs(struct fixture *f, const char *prefix, bool load)
{
	struct error err = { 0 };
	struct jobs_options options = { .redis = { .url = f->server.url }, .prefix = prefix, .load_library = load };
	struct jobs *jobs = jobs_new(f->loop.base, &options, &err);
	if (!jobs)
		fail_msg("%s", err.message);
	f->connected = false;
	jobs_on_state(jobs, on_state, f);
	return jobs;
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
	test_loop_stop(&f->loop);
	redis_server_stop(&f->server);
	free(f);
	return 0;
}

/* The embedded library with another version number, and a function that only it has. */
static char *library_of(int version)
{
	const char *line = strstr(library_lua, "\n-- version ");
	assert_non_null(line);
	return mem_printf(
		"%.*s\n-- version %d%s\nredis.register_function('stoker_only_%d', function() return 'me' end)\n",
		(int)(line - library_lua), library_lua, version, strchr(line + 1, '\n'), version);
}

static void load(struct fixture *f, const char *code)
{
	char *said = redis_server_ask(&f->server, "FUNCTION", "LOAD", "REPLACE", code, NULL);
	assert_string_equal(said, "stoker");
	free(said);
}

/* Whether the library in place is the one that library_of(version) made. */
static bool is_there(struct fixture *f, int version)
{
	char *name = mem_printf("stoker_only_%d", version);
	char *said = redis_server_ask(&f->server, "FCALL", name, "0", NULL);
	bool is = strcmp(said, "me") == 0;
	free(name);
	free(said);
	return is;
}

static void test_version(void **state)
{
	(void)state;
	assert_true(functions_version(library_lua) > 0);
	assert_int_equal(functions_version("#!lua name=stoker\n-- version 12\nlocal x"), 12);
	assert_int_equal(functions_version("#!lua name=stoker\n"), 0);
	assert_int_equal(functions_version("\n-- version x"), 0);
	assert_int_equal(functions_version("\n-- version -3"), 0);
}

static void test_loads(void **state)
{
	struct fixture *f = *state;
	struct jobs *jobs = open_jobs(f, NULL, true);
	UNTIL(&f->loop, f->connected);
	char *mark = redis_server_ask(&f->server, "GET", "stoker:library", NULL);
	char *list = redis_server_ask(&f->server, "FUNCTION", "LIST", NULL);
	assert_int_equal(strtol(mark, NULL, 10), functions_version(library_lua));
	assert_int_equal(strlen(strchr(mark, ' ')), 41);
	assert_non_null(strstr(list, "stoker_submit"));
	free(mark);
	free(list);
	jobs_free(jobs);
}

static void test_never_downgrades(void **state)
{
	struct fixture *f = *state;
	int version = functions_version(library_lua);
	char *newer = library_of(version + 1);
	load(f, newer);
	struct jobs *jobs = open_jobs(f, NULL, true); /* no mark: another prefix has loaded it */
	UNTIL(&f->loop, f->connected);
	assert_true(is_there(f, version + 1));
	jobs_free(jobs);
	free(newer);
}

static void test_replaces_older(void **state)
{
	struct fixture *f = *state;
	char *older = library_of(0); /* states a version that is none */
	load(f, older);
	free(redis_server_ask(&f->server, "SET", "stoker:library", "999999 lies", NULL));
	struct jobs *jobs = open_jobs(f, NULL, true);
	UNTIL(&f->loop, f->connected);
	assert_false(is_there(f, 0));
	jobs_free(jobs);
	free(older);
}

/* Who does not load at each start loads when a call finds nothing: nothing is lost, in order. */
static void test_loads_when_missing(void **state)
{
	struct fixture *f = *state;
	struct jobs *jobs = open_jobs(f, NULL, false);
	UNTIL(&f->loop, f->connected);
	char *list = redis_server_ask(&f->server, "FUNCTION", "LIST", NULL);
	assert_string_equal(list, "");
	free(list);
	for (int i = 0; i < 100; i++)
		jobs_create_queue(jobs, "gpu", "0123456789ab", on_text, f);
	UNTIL(&f->loop, f->ended == 100);
	assert_int_equal(f->failed, 0);
	assert_string_equal(f->text, "gpu");
	for (int i = 0; i < 200; i++) {
		if (i == 50)
			free(redis_server_ask(&f->server, "FUNCTION", "FLUSH", NULL));
		char *spec = mem_printf("{\"name\":\"j%d\",\"command\":[\"true\"]}", i);
		jobs_submit(jobs, "gpu", spec, NULL, NULL, on_text, f);
		free(spec);
	}
	UNTIL(&f->loop, f->ended == 300);
	if (f->failed)
		fail_msg("%s", f->err.message);
	assert_string_equal(f->text, "gpu-200"); /* each once, the last one last */
	assert_true(f->connected);
	jobs_free(jobs);
}

/* Many programs, of two versions, start at once: the newer one wins. */
static void test_crowd(void **state)
{
	enum { CROWD = 12 };
	struct fixture *f = *state;
	struct jobs *jobs[CROWD];
	int version = functions_version(library_lua);
	for (int i = 0; i < CROWD; i++)
		jobs[i] = open_jobs(f, i % 2 ? "other" : NULL, true);
	for (int i = 0; i < 3; i++)
		event_base_loop(f->loop.base, EVLOOP_ONCE);
	char *newer = library_of(version + 1);
	load(f, newer);
	for (int i = 0; i < CROWD; i++)
		UNTIL(&f->loop, jobs_is_ready(jobs[i]));
	free(redis_server_ask(&f->server, "FUNCTION", "FLUSH", NULL));
	load(f, newer);
	for (int i = 0; i < CROWD; i++)
		jobs_free(jobs[i]);
	jobs[0] = open_jobs(f, NULL, true);
	UNTIL(&f->loop, jobs_is_ready(jobs[0]));
	assert_true(is_there(f, version + 1));
	jobs_free(jobs[0]);
	free(newer);
}

static void test_may_not(void **state)
{
	struct fixture *f = *state;
	free(redis_server_ask(&f->server, "ACL", "SETUSER", "ada", "on", ">x", "~*", "&*", "+@all", "-function|load",
			      NULL));
	str_format(f->server.url, sizeof f->server.url, "unix://%s?user=ada&password=x", f->server.socket);
	struct jobs *jobs = open_jobs(f, NULL, true);
	UNTIL(&f->loop, f->loss.kind);
	assert_int_equal(f->loss.kind, ERR_AUTH);
	assert_non_null(strstr(f->loss.message, "cannot load the function library"));
	assert_non_null(strstr(f->loss.message, "NOPERM")); /* not EXECABORT */
	/* Somebody who may loads it: then this one may work with it. */
	load(f, library_lua);
	UNTIL(&f->loop, f->connected);
	jobs_create_queue(jobs, "gpu", "0123456789ab", on_text, f);
	UNTIL(&f->loop, f->ended == 1);
	assert_int_equal(f->failed, 0);
	jobs_free(jobs);
}

static void test_full_redis(void **state)
{
	struct fixture *f = *state;
	free(redis_server_ask(&f->server, "CONFIG", "SET", "maxmemory", "1", NULL));
	struct jobs *jobs = open_jobs(f, NULL, true);
	UNTIL(&f->loop, f->loss.kind);
	assert_int_equal(f->loss.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(f->loss.message, "OOM"));
	free(redis_server_ask(&f->server, "CONFIG", "SET", "maxmemory", "0", NULL));
	UNTIL(&f->loop, f->connected);
	jobs_free(jobs);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version),
		TEST(test_loads),
		TEST(test_never_downgrades),
		TEST(test_replaces_older),
		TEST(test_crowd),
		TEST(test_loads_when_missing),
		TEST(test_may_not),
		TEST(test_full_redis),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
