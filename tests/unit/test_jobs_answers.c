/* queue/jobs: answers of libraries that are not ours, in every form that a reader of them looks at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "tests/unit/jobs_fixture.h"

static const struct attempt_ref ref = { .queue = "gpu", .n = 1, .uid = "u", .token = "1" };

/* Whatever is called answers this, a Lua expression. but_for() is a claim as it should be, but for one thing. */
static void answer(struct fixture *f, const char *expression)
{
	static const char *const names[] = { "inbox", "promote", "prune", "reap",       "worker", "claim",
					     "renew", "adopt",   "log",   "checkpoint", "reject", "finish" };
	struct buf code;
	buf_init(&code, 65536);
	buf_str(&code, "#!lua name=stoker\n-- version 999999\n"
		       "local ALL = {n = '1', id = 'gpu-1', uid = 'u', token = '5', attempt = '2', lease_ms = '9', "
		       "installation = 'i', class = 'c', spec = '{}'}\n"
		       "local function but_for(name, value)\n"
		       "    local answer = {}\n"
		       "    for k, v in pairs(ALL) do\n"
		       "        if k ~= name then answer[#answer + 1] = k answer[#answer + 1] = v end\n"
		       "    end\n"
		       "    if value ~= nil then answer[#answer + 1] = name answer[#answer + 1] = value end\n"
		       "    return answer\n"
		       "end\n");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		buf_printf(&code, "redis.register_function('stoker_%s', function() return %s end)\n", names[i],
			   expression);
	char *said = redis_server_ask(&f->server, "FUNCTION", "LOAD", "REPLACE", buf_text(&code), NULL);
	assert_string_equal(said, "stoker");
	free(said);
	buf_done(&code);
}

static void call_inbox(struct fixture *f)
{
	jobs_inbox(f->jobs, "gpu", on_tick, f);
}

static void call_promote(struct fixture *f)
{
	jobs_promote(f->jobs, "gpu", on_promoted, f);
}

static void call_prune(struct fixture *f)
{
	jobs_prune(f->jobs, "gpu", true, NULL, on_tick, f);
}

static void call_reap(struct fixture *f)
{
	jobs_reap(f->jobs, "gpu", 0, on_reaped, f);
}

static void call_worker(struct fixture *f)
{
	jobs_worker(f->jobs, "gpu", "w", "{}", on_worker, f);
}

static void call_claim(struct fixture *f)
{
	const struct claim_request request = {
		.queue = "gpu", .worker = "w", .free_json = "{}", .max = 1, .request = 1, .channel = "c"
	};
	jobs_claim(f->jobs, &request, on_claims, f);
}

static void call_renew(struct fixture *f)
{
	jobs_renew(f->jobs, &ref, &(struct renewal){ .step = -1 }, on_verdict, f);
}

static void call_adopt(struct fixture *f)
{
	struct adoption_checkpoint checkpoints[] = { { "1-1", "{}" } };
	const struct adoption adoption = { .worker = "w",
					   .attempt = 1,
					   .installation = "i",
					   .spec_json = "{}",
					   .checkpoints = checkpoints,
					   .checkpoint_count = 1 };
	jobs_adopt(f->jobs, &ref, &adoption, on_verdict, f);
}

static void call_log(struct fixture *f)
{
	jobs_log(f->jobs, &ref, NULL, 0, on_next, f);
}

static void call_checkpoint(struct fixture *f)
{
	jobs_checkpoint(f->jobs, &ref, "1-1", "{}", on_ids, f);
}

static void call_reject(struct fixture *f)
{
	jobs_reject(f->jobs, &ref, "1-1", "torn", on_ids, f);
}

static void call_finish(struct fixture *f)
{
	jobs_finish(f->jobs, &ref, "succeeded", "{}", on_text, f);
}

