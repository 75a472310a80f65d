/* The rules of .gitignore, one at a time; tests/integration/test_code.py compares many at once with git's own. */
#include "cli/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/folder.h"

static const struct {
	const char *rules;
	const char *path; /* a slash at its end: a folder */
	bool is_taken;
} rule_rows[] = {
	{ "a", "a", true },
	{ "a", "x/y/a", true },
	{ "a", "ab", false },
	{ "/a", "a", true },
	{ "/a", "x/a", false },
	{ "a/", "a", false },
	{ "a/", "a/", true },
	{ "a/", "x/a/", true },
	{ "x/a", "x/a", true },
	{ "x/a", "y/x/a", false },
	{ "x/a/", "x/a/", true },
	{ "x/a/", "x/a", false },
	{ "*.o", "x/y.o", true },
	{ "*.o", ".o", true },
	{ "x/*.o", "x/y/z.o", false },
	{ "x/*", "x/y", true },
	{ "x/*", "x/y/z", false }, /* but the walk does not come that far */
	{ "?", "ab", false },
	{ "?", "a", true },
	{ "[ab]c", "bc", true },
	{ "[!ab]c", "bc", false },
	{ "[a-c]", "b", true },
	{ "**/a", "a", true },
	{ "**/a", "x/y/a", true },
	{ "**/x/a", "y/x/a", true },
	{ "x/**", "x/a", true },
	{ "x/**", "x/y/a", true },
	{ "x/**", "x/", false },
	{ "x/**/a", "x/a", true },
	{ "x/**/a", "x/y/z/a", true },
	{ "x/**/a", "y/a", false },
	{ "**", "a", true },
	{ "x**y", "xaby", true },
	{ "x**/y", "xa/y", true },
	{ "x**/y", "xa/b/y", false },
	{ "# a\na", "a", true },
	{ "# a", "a", false },
	{ "\\#a", "#a", true },
	{ "\\!a", "!a", true },
	{ "a \n", "a", true },
	{ "a\\ ", "a ", true },
	{ "a\r\n", "a", true },
	{ "", "a", false },
	{ "/", "a", false },
	{ "*\n!a", "a", false },
	{ "*\n!a", "b", true },
	{ "!a\n*", "a", true },
	{ "a\n!x/a", "x/a", false },
	{ "a b", "a b", true },
	{ "\xc3\xa4*", "\xc3\xa4\xc3\xb6", true },
};

static void test_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rule_rows / sizeof *rule_rows; i++) {
		CLEANUP(ignore) struct ignore ignore;
		char path[64];
		size_t len = strlen(rule_rows[i].path);
		bool is_folder = rule_rows[i].path[len - 1] == '/';
		snprintf(path, sizeof path, "%.*s", (int)(len - is_folder), rule_rows[i].path);
		ignore_init(&ignore, NULL, "");
		ignore_add_text(&ignore, rule_rows[i].rules);
		if (ignore_takes(&ignore, path, is_folder) != rule_rows[i].is_taken)
			fail_msg("%s: %s", rule_rows[i].rules, rule_rows[i].path);
	}
}

static void test_the_deepest_folder_decides_first(void **state)
{
	(void)state;
	CLEANUP(ignore) struct ignore top, below;
	ignore_init(&top, NULL, "");
	ignore_init(&below, &top, "x/y");
	ignore_add_text(&top, "*.o\n/x/y/kept\nlate");
	ignore_add_text(&below, "!a.o\n/b\n!late");
	assert_false(ignore_takes(&below, "x/y/a.o", false));
	assert_true(ignore_takes(&below, "x/y/b.o", false));
	assert_true(ignore_takes(&below, "x/y/kept", false));
	assert_true(ignore_takes(&below, "x/y/b", false));
	assert_false(ignore_takes(&below, "x/y/z/b", false));
	assert_false(ignore_takes(&below, "x/y/z/late", false));
	assert_true(ignore_takes(&top, "x/z/late", false));
}

static void test_files(void **state)
{
	char *folder = folder_make();
	CLEANUP(free_p) char *path = folder_path(folder, "rules");
	CLEANUP(free_p) char *missing = folder_path(folder, "none");
	struct error err;
	(void)state;
	FILE *file = fopen(path, "w");
	fputs("a\n*.pyc", file);
	fclose(file);
	CLEANUP(ignore) struct ignore ignore;
	ignore_init(&ignore, NULL, "");
	assert_true(ignore_add_file(&ignore, missing, &err));
	assert_true(ignore_add_file(&ignore, path, &err));
	assert_int_equal(ignore.count, 2);
	assert_false(ignore_add_file(&ignore, folder, &err));
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_the_deepest_folder_decides_first),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
