/* The store on a real folder: what exists, what a crash leaves, and that nothing leaves the root. */
#include "lib/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"

struct fixture {
	char *folder;
	struct store *store;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	struct error err;
	f->folder = folder_make();
	CLEANUP(free_p) char *url = mem_printf("file://%s/store/", f->folder);
	if (!store_open(url, &f->store, &err))
		fail_msg("%s", err.message);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->store);
	folder_remove(f->folder);
	free(f);
	return 0;
}

static void put(struct store *store, const char *key, const char *text)
{
	struct error err;
	if (!store_put_text(store, key, text, strlen(text), &err))
		fail_msg("%s", err.message);
}

/* ---- what a loss of power would leave ---- */

/* What was done so far: a file or a folder (d) was synced, an object got its name (n). */
static char steps[32];

static void note_step(char step)
{
	size_t len = strlen(steps);
	if (len + 1 < sizeof steps)
		steps[len] = step;
}

/* In place of those of the C library. */
int fsync(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0)
		note_step(S_ISDIR(st.st_mode) ? 'd' : 'f');
	return (int)syscall(SYS_fsync, fd);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
	note_step('n');
	return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
	note_step('n');
	return renameat2(from_folder, from, to_folder, to, 0);
}

/* Its data first, then its name, then the folder that holds the name; before that the folders that were made. */
static void test_a_name_only_for_what_is_on_disk(void **state)
{
	struct fixture *f = *state;
	struct error err;
	put(f->store, "folder", "is there");
	CLEANUP(free_p) char *url = mem_printf("file://%s/another", f->folder);
	for (int i = 0; i < 2; i++) {
		CLEANUP(store) struct store *another = NULL;
		memset(steps, 0, sizeof steps);
		assert_true(store_open(url, &another, &err));
		assert_string_equal(steps, i == 0 ? "d" : "");
	}
	memset(steps, 0, sizeof steps);
	put(f->store, "plain", "1");
	assert_string_equal(steps, "fnd");
	memset(steps, 0, sizeof steps);
	assert_true(store_put_new(f->store, "new", "1", 1, &err));
	assert_string_equal(steps, "fnd");
	memset(steps, 0, sizeof steps);
	put(f->store, "in/folders", "1");
	assert_string_equal(steps, "dfnd");
}

static bool list_count(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	(void)key;
	(void)st;
	(void)err;
	++*(int *)arg;
	return true;
}

static int count(struct store *store, const char *prefix)
{
	struct error err;
	int found = 0;
	assert_true(store_list(store, prefix, list_count, &found, &err));
	return found;
}

