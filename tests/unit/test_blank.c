/* Folders of ended runs that serve the next ones: nothing of one run is seen by another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "tests/unit/folder.h"
#include "worker/blank.h"
#include "worker/tree.h"

struct fixture {
	char *top;
	char *run; /* an ended run, with something in every corner */
};

static int setup(void **state)
{
	static const char *const folders[] = { "blank",
					       "finished",
					       "finished/a-1",
					       "finished/a-1/work",
					       "finished/a-1/checkpoints",
					       "finished/a-1/output" };
	static const char *const files[] = { "lock",  "run.json", "pid",           "spool.log", "metrics.jsonl",
					     "lease", "work/w",   "checkpoints/c", "output/o" };
	struct fixture *f = mem_alloc(sizeof *f);
	f->top = folder_make();
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		folder_mkdir(f->top, folders[i]);
		CLEANUP(free_p) char *path = folder_path(f->top, folders[i]);
		chmod(path, 0700);
	}
	f->run = folder_path(f->top, "finished/a-1");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		folder_text(f->run, files[i], "secret");
		CLEANUP(free_p) char *path = folder_path(f->run, files[i]);
		chmod(path, 0600);
	}
	folder_mkdir(f->run, "restore");
	folder_text(f->run, "restore/r", "secret");
	folder_mkdir(f->run, "work/deep");
	folder_text(f->run, "work/deep/er", "secret");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	folder_remove(f->top);
	free(f->run);
	free(f);
	return 0;
}

static off_t size_of(const char *folder, const char *name)
{
	struct stat st;
	CLEANUP(free_p) char *path = folder_path(folder, name);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_size;
}

static void test_nothing_is_left_of_a_run(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *next = folder_path(f->top, "next");
	assert_false(blank_take(f->top, next));
	assert_true(blank_make(f->top, f->run));
	assert_false(folder_has(f->top, "finished/a-1"));
	assert_true(blank_take(f->top, next));
	assert_false(blank_take(f->top, f->run));
	assert_int_equal(folder_count(next), 5);
	static const char *const folders[] = { "work", "checkpoints", "output" };
	static const char *const files[] = { "lock", "run.json", "pid", "spool.log", "metrics.jsonl" };
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		CLEANUP(free_p) char *path = folder_path(next, folders[i]);
		assert_int_equal(folder_count(path), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		assert_int_equal(size_of(next, files[i]), 0);
}

static void test_a_folder_that_became_a_link(void **state)
{
	struct fixture *f = *state;
	folder_mkdir(f->top, "home");
	folder_text(f->top, "home/precious", "mine");
	CLEANUP(free_p) char *home = folder_path(f->top, "home");
	CLEANUP(free_p) char *work = folder_path(f->run, "work");
	tree_empty(work);
	rmdir(work);
	assert_int_equal(symlink(home, work), 0);
	assert_false(blank_make(f->top, f->run));
	assert_int_equal(size_of(home, "precious"), 4);
}

static void test_a_file_with_a_second_name_keeps_its_bytes(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *spool = folder_path(f->run, "spool.log");
	CLEANUP(free_p) char *other = folder_path(f->top, "other");
	assert_int_equal(link(spool, other), 0);
	assert_false(blank_make(f->top, f->run));
	assert_int_equal(size_of(f->top, "other"), 6);
	unlink(spool);
	assert_int_equal(symlink(other, spool), 0);
	assert_false(blank_make(f->top, f->run));
	assert_int_equal(size_of(f->top, "other"), 6);
}

static void test_what_was_opened_to_others_is_not_used(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *output = folder_path(f->run, "output");
	chmod(output, 0755);
	assert_false(blank_make(f->top, f->run));
	chmod(output, 0700);
	CLEANUP(free_p) char *json = folder_path(f->run, "run.json");
	chmod(json, 0644);
	assert_false(blank_make(f->top, f->run));
	chmod(json, 0600);
	assert_true(blank_make(f->top, f->run));
}

static void test_a_runner_that_has_not_ended_keeps_its_folder(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *lock = folder_path(f->run, "lock");
	int fd = open(lock, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_false(blank_make(f->top, f->run));
	close(fd);
	assert_true(blank_make(f->top, f->run));
}

/* One process makes them, another takes them, as stoker-prune and the worker do. */
static void test_what_is_taken_is_nobodys(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *next = folder_path(f->top, "next");
	CLEANUP(free_p) char *used = folder_path(f->top, "used");
	CLEANUP(free_p) char *lock = folder_path(next, "lock");
	pid_t maker = fork();
	if (maker == 0) {
		for (int i = 0; i < 3000;) /* what the other has done with waits as "used" */
			i += rename(used, f->run) == 0 || i == 0 ? blank_make(f->top, f->run) : 0;
		_exit(0);
	}
	int held = 0;
	for (int i = 0; i < 2000; i++) {
		while (!blank_take(f->top, next))
			;
		int fd = open(lock, O_RDWR);
		held += flock(fd, LOCK_EX | LOCK_NB) < 0;
		close(fd);
		assert_int_equal(rename(next, used), 0);
	}
	kill(maker, SIGKILL);
	assert_int_equal(waitpid(maker, NULL, 0), maker);
	assert_int_equal(held, 0);
}

static void test_there_are_not_too_many(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 256; i++) {
		char name[32];
		snprintf(name, sizeof name, "blank/%d", i);
		folder_mkdir(f->top, name);
	}
	assert_false(blank_make(f->top, f->run));
	assert_int_equal(size_of(f->run, "work/w"), 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_left_of_a_run),
		TEST(test_a_folder_that_became_a_link),
		TEST(test_a_file_with_a_second_name_keeps_its_bytes),
		TEST(test_what_was_opened_to_others_is_not_used),
		TEST(test_a_runner_that_has_not_ended_keeps_its_folder),
		TEST(test_what_is_taken_is_nobodys),
		TEST(test_there_are_not_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
