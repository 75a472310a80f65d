/* worker/given, and what queue/jobs reads of a message that hands a job over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "worker/given.h"

static struct claim claim_of(int64_t n, const char *token, int64_t request)
{
	struct claim claim = { .ref.n = n, .request = request };
	str_copy(claim.ref.token, sizeof claim.ref.token, token);
	return claim;
}

static void assert_json(const struct given *given, const char *expected)
{
	CLEANUP(buf) struct buf b;
	buf_init(&b, 4096);
	given_json(given, &b);
	assert_string_equal(buf_text(&b), expected);
}

static void test_one_is_started_once(void **state)
{
	(void)state;
	struct given given = { 0 };
	struct claim one = claim_of(5, "100", 3), later = claim_of(5, "101", 3), other = claim_of(6, "100", 4);
	assert_json(&given, "[]");
	assert_true(given_add(&given, &one));
	assert_false(given_add(&given, &one));
	assert_true(given_has(&given, &one));
	assert_false(given_has(&given, &later)); /* another attempt */
	assert_false(given_has(&given, &other));
	assert_true(given_add(&given, &later));
	assert_true(given_add(&given, &other));
	assert_json(&given, "[\"5:100\",\"5:101\",\"6:100\"]");
}

static void test_an_answer_forgets_what_came_before_its_claim(void **state)
{
	(void)state;
	struct given given = { 0 };
	struct claim old = claim_of(1, "9", 3), new = claim_of(2, "9", 4);
	assert_true(given_add(&given, &old) && given_add(&given, &new));
	given_forget(&given, 4);
	assert_json(&given, "[\"2:9\"]");
	given_forget(&given, 5);
	assert_json(&given, "[]");
}

/* An answer that was sent twice, and a message that is slower than it: told by the same claim, started by the answer.
 */
static void test_a_message_that_is_late(void **state)
{
	(void)state;
	struct given given = { 0 };
	struct claim answered = claim_of(3, "9", 4), late = claim_of(3, "9", 4);
	assert_true(given_add(&given, &answered));
	given_forget(&given, 4);
	assert_false(given_add(&given, &late));
}

static void test_no_room(void **state)
{
	(void)state;
	struct given given = { 0 };
	for (int64_t n = 1; n <= GIVEN_MAX; n++) {
		struct claim one = claim_of(n, "1", 1);
		assert_true(given_add(&given, &one));
	}
	struct claim more = claim_of(GIVEN_MAX + 1, "1", 1);
	assert_false(given_add(&given, &more));
}

static void test_no_channel_twice(void **state)
{
	(void)state;
	char a[GIVEN_CHANNEL_SIZE], b[GIVEN_CHANNEL_SIZE];
	struct error err;
	assert_true(given_channel(a, &err) && given_channel(b, &err));
	assert_int_equal(strlen(a), GIVEN_CHANNEL_SIZE - 1);
	assert_int_equal(strspn(a, "0123456789abcdef"), strlen(a));
	assert_string_not_equal(a, b);
}

static void read_one(void *arg, const struct claim *claim, size_t count, const struct error *err)
{
	int *answers = arg;
	answers[count]++;
	assert_true(count == 1 || err);
	if (!count)
		return;
	assert_string_equal(claim->ref.queue, "gpu");
	assert_int_equal(claim->ref.n, 7);
	assert_int_equal(claim->request, 4);
	assert_string_equal(claim->id, "gpu-7");
	assert_int_equal(claim->memory_bytes, 1 << 20);
	assert_int_equal(claim->spec_len, strlen("{\"command\":[\"a\"]}"));
	assert_string_equal(claim->spec_json, "{\"command\":[\"a\"]}");
}

#define HEAD                                                                                                           \
	"[\"n\",\"7\",\"id\",\"gpu-7\",\"uid\",\"0123456789abcdef\",\"attempt\",\"1\",\"token\",\"170\","              \
	"\"installation\",\"i\",\"lease_ms\",\"1000\",\"class\",\"cpu1\",\"cpus\",\"1\",\"gpus\",\"0\","               \
	"\"memory\",\"1048576\",\"spec\",\"{\\\"command\\\":[\\\"a\\\"]}\""

static void test_messages(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "x",
					   "{}",
					   "[]",
					   "[\"n\",\"7\"]",
					   HEAD "]",
					   HEAD ",\"request\",\"0\"]",
					   HEAD ",\"request\",4]",
					   HEAD ",\"request\",\"four\"]",
					   HEAD ",\"request\",\"4\",\"token\",\"\"]",
					   HEAD ",\"resume\",\"1-1\",\"request\",\"4\"]" };
	int answers[2] = { 0, 0 };
	const char *good = HEAD ",\"request\",\"4\",\"what_comes_later\",\"1\"]";
	jobs_given("gpu", good, strlen(good), read_one, answers);
	assert_int_equal(answers[1], 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		jobs_given("gpu", bad[i], strlen(bad[i]), read_one, answers);
	assert_int_equal(answers[1], 1);
	assert_int_equal(answers[0], ARRAY_LEN(bad));
	CLEANUP(buf) struct buf b;
	buf_init(&b, 4096);
	buf_byte(&b, '[');
	for (int i = 0; i < 100; i++)
		buf_str(&b, i ? ",\"a\"" : "\"a\"");
	buf_byte(&b, ']');
	jobs_given("gpu", buf_text(&b), b.len, read_one, answers);
	assert_int_equal(answers[0], ARRAY_LEN(bad) + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_is_started_once),
		cmocka_unit_test(test_an_answer_forgets_what_came_before_its_claim),
		cmocka_unit_test(test_a_message_that_is_late),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_no_channel_twice),
		cmocka_unit_test(test_messages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