static bool sweep_all(void *arg, const char *key, int64_t modified_ms)
{
	(void)key;
	assert_true(llabs(modified_ms - clock_wall_ms()) < 60000);
	++*(int *)arg;
	return true;
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct error err;
	put(f->store, "a/b/one", "first");
	put(f->store, "a/b/one", "second");
	put(f->store, "a/two", "");
	char *text;
	size_t len;
	assert_true(store_get_text(f->store, "a/b/one", 100, &text, &len, &err));
	assert_string_equal(text, "second");
	free(text);
	assert_true(store_get_text(f->store, "a/two", 100, &text, &len, &err));
	assert_int_equal(len, 0);
	free(text);
	struct store_stat st;
	assert_true(store_stat(f->store, "a/b/one", &st, &err));
	assert_int_equal(st.size, 6);
	assert_int_equal(count(f->store, ""), 2);
	assert_int_equal(count(f->store, "a/"), 2);
	assert_int_equal(count(f->store, "a/b/"), 1);
	assert_int_equal(count(f->store, "nothing/"), 0);
	assert_false(store_get_text(f->store, "a/b/one", 5, &text, &len, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
}

static void test_remove_takes_empty_folders_along(void **state)
{
	struct fixture *f = *state;
	struct error err;
	put(f->store, "a/b/one", "1");
	put(f->store, "a/two", "2");
	assert_true(store_remove(f->store, "a/b/one", &err));
	assert_false(folder_has(f->folder, "store/a/b"));
	assert_true(folder_has(f->folder, "store/a/two"));
	assert_true(store_remove(f->store, "a/b/one", &err));
	assert_true(store_remove(f->store, "a/two", &err));
	assert_false(folder_has(f->folder, "store/a"));
	assert_true(folder_has(f->folder, "store"));
	struct store_stat st;
	assert_false(store_stat(f->store, "a/two", &st, &err));
	assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void test_nothing_exists_before_it_is_finished(void **state)
{
	struct fixture *f = *state;
	struct error err;
	struct store_put *writer;
	put(f->store, "x/data", "old");
	assert_true(store_begin(f->store, "x/data", &writer, &err));
	assert_true(store_write(writer, "new!", 4, &err));
	char *text;
	size_t len;
	assert_true(store_get_text(f->store, "x/data", 100, &text, &len, &err));
	assert_string_equal(text, "old");
	free(text);
	assert_int_equal(count(f->store, ""), 1);
	store_abort(writer);
	assert_int_equal(folder_count(f->folder), 1);
}

/* A writer that is killed leaves a name that nobody sees and a sweep takes away. */
static void test_a_killed_writer_leaves_nothing_to_see(void **state)
{
	struct fixture *f = *state;
	struct error err;
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct store_put *writer;
		bool ok = store_begin(f->store, "x/data", &writer, &err) && store_write(writer, "half", 4, &err) &&
			  write(ready[1], "!", 1) == 1;
		pause();
		_exit(!ok);
	}
	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(count(f->store, ""), 0);
	assert_int_equal(folder_count(f->folder), 1);
	int swept = 0;
	assert_true(store_sweep(f->store, "y/", sweep_all, &swept, &err));
	assert_int_equal(swept, 0);
	assert_true(store_sweep(f->store, "x/", sweep_all, &swept, &err));
	assert_int_equal(swept, 1);
	assert_int_equal(folder_count(f->folder), 0);
}

static void test_keys_cannot_leave_the_root(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "",     "/etc/passwd", "..",    "../x", "a/../../x",
					   "a//b", "./a",         "a/./b", "a/",   ".put-",
					   "a/.x", "a b",         "a\nb",  "a\\b", "caf\303\251" };
	struct error err;
	struct store_put *writer;
	struct store_get *reader;
	struct store_stat st;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(store_begin(f->store, bad[i], &writer, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_false(store_get(f->store, bad[i], &reader, &err));
		assert_false(store_stat(f->store, bad[i], &st, &err));
		assert_false(store_remove(f->store, bad[i], &err));
	}
	assert_false(store_list(f->store, "../", list_count, NULL, &err));
	assert_false(store_list(f->store, "a", list_count, NULL, &err));
}

static void test_links_are_not_followed(void **state)
{
	struct fixture *f = *state;
	struct error err;
	folder_text(f->folder, "outside/secret", "secret");
	CLEANUP(free_p) char *outside = folder_path(f->folder, "outside");
	CLEANUP(free_p) char *link = folder_path(f->folder, "store/link");
	CLEANUP(free_p) char *file = folder_path(f->folder, "store/file");
	CLEANUP(free_p) char *secret = folder_path(f->folder, "outside/secret");
	assert_int_equal(symlink(outside, link), 0);
	assert_int_equal(symlink(secret, file), 0);
	struct store_get *reader;
	struct store_put *writer;
	assert_false(store_get(f->store, "link/secret", &reader, &err));
	assert_false(store_get(f->store, "file", &reader, &err));
	assert_false(store_begin(f->store, "link/new", &writer, &err));
	assert_false(store_remove(f->store, "link/secret", &err));
	assert_int_equal(count(f->store, ""), 0);
	assert_true(folder_has(f->folder, "outside/secret"));
}

static void test_a_full_store_says_so(void **state)
{
	struct fixture *f = *state;
	struct error err;
	struct rlimit before, small = { 4096, RLIM_INFINITY };
	struct store_put *writer;
	char block[8192] = { 1 };
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	small.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_FSIZE, &small);
	bool ok = store_begin(f->store, "x/data", &writer, &err) && store_write(writer, block, sizeof block, &err);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_false(ok);
	assert_int_equal(err.kind, ERR_FULL);
	store_abort(writer);
	assert_int_equal(folder_count(f->folder), 0);
}

/* Pieces of any length, across the borders of blocks: the hashes are those of the blocks. */
static void test_the_hashes_of_what_was_written(void **state)
{
	struct fixture *f = *state;
	static const size_t sizes[] = { 0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES + 12345 };
	CLEANUP(free_p) char *bytes = mem_alloc(3 * BLOCK_BYTES);
	for (size_t i = 0; i < 3 * (size_t)BLOCK_BYTES; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct store_put *put;
		struct error err;
		CLEANUP(blocks) struct blocks blocks = { 0 };
		CLEANUP(digest) struct digest *list = digest_new();
		assert_true(store_begin(f->store, "k", &put, &err));
		for (size_t at = 0, piece = 1; at < sizes[i]; at += piece, piece = piece * 3 % 1000003 + 1) {
			piece = piece < sizes[i] - at ? piece : sizes[i] - at;
			assert_true(store_write(put, bytes + at, piece, &err));
		}
		assert_true(store_finish(put, &blocks, &err));
		assert_int_equal(blocks.count, blocks_count_of((int64_t)sizes[i]));
		for (size_t k = 0; k < blocks.count; k++) {
			size_t from = k * BLOCK_BYTES, left = sizes[i] - from;
			struct digest_hex hash = digest_of(bytes + from, left < BLOCK_BYTES ? left : BLOCK_BYTES);
			assert_string_equal(blocks.hashes[k].text, hash.text);
			digest_add(list, hash.text, DIGEST_HEX);
			digest_add(list, "\n", 1);
		}
		assert_string_equal(blocks_hash(&blocks).text, digest_take(list).text);
		struct store_stat st;
		assert_true(store_stat(f->store, "k", &st, &err));
		assert_int_equal(st.size, sizes[i]);
	}
}

static void test_urls(void **state)
{
	struct fixture *f = *state;
	struct store *store;
	struct error err;
	static const char *const bad[] = { "gs://bucket", "/var/lib", "file://relative", "file:///", "", "file:" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(store_open(bad[i], &store, &err));
		assert_int_equal(err.kind, ERR_INPUT);
		assert_non_null(strstr(err.message, "file:///folder"));
	}
	CLEANUP(free_p) char *deep = mem_printf("file://%s/not/mounted", f->folder);
	assert_false(store_open(deep, &store, &err));
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove_takes_empty_folders_along, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_exists_before_it_is_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_name_only_for_what_is_on_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_killed_writer_leaves_nothing_to_see, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_cannot_leave_the_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_are_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_full_store_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_hashes_of_what_was_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_urls, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
