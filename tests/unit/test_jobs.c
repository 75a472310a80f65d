/* queue/jobs: what apps and schedulers call, against the real function library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "tests/unit/jobs_fixture.h"

static void test_apps(void **state)
{
	struct fixture *f = *state;
	jobs_submit(f->jobs, "gpu", SPEC, "nightly", "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "gpu-1");
	jobs_submit(f->jobs, "gpu", SPEC, "nightly", "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "gpu-1");
	jobs_submit(f->jobs, "gpu", "{\"command\":[\"false\"]}", "nightly", NULL, on_text, f);
	BAD(f, ERR_CONFLICT);
	jobs_submit(f->jobs, "gpu", "{\"comand\":[\"false\"]}", NULL, NULL, on_text, f);
	BAD(f, ERR_INPUT);
	assert_non_null(strstr(f->err.message, "comand"));
	submit(f);
	assert_string_equal(f->text, "gpu-2");

	jobs_show(f->jobs, "gpu", 1, on_text, f);
	GOOD(f);
	json_auto_t *shown = answered_json(f);
	assert_member(shown, "id", "gpu-1");
	jobs_show(f->jobs, "gpu", 99, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_list(f->jobs, "gpu", "all", 10, NULL, on_text, f);
	GOOD(f);
	json_auto_t *listed = answered_json(f);
	assert_int_equal(json_array_size(json_object_get(listed, "jobs")), 2);
	jobs_stats(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *stats = answered_json(f);
	assert_int_equal(json_integer_value(json_object_get(stats, "queued")), 2);

	jobs_cancel(f->jobs, "gpu", 1, "cli:ada", "not needed", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "cancelled");
	jobs_retry(f->jobs, "gpu", &(struct jobs_retry){ .n = 1, .actor = "cli:ada" }, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "gpu-3");
	jobs_corrupt(f->jobs, "gpu", &(struct jobs_flag){ .n = 1, .reason = "odd" }, on_text, f);
	ANSWER(f);
	assert_int_not_equal(f->err.kind, ERR_NONE);
	assert_int_not_equal(f->err.kind, ERR_INTERNAL);
}

static void test_steering(void **state)
{
	struct fixture *f = *state;
	submit(f);
	jobs_hold(f->jobs, "gpu", 1, "cli:ada", "not today", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "waiting");
	jobs_update(f->jobs, "gpu", 1, "{\"priority\":9}", "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "waiting");
	jobs_update(f->jobs, "gpu", 1, "{\"priority\":99}", NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_release(f->jobs, "gpu", 1, NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "queued");
	jobs_remove(f->jobs, "gpu", 1, NULL, on_text, f);
	BAD(f, ERR_CONFLICT);
	jobs_cancel(f->jobs, "gpu", 1, NULL, NULL, on_text, f);
	GOOD(f);
	jobs_remove(f->jobs, "gpu", 1, NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "removed");
	jobs_hold(f->jobs, "gpu", 7, NULL, NULL, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_pause(f->jobs, "gpu", "drain", "cli:ada", "moving", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "draining");
	jobs_submit(f->jobs, "gpu", SPEC, NULL, NULL, on_text, f);
	BAD(f, ERR_CONFLICT);
	jobs_pause(f->jobs, "gpu", "stop", NULL, NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_pause(f->jobs, "gpu", "resume", NULL, NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "open");
}

struct answered { /* what an on_each was told */
	bool is_over;
	size_t count;
	struct error err;
	struct jobs_each_answer answers[4];
};

static void on_each(void *arg, const struct jobs_each_answer *answers, size_t count, const struct error *err)
{
	struct answered *a = arg;
	a->is_over = true;
	a->count = count;
	a->err = err ? *err : (struct error){ 0 };
	for (size_t i = 0; i < count && i < ARRAY_LEN(a->answers); i++)
		a->answers[i] = answers[i];
}

