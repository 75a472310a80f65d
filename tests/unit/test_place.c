/* Trees that a restore puts in place, and what programs leave, as a user who is not above the modes of files. */
#include "worker/place.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"
#include "worker/tree.h"

struct fixture {
	char *top;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->top = folder_make();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	folder_remove(f->top);
	free(f);
	return 0;
}

/* As the unpacker leaves it: with its modes. */
static void unpacked(struct fixture *f, const char *text)
{
	folder_text(f->top, "from/step/deep/weights", text);
	folder_chmod(f->top, "from/step/deep/weights", 0444);
	folder_chmod(f->top, "from/step/deep", 0555);
	folder_chmod(f->top, "from/step", 0555);
	folder_give_away(f->top);
}

static void placed(struct fixture *f, const char *text, const char *into)
{
	struct error err = { .message = "" };
	unpacked(f, text);
	uid_t me = folder_be_nobody();
	CLEANUP(free_p) char *path = folder_path(f->top, "from");
	CLEANUP(close_fd) int from = beneath_root(path);
	CLEANUP(close_fd) int to = beneath_root(into);
	if (!place_move(from, "step", to, "step", &err))
		fail_msg("%s", err.message);
	assert_int_equal(folder_mode(into, "step"), 0555);
	assert_int_equal(folder_mode(into, "step/deep"), 0555);
	assert_int_equal(folder_mode(into, "step/deep/weights"), 0444);
	CLEANUP(free_p) char *got = folder_read(into, "step/deep/weights", NULL);
	assert_string_equal(got, text);
	assert_true(beneath_remove(from, "step")); /* where it was copied */
	assert_int_equal(seteuid(me), 0);
}

/* What was saved read-only comes back so, also over one that is there. */
static void test_what_was_read_only(void **state)
{
	struct fixture *f = *state;
	folder_mkdir(f->top, "to");
	CLEANUP(free_p) char *to = folder_path(f->top, "to");
	placed(f, "weights", to);
	placed(f, "others", to);
}

static void test_across_file_systems(void **state)
{
	struct fixture *f = *state;
	struct stat here, there;
	CLEANUP(free_p) char *shm = mem_strdup("/dev/shm/stoker-test-XXXXXX");
	if (!mkdtemp(shm) || stat(shm, &there) < 0 || stat(f->top, &here) < 0 || here.st_dev == there.st_dev)
		skip();
	folder_give_away(shm);
	placed(f, "weights", shm);
	placed(f, "others", shm);
	uid_t me = folder_be_nobody();
	tree_empty(shm);
	assert_false(folder_has(shm, "step"));
	assert_int_equal(seteuid(me), 0);
	assert_int_equal(rmdir(shm), 0);
}

/* Whatever its modes forbid, what a program left goes. */
static void test_what_cannot_be_entered_is_removed(void **state)
{
	static const mode_t modes[] = { 0, 0111, 0222, 0333, 0444, 0555, 0666 };
	static const char *const tops[] = { "one", "two" };
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		for (size_t t = 0; t < ARRAY_LEN(tops); t++) {
			CLEANUP(free_p) char *top = folder_path(f->top, tops[t]);
			folder_mkdir(f->top, tops[t]);
			folder_text(top, "a/b/c/file", "x");
			folder_chmod(top, "a/b/c", modes[i]);
			folder_chmod(top, "a/b", modes[ARRAY_LEN(modes) - 1 - i]);
			folder_chmod(top, "a", modes[i]);
		}
		CLEANUP(free_p) char *one = folder_path(f->top, "one");
		CLEANUP(close_fd) int root = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		folder_give_away(f->top);
		uid_t me = folder_be_nobody();
		assert_true(tree_remove(one));
		assert_true(beneath_remove(root, "two"));
		assert_int_equal(seteuid(me), 0);
		assert_false(folder_has(f->top, "one") || folder_has(f->top, "two"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_read_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_across_file_systems, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_entered_is_removed, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
