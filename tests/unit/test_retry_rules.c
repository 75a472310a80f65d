/* worker/retry_rules: which ends are tried again, row by row; and texts in lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/buf.h"
#include "worker/retry_rules.h"

static const struct {
	const char *text, *line;
	bool found;
} texts[] = {
	{ "out of memory", "RuntimeError: CUDA out of memory. Tried", true },
	{ "OUT of memory", "cuda Out Of Memory", true },
	{ "out of memory", "out of  memory", false },
	{ "cuda*memory", "CUDA error: no memory", true },
	{ "memory*cuda", "CUDA error: no memory", false },
	{ "a*b*c", "xxaxxbxxc", true },
	{ "a*b*c", "xxaxxcxxb", false },
	{ "aa*aa", "aaa", false },
	{ "aa*aa", "aaaa", true },
	{ "*", "", true },
	{ "*x*", "x", true },
	{ "**x", "ax", true },
	{ "x", "", false },
	{ "xy", "x", false },
	{ "[.]", "a.b", false },
	{ "[.]", "a[.]b", true },
	{ "ä", "Straße äh", true },
	{ "aaaaaaaaaaaaaaaa*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
};

static void test_texts_in_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (retry_rules_find(texts[i].text, texts[i].line, strlen(texts[i].line)) != texts[i].found)
			fail_msg("\"%s\" in \"%s\"", texts[i].text, texts[i].line);
}

#define EXITED(c)                                                                                                      \
	{                                                                                                              \
		.is_known = true, .code = (c)                                                                          \
	}
#define SIGNALED(s)                                                                                                    \
	{                                                                                                              \
		.is_known = true, .code = -1, .signal = (s)                                                            \
	}

static const struct {
	const char *retry; /* of the spec */
	struct child_exit how;
	const char *tail;
	enum retry_verdict verdict;
	const char *why;
} rows[] = {
	{ "", EXITED(1), "", RETRY_AS_USUAL, "" },
	{ "", EXITED(65), "", RETRY_AS_USUAL, "" },
	{ "on_exit: [1, 137]", EXITED(1), "", RETRY_WANTED, "" },
	{ "on_exit: [1, 137]", EXITED(2), "", RETRY_NEVER, "retry.on_exit does not have it" },
	{ "on_exit: [1, 137]", SIGNALED(9), "", RETRY_WANTED, "" },
	{ "on_exit: [SIGKILL]", EXITED(137), "", RETRY_WANTED, "" },
	{ "on_exit: [SIGKILL]", SIGNALED(15), "", RETRY_NEVER, "retry.on_exit does not have it" },
	{ "on_exit: [9]", SIGNALED(9), "", RETRY_NEVER, "retry.on_exit does not have it" },
	{ "on_exit: [65]", EXITED(65), "", RETRY_WANTED, "" },
	{ "on_exit: [1]", { .is_known = false, .code = -1 }, "", RETRY_AS_USUAL, "" },
	{ "never_on_exit: [2]", EXITED(2), "", RETRY_NEVER, "retry.never_on_exit names it" },
	{ "never_on_exit: [2]", EXITED(1), "", RETRY_AS_USUAL, "" },
	{ "never_on_exit: [2], on_exit: [2]", EXITED(2), "", RETRY_NEVER, "retry.never_on_exit names it" },
	{ "never_on_output: [oom]", EXITED(1), "1 o got oom\n", RETRY_NEVER,
	  "\"oom\" of retry.never_on_output stands in its last lines" },
	{ "never_on_output: [oom]", EXITED(1), "1 e OOM\n2 o bye\n", RETRY_NEVER,
	  "\"oom\" of retry.never_on_output stands in its last lines" },
	{ "never_on_output: [oom]", EXITED(1), "1 s what the runner says: oom\n2 g 5 oom\n", RETRY_AS_USUAL, "" },
	{ "never_on_output: [oom]", EXITED(1), "no record oom\n", RETRY_AS_USUAL, "" },
	{ "never_on_output: [oom], on_exit: [1]", EXITED(1), "1 o oom\n", RETRY_NEVER,
	  "\"oom\" of retry.never_on_output stands in its last lines" },
	{ "on_output: [reset]", EXITED(1), "1 o x\n1 o connection reset\n", RETRY_AS_USUAL, "" },
	{ "on_output: [reset]", EXITED(1), "1 o x\n", RETRY_NEVER, "retry.on_output does not have it" },
	{ "on_output: [reset]", EXITED(1), "", RETRY_NEVER, "retry.on_output does not have it" },
	{ "on_output: [reset], on_exit: [3]", EXITED(3), "1 o x\n", RETRY_WANTED, "" },
	{ "on_output: [reset], on_exit: [3]", EXITED(1), "1 o x\n", RETRY_NEVER,
	  "neither retry.on_exit nor retry.on_output has it" },
	{ "on_output: [reset], on_exit: [3]", EXITED(1), "1 o reset\n", RETRY_AS_USUAL, "" },
};

static struct spec spec_with(const char *retry)
{
	struct spec spec;
	struct error err;
	CLEANUP(free_p) char *json = NULL;
	CLEANUP(free_p) char *yaml = mem_printf("command: a\nretry: {%s}\n", retry);
	if (!spec_normalize(yaml, strlen(yaml), NULL, &json, &err) || !spec_from_json(json, strlen(json), &spec, &err))
		fail_msg("%s", err.message);
	return spec;
}

static void test_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		CLEANUP(spec) struct spec spec = spec_with(rows[i].retry);
		char why[200] = "";
		enum retry_verdict verdict =
			retry_rules_judge(&spec, &rows[i].how, rows[i].tail, strlen(rows[i].tail), why, sizeof why);
		if (verdict != rows[i].verdict || strcmp(why, rows[i].why) != 0)
			fail_msg("row %zu: got %d: %s", i, verdict, why);
	}
}

/* The text stands in line number `at` from the end. */
static enum retry_verdict judge_with_lines_after(int count)
{
	CLEANUP(spec) struct spec spec = spec_with("never_on_output: [early]");
	const struct child_exit how = EXITED(1);
	char why[200];
	CLEANUP(buf) struct buf tail;
	buf_init(&tail, 1024 * 1024);
	buf_str(&tail, "1 o early\n");
	for (int i = 0; i < count; i++)
		buf_str(&tail, "1 s not counted\n1 o line\n");
	return retry_rules_judge(&spec, &how, buf_text(&tail), tail.len, why, sizeof why);
}

static void test_only_the_last_lines_count(void **state)
{
	(void)state;
	assert_int_equal(judge_with_lines_after(RETRY_RULES_LINES - 1), RETRY_NEVER);
	assert_int_equal(judge_with_lines_after(RETRY_RULES_LINES), RETRY_AS_USUAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts_in_lines),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_only_the_last_lines_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