static void test_each(void **state)
{
	struct fixture *f = *state;
	struct answered a = { 0 };
	const struct jobs_each_one all[] = { { 1, -1 }, { 2, 5 }, { 99, -1 } };
	struct jobs_each each = { .queue = "gpu", .action = "hold", .all = all, .count = ARRAY_LEN(all) };
	submit(f);
	submit(f);
	jobs_each(f->jobs, &each, on_each, &a);
	UNTIL(&f->loop, a.is_over);
	assert_int_equal(a.count, 3);
	assert_int_equal(a.answers[0].outcome, EACH_DONE);
	assert_int_equal(a.answers[1].outcome, EACH_SKIPPED);
	assert_int_equal(a.answers[2].outcome, EACH_REFUSED);
	assert_int_equal(a.answers[2].err.kind, ERR_NOT_FOUND);
	assert_non_null(strstr(a.answers[2].err.message, "no job gpu-99"));
	a.is_over = false;
	each.action = "burn";
	jobs_each(f->jobs, &each, on_each, &a);
	UNTIL(&f->loop, a.is_over);
	assert_int_equal(a.count, 0);
	assert_int_equal(a.err.kind, ERR_INPUT);
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	const char *const bad[] = { "", "GPU", "-gpu", "g{pu", "a}b", "a:b", "a b", NULL };
	char channel[256];
	for (size_t i = 0; bad[i]; i++) {
		jobs_stats(f->jobs, bad[i], on_text, f);
		assert_int_equal(f->ended, f->calls); /* not from inside */
		BAD(f, ERR_INPUT);
		jobs_channel(f->jobs, bad[i], STREAM_LOG, 1, channel, sizeof channel);
		assert_string_equal(channel, "");
	}
	jobs_stats(f->jobs, "nobody-made-it", on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_channel(f->jobs, "gpu", STREAM_METRICS, 42, channel, sizeof channel);
	assert_string_equal(channel, "test.1:{gpu}:metrics:42");
	jobs_control_channel(f->jobs, "gpu", channel, sizeof channel);
	assert_string_equal(channel, "test.1:{gpu}:control");
	assert_string_equal(jobs_where(f->jobs), f->server.url);
	assert_true(jobs_is_ready(f->jobs));
	struct error err = { 0 };
	struct jobs_options options = { .redis = { .url = f->server.url }, .prefix = "{x}" };
	assert_null(jobs_new(f->loop.base, &options, &err));
	assert_int_equal(err.kind, ERR_INPUT);
}

static void on_seen(void *arg, const char *text, size_t len, const struct error *err)
{
	assert_null(err);
	*(char **)arg = mem_strndup(text, len);
}

static void test_queues(void **state)
{
	struct fixture *f = *state;
	jobs_create_queue(f->jobs, "alpha", INSTALLATION, on_text, f);
	GOOD(f);
	free(redis_server_ask(&f->server, "SADD", "test.1:queues", "not a name", NULL));
	jobs_queues(f->jobs, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[\"alpha\",\"gpu\"]");

	jobs_installation(f->jobs, "", on_text, f);
	GOOD(f);
	char *first = mem_strdup(f->text);
	assert_int_equal(strspn(first, "0123456789abcdef"), 12);
	assert_int_equal(strlen(first), 12);
	jobs_installation(f->jobs, "", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, first);
	free(first);
	free(redis_server_ask(&f->server, "DEL", "test.1:installation", NULL));
	char *seen[3] = { NULL }; /* side by side: the same one for all */
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		jobs_installation(f->jobs, "", on_seen, &seen[i]);
	UNTIL(&f->loop, seen[0] && seen[1] && seen[2]);
	assert_string_equal(seen[0], seen[1]);
	assert_string_equal(seen[0], seen[2]);
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		free(seen[i]);
}

static void test_server_info(void **state)
{
	struct fixture *f = *state;
	jobs_server_info(f->jobs, on_text, f);
	GOOD(f);
	json_auto_t *info = answered_json(f);
	assert_member(info, "appendonly", "yes");
	assert_member(info, "appendfsync", "always");
	assert_member(info, "maxmemory_policy", "noeviction");
	assert_member(info, "role", "master");
	assert_int_equal(json_string_length(json_object_get(info, "run_id")), 40);
	assert_non_null(json_string_value(json_object_get(info, "library")));
	assert_non_null(json_string_value(json_object_get(info, "clients")));
	/* A hosted Redis that does not show its configuration. */
	free(redis_server_ask(&f->server, "ACL", "SETUSER", "default", "-config", NULL));
	jobs_server_info(f->jobs, on_text, f);
	GOOD(f);
	json_auto_t *less = answered_json(f);
	assert_member(less, "appendonly", "1"); /* INFO says that much */
	assert_true(json_is_null(json_object_get(less, "appendfsync")));
	assert_member(less, "role", "master");
}

static void test_workers(void **state)
{
	struct fixture *f = *state;
	jobs_workers(f->jobs, "gpu", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[]");
	for (int i = 0; i < 3; i++) {
		char *id = mem_printf("node-%d", i);
		jobs_worker(f->jobs, "gpu", id, "{\"host\":\"h\",\"pid\":7,\"state\":\"up\",\"capacity\":{\"cpus\":2}}",
			    on_worker, f);
		GOOD(f);
		assert_int_equal(f->done, 0);
		assert_false(f->flag);
		free(id);
	}
	jobs_workers(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *workers = answered_json(f);
	assert_int_equal(json_array_size(workers), 3);
	json_t *second = json_array_get(workers, 1);
	assert_member(second, "id", "node-1");
	assert_member(second, "host", "h");
	assert_true(json_integer_value(json_object_get(second, "seen_ms")) > 1000000);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(second, "capacity"), "cpus")), 2);
	jobs_worker(f->jobs, "gpu", "node 1", "{}", on_worker, f);
	BAD(f, ERR_INPUT);
}

static void test_workers_drain_and_resume(void **state)
{
	struct fixture *f = *state;
	jobs_worker_drain(f->jobs, "gpu", "w", NULL, NULL, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_worker(f->jobs, "gpu", "w", "{}", on_worker, f);
	GOOD(f);
	assert_int_equal(f->next_ms, 0);
	jobs_worker_drain(f->jobs, "gpu", "w", "a disk", "ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "{\"worker\":\"w\",\"state\":\"draining\"}");
	jobs_worker(f->jobs, "gpu", "w", "{}", on_worker, f);
	GOOD(f);
	assert_true(f->flag);
	jobs_worker_resume(f->jobs, "gpu", "w", "ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "{\"worker\":\"w\",\"state\":\"up\"}");
	jobs_worker(f->jobs, "gpu", "w", "{}", on_worker, f);
	GOOD(f);
	assert_false(f->flag);
	assert_true(f->next_ms > 1000000);
}

static void test_results(void **state)
{
	struct fixture *f = *state;
	submit(f);
	claim(f, 1);
	jobs_result(f->jobs, "gpu", 1, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	struct renewal renewal = { .phase = "running", .step = 3, .total = 9, .pace_ms = 12.34567 };
	jobs_renew(f->jobs, &f->claim.ref, &renewal, on_verdict, f);
	GOOD(f);
	char *pace = redis_server_ask(&f->server, "HGET", "test.1:{gpu}:job:1", "pace", NULL);
	assert_non_null(strstr(pace, "12.346"));
	free(pace);
	jobs_finish(f->jobs, &f->claim.ref, "succeeded", "{\"exit\":0,\"result\":\"{\\\"a\\\": 0.10}\"}", on_text, f);
	GOOD(f);
	jobs_result(f->jobs, "gpu", 1, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "{\"a\": 0.10}");
}

static void test_ticks(void **state)
{
	struct fixture *f = *state;
	jobs_promote(f->jobs, "gpu", on_promoted, f);
	GOOD(f);
	assert_int_equal(f->next_ms, -1);
	jobs_submit(f->jobs, "gpu", "{\"command\":[\"true\"],\"delay\":\"1h\"}", NULL, NULL, on_text, f);
	GOOD(f);
	jobs_promote(f->jobs, "gpu", on_promoted, f);
	GOOD(f);
	assert_int_equal(f->done, 0);
	assert_in_range(f->next_ms, 3000000, 3600000);
	jobs_reap(f->jobs, "gpu", 0, on_reaped, f);
	GOOD(f);
	assert_int_equal(f->done, 0);
	assert_int_equal(f->count, 1);
	jobs_reap(f->jobs, "gpu", 9, on_reaped, f);
	GOOD(f);
	assert_int_equal(f->count, 9);
	jobs_prune(f->jobs, "gpu", false, NULL, on_tick, f);
	GOOD(f);
	assert_int_equal(f->done, 0);
	assert_int_equal(f->next_ms, 0);
}

/* A newer library may say more; one that answers in another form is told from ours. */
static void test_other_libraries(void **state)
{
	struct fixture *f = *state;
	struct attempt_ref ref = { .queue = "gpu", .n = 1, .uid = "u", .token = "1" };
	free(redis_server_ask(
		&f->server, "FUNCTION", "LOAD", "REPLACE",
		"#!lua name=stoker\n-- version 999999\n"
		"redis.register_function('stoker_renew', function() return {'ok', 'r', 'new', 1} end)\n"
		"redis.register_function('stoker_log', function() return {'ok', '7', 'new'} end)\n"
		"redis.register_function('stoker_claim', function() return {{'n', 1, 'id', 'gpu-1', 'uid', "
		"'u', 'attempt', '2', 'token', '1795329305800', 'installation', 'i', 'lease_ms', 9, 'class', "
		"'c', 'spec', '{}', 'future', {1, {2}}}} end)\n"
		"redis.register_function('stoker_stats', function() return {'a', 'list'} end)\n"
		"redis.register_function('stoker_promote', function() return 'text' end)\n"
		"redis.register_function('stoker_adopt', function() return {'ok', 'dance'} end)\n"
		"redis.register_function('stoker_finish', function() return {} end)\n"
		"redis.register_function('stoker_checkpoint', function() return {'ok', {}} end)\n"
		"redis.register_function('stoker_metric', function() return {'ok'} end)\n"
		"redis.register_function('stoker_worker', function() return 5 end)\n",
		NULL));
	jobs_renew(f->jobs, &ref, &(struct renewal){ .step = -1 }, on_verdict, f);
	GOOD(f);
	jobs_log(f->jobs, &ref, NULL, 0, on_next, f);
	GOOD(f);
	assert_int_equal(f->done, 7);
	claim(f, 1);
	assert_int_equal(f->claim.attempt, 2);
	assert_string_equal(f->claim.ref.token, "1795329305800");

	jobs_stats(f->jobs, "gpu", on_text, f);
	BAD(f, ERR_INTERNAL);
	assert_non_null(strstr(f->err.message, "stoker_stats"));
	jobs_promote(f->jobs, "gpu", on_promoted, f);
	BAD(f, ERR_INTERNAL);
	jobs_adopt(f->jobs, &ref, &(struct adoption){ .worker = "w" }, on_verdict, f);
	BAD(f, ERR_INTERNAL);
	jobs_finish(f->jobs, &ref, "error", "{}", on_text, f);
	BAD(f, ERR_INTERNAL);
	jobs_checkpoint(f->jobs, &ref, "1-1", "{}", on_ids, f);
	BAD(f, ERR_INTERNAL);
	jobs_metric(f->jobs, &ref, 1, NULL, 0, on_next, f);
	BAD(f, ERR_INTERNAL);
	jobs_worker(f->jobs, "gpu", "w", "{}", on_worker, f);
	BAD(f, ERR_INTERNAL);
}

static void on_last_text(void *arg, const char *text, size_t len, const struct error *err)
{
	struct fixture *f = arg;
	(void)text;
	(void)len;
	assert_true(err->kind == ERR_UNAVAILABLE || err->kind == ERR_UNKNOWN);
	f->ended++;
	jobs_stats(f->jobs, "gpu", on_last_text, f); /* nobody will answer that */
}

static void test_torn_down(void **state)
{
	struct fixture *f = *state;
	jobs_stats(f->jobs, "gpu", on_last_text, f);
	jobs_workers(f->jobs, "gpu", on_last_text, f);
	jobs_server_info(f->jobs, on_last_text, f);
	jobs_installation(f->jobs, "", on_last_text, f);
	int before = f->ended;
	jobs_free(f->jobs);
	assert_int_equal(f->ended, before + 4);
	f->jobs = NULL;
	jobs_free(NULL);
}

static void test_graphs(void **state)
{
	struct fixture *f = *state;
	const char *const specs[] = { "{\"name\":\"a\",\"command\":[\"true\"]}",
				      "{\"command\":[\"true\"],\"after\":[\"a\",\"other-7\"]}" };
	struct stage_page page = { "s", 2, 0, specs, 2 };
	jobs_graph(f->jobs, "gpu", "{\"jobs\":[{\"name\":\"a\",\"command\":\"true\"},{\"command\":\"true\"}]}", "k",
		   "me", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[\"gpu-1\",\"gpu-2\"]");
	jobs_graph(f->jobs, "gpu", "{\"jobs\":[]}", NULL, NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_stage(f->jobs, "gpu", &page, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "2");
	jobs_commit(f->jobs, "gpu", &(struct stage_end){ .stage = "s", .batch = "b" }, NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[\"gpu-3\",\"gpu-4\"]");
	jobs_commit(f->jobs, "gpu", &(struct stage_end){ .stage = "nothing" }, NULL, on_text, f);
	BAD(f, ERR_NOT_FOUND);
	jobs_batch(f->jobs, "gpu", "b", "{\"size\":3}", NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "b");
	jobs_batch(f->jobs, "gpu", "b", "{\"size\":1}", NULL, on_text, f);
	BAD(f, ERR_CONFLICT);
	jobs_batches(f->jobs, "gpu", 10, NULL, on_text, f);
	GOOD(f);
	json_auto_t *batches = answered_json(f);
	assert_int_equal(json_array_size(json_object_get(batches, "batches")), 2);
	struct members_page members = { .batch = "b", .state = "all", .limit = 1, .metric = "loss" };
	jobs_members(f->jobs, "gpu", &members, on_text, f);
	GOOD(f);
	json_auto_t *found = answered_json(f);
	assert_member(json_array_get(json_object_get(found, "jobs"), 0), "id", "gpu-4");
	jobs_promote(f->jobs, "gpu", on_promoted, f);
	GOOD(f);
	assert_string_equal(f->text, "ask other-7 4");
	jobs_watch(f->jobs, "gpu", 3, "other-1", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "queued");
	jobs_tell(f->jobs, "gpu", 4, "other-7", "failed", "{\"name\":\"far\"}", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "cancelled");
	jobs_sent(f->jobs, "gpu", "ask other-7 4", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_apps),
		TEST(test_steering),
		TEST(test_each),
		TEST(test_names),
		TEST(test_queues),
		TEST(test_server_info),
		TEST(test_workers),
		TEST(test_ticks),
		TEST(test_other_libraries),
		TEST(test_workers_drain_and_resume),
		TEST(test_results),
		TEST(test_graphs),
		TEST(test_torn_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