static const struct answer_row {
	void (*call)(struct fixture *f);
	const char *good[6], *bad[22];
} answer_rows[] = {
	{ call_inbox, { "{1, 2}" }, { "5", "{}", "{1}", "{1, {}}", "{'a', 2}" } },
	{ call_promote, { "{1, 2}", "{1, 2, 3}", "{1, 2, {'a'}}" }, { "5", "{}", "{1}", "{1, 2, {'a', {}}}" } },
	{ call_prune, { "{1}", "{1, 2, 3}" }, { "5", "{}", "{{}}" } },
	{ call_reap, { "{1, 2}", "{1, 2, 3, 4}" }, { "5", "{}", "{1}", "{1, 'a'}" } },
	{ call_worker, { "{1, 0}", "{1, 0, 0, ''}", "{1, 0, 0, 'file:///s'}" }, { "5", "{}", "{1}" } },
	{ call_claim,
	  { "{}", "{but_for()}", "{but_for(), but_for('corrupted', 1)}", "{but_for('parents', '[]')}" },
	  { "5", "{5}", "{but_for(), 5}", "{{{}, 1}}", "{{'n', {}}}", "{but_for('n')}", "{but_for('id')}",
	    "{but_for('id', '')}", "{but_for('id', {})}", "{but_for('id', ('x'):rep(1000))}", "{but_for('uid')}",
	    "{but_for('token')}", "{but_for('token', 'x')}", "{but_for('attempt')}", "{but_for('lease_ms')}",
	    "{but_for('installation')}", "{but_for('class')}", "{but_for('spec')}", "{but_for('resume', '1-1')}" } },
	{ call_renew, { "{'ok'}", "{'cancel', 'why'}" }, { "5", "{}", "{{}}", "{'dance'}" } },
	{ call_adopt, { "{'ok', 'ok', ''}" }, { "5", "{'ok'}", "{'ok', 'dance'}" } },
	{ call_log, { "{'ok', 1}", "{'want', 1}" }, { "5", "{}", "{'ok'}", "{'dance', 1}" } },
	{ call_checkpoint, { "{'ok'}", "{'ok', '1-1'}" }, { "5", "{}", "{'ok', {}}" } },
	{ call_reject, { "{}", "{'1-1'}" }, { "5", "{{}}" } },
	{ call_finish, { "{{'ok', 'succeeded'}}" }, { "5", "{}", "{{'ok'}}", "{{{}, 'x'}}" } },
};

static void test_every_form(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(answer_rows); i++) {
		const struct answer_row *row = &answer_rows[i];
		for (size_t j = 0; j < ARRAY_LEN(row->good) && row->good[j]; j++) {
			answer(f, row->good[j]);
			row->call(f);
			GOOD(f);
		}
		for (size_t j = 0; j < ARRAY_LEN(row->bad) && row->bad[j]; j++) {
			answer(f, row->bad[j]);
			row->call(f);
			ANSWER(f);
			if (f->err.kind != ERR_INTERNAL)
				fail_msg("row %zu takes %s: %s", i, row->bad[j], f->err.message);
		}
		answer(f, "redis.error_reply('STALE gone')");
		row->call(f);
		BAD(f, ERR_STALE);
	}
}

/* What a caller must not ask for is refused before it is sent. */
static void test_what_is_not_asked(void **state)
{
	struct fixture *f = *state;
	const char *const one[] = { "cpu1" };
	char channel[128];
	jobs_given_channel(f->jobs, "gpu", "w", channel, sizeof channel);
	assert_non_null(strstr(channel, "{gpu}"));
	jobs_given_channel(f->jobs, "a}b", "w", channel, sizeof channel);
	assert_string_equal(channel, "");
	jobs_doorbell(f->jobs, "gpu", one, 1, 0, on_bell, f);
	BAD(f, ERR_INTERNAL);
	jobs_doorbell(f->jobs, "a}b", one, 0, 100, on_bell, f);
	BAD(f, ERR_INPUT);
	jobs_doorbell(f->jobs, "gpu", (const char *const[]){ "a}b", "c}d" }, 2, 100, on_bell, f);
	BAD(f, ERR_INPUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_every_form), TEST(test_what_is_not_asked) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
