/* queue/jobs: submitters and their inboxes, webhooks and their deliveries, against the real function library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "lib/buf.h"
#include "queue/jobs_webhooks.h"
#include "tests/unit/jobs_fixture.h"

#define SECRET "whsec_0123456789abcdef"

struct edges {
	struct fixture *f;
	size_t taken;
	char id[128], target[64], url[128], message[128], secret[64], body[512];
	int64_t try;
};

static void on_deliveries(void *arg, const struct delivery *deliveries, size_t count, const struct error *err)
{
	struct edges *e = arg;
	e->taken = count;
	e->f->err = err ? *err : (struct error){ 0 };
	if (count) {
		str_copy(e->id, sizeof e->id, deliveries->id);
		str_copy(e->target, sizeof e->target, deliveries->target);
		str_copy(e->url, sizeof e->url, deliveries->url);
		str_copy(e->message, sizeof e->message, deliveries->message);
		str_copy(e->secret, sizeof e->secret, deliveries->secret);
		str_format(e->body, sizeof e->body, "%.*s", (int)deliveries->body_len, deliveries->body);
		e->try = deliveries->try;
	}
	e->f->ended++;
}

static void take(struct edges *e, const char *const *busy, size_t busy_count)
{
	const struct delivery_request request = {
		.queue = "gpu", .max = 10, .lease_ms = 20000, .busy = busy, .busy_count = busy_count
	};
	jobs_webhook_take(e->f->jobs, &request, on_deliveries, e);
	GOOD(e->f);
}

static void done(struct edges *e, const char *verdict, const char *expected)
{
	const struct delivery_end end = {
		.id = e->id, .try = e->try, .verdict = verdict, .status = 500, .error = "it answered 500"
	};
	jobs_webhook_done(e->f->jobs, "gpu", &end, on_text, e->f);
	GOOD(e->f);
	assert_string_equal(e->f->text, expected);
}

static void test_webhooks(void **state)
{
	struct fixture *f = *state;
	struct edges e = { .f = f };
	jobs_webhook_add(f->jobs, "gpu", "https://example.org/x", "[\"job.submitted\"]", SECRET, "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "h1");
	jobs_webhook_add(f->jobs, "gpu", "ftp://example.org/x", "", SECRET, NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_webhooks(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *listed = answered_json(f);
	assert_int_equal(json_array_size(json_object_get(listed, "webhooks")), 1);

	submit(f);
	jobs_webhook_gather(f->jobs, "gpu", on_tick, f);
	GOOD(f);
	assert_int_equal(f->done, 0);
	assert_int_equal(f->next_ms, 0);
	take(&e, (const char *const[]){ "h1" }, 1);
	assert_int_equal(e.taken, 0);
	take(&e, NULL, 0);
	assert_int_equal(e.taken, 1);
	assert_string_equal(e.target, "h1");
	assert_string_equal(e.url, "https://example.org/x");
	assert_string_equal(e.secret, SECRET);
	assert_int_equal(e.try, 1);
	json_auto_t *body = json_loads(e.body, 0, NULL);
	assert_member(body, "id", e.message);
	assert_member(body, "job", "gpu-1");

	done(&e, "failed", "failed");
	jobs_webhook_delivery(f->jobs, "gpu", e.id, on_text, f);
	GOOD(f);
	json_auto_t *record = answered_json(f);
	assert_member(record, "error", "it answered 500");
	done(&e, "refused", "dead");
	jobs_webhook_dead(f->jobs, "gpu", 10, "", on_text, f);
	GOOD(f);
	json_auto_t *dead = answered_json(f);
	assert_int_equal(json_array_size(json_object_get(dead, "deliveries")), 1);
	jobs_webhook_resend(f->jobs, "gpu", "all", on_tick, f);
	GOOD(f);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->next_ms, 0);
	take(&e, NULL, 0);
	done(&e, "ok", "ok");

	jobs_webhook_test(f->jobs, "gpu", "h1", on_text, f);
	GOOD(f);
	jobs_webhook_secret(f->jobs, "gpu", "short", on_text, f);
	BAD(f, ERR_INPUT);
	assert_null(strstr(f->err.message, "short"));
	jobs_webhook_secret(f->jobs, "gpu", SECRET, on_text, f);
	GOOD(f);
	jobs_webhook_remove(f->jobs, "gpu", "h1", NULL, on_text, f);
	GOOD(f);
	jobs_webhook_remove(f->jobs, "gpu", "h1", NULL, on_text, f);
	BAD(f, ERR_NOT_FOUND);
}

static void on_rang(void *arg, const struct error *err)
{
	struct fixture *f = arg;
	f->err = err ? *err : (struct error){ 0 };
	f->ended++;
}

static void put(struct fixture *f, const char *inbox, const char *spec)
{
	struct redisContext *c = redisConnectUnix(strstr(f->server.url, "/"));
	assert_int_equal(c->err, 0);
	struct redisReply *reply = redisCommand(c, "XADD %s * spec %s", inbox, spec);
	assert_int_equal(reply->type, REDIS_REPLY_STRING);
	freeReplyObject(reply);
	redisFree(c);
}

static void test_inbox(void **state)
{
	struct fixture *f = *state;
	char inbox[JOBS_KEY_MAX], reply[JOBS_KEY_MAX];
	jobs_submitter(f->jobs, "gpu", "add", "app", "cli:ada", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "added");
	jobs_submitter(f->jobs, "gpu", "add", "a b", NULL, on_text, f);
	BAD(f, ERR_INPUT);
	jobs_inbox_keys(f->jobs, "gpu", "app", inbox, reply);
	assert_string_equal(inbox, "test.1:{gpu}:inbox:app");
	assert_string_equal(reply, "test.1:{gpu}:reply:app");
	jobs_submitter_names(f->jobs, "gpu", on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "[\"app\"]");

	struct inbox_ref items[] = { { .queue = "gpu", .name = "other" }, { .queue = "gpu", .name = "app" } };
	struct inbox_wait wait = { .items = items, .count = 2, .timeout_ms = 50, .fn = on_rang, .arg = f };
	jobs_inbox_wait(f->jobs, &wait);
	GOOD(f);
	assert_false(items[1].rang);
	wait.timeout_ms = 60000;
	str_copy(items[1].after, sizeof items[1].after, "0-1");
	put(f, inbox, SPEC);
	jobs_inbox_wait(f->jobs, &wait);
	GOOD(f);
	assert_true(items[1].rang);
	assert_false(items[0].rang);
	assert_true(strlen(items[1].after) > 10);
	str_copy(items[0].name, sizeof items[0].name, "a b");
	jobs_inbox_wait(f->jobs, &wait);
	BAD(f, ERR_INPUT);

	jobs_inbox(f->jobs, "gpu", on_tick, f);
	GOOD(f);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->next_ms, -1);
	jobs_submitters(f->jobs, "gpu", on_text, f);
	GOOD(f);
	json_auto_t *listed = answered_json(f);
	json_t *app = json_array_get(json_object_get(listed, "submitters"), 0);
	assert_int_equal(json_integer_value(json_object_get(app, "replies")), 1);
	jobs_submitter(f->jobs, "gpu", "remove", "app", NULL, on_text, f);
	GOOD(f);
	assert_string_equal(f->text, "removed");
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_webhooks), TEST(test_inbox) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
