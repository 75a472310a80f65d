/* Copies of checkpoints that stay on a machine: found by hash, bounded, and never more than a help. */
#include "worker/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/digest.h"
#include "tests/unit/folder.h"

struct fixture {
	char *folder;
	char *inside;
	struct cache cache;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	f->inside = folder_path(f->folder, "cache");
	f->cache = (struct cache){ .folder = f->inside, .most_bytes = 1000 };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	folder_remove(f->folder);
	free(f->inside);
	free(f);
	return 0;
}

static struct digest_hex keep(struct fixture *f, char letter, size_t size)
{
	CLEANUP(free_p) char *data = mem_alloc(size + 1);
	memset(data, letter, size);
	struct digest_hex hash = digest_of(data, size);
	cache_keep_text(&f->cache, hash.text, data, size);
	return hash;
}

static bool has(struct fixture *f, const struct digest_hex *hash)
{
	size_t len;
	CLEANUP(free_p) char *text = cache_text(&f->cache, hash->text, 100000, &len);
	if (text)
		assert_string_equal(digest_of(text, len).text, hash->text);
	return text != NULL;
}

/* As if it had been used so many seconds ago. */
static void age(struct fixture *f, const struct digest_hex *hash, time_t seconds)
{
	CLEANUP(free_p) char *path = folder_path(f->inside, hash->text);
	struct timespec times[2] = { { .tv_sec = time(NULL) - seconds }, { .tv_sec = time(NULL) - seconds } };
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static size_t count(struct fixture *f)
{
	size_t files = 0;
	DIR *dir = opendir(f->inside);
	struct dirent *entry;
	while (dir && (entry = readdir(dir)))
		files += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	if (dir)
		closedir(dir);
	return files;
}

static void test_found_by_hash(void **state)
{
	struct fixture *f = *state;
	struct digest_hex a = keep(f, 'a', 300), b = digest_of("b", 1);
	assert_true(has(f, &a));
	assert_false(has(f, &b));
	size_t len;
	assert_null(cache_text(&f->cache, a.text, 299, &len));
	assert_int_equal(cache_open(&f->cache, "../cache"), -1);
	assert_int_equal(cache_open(&f->cache, NULL), -1);
	cache_forget(&f->cache, a.text);
	assert_false(has(f, &a));
}

static void test_the_longest_unused_goes(void **state)
{
	struct fixture *f = *state;
	struct digest_hex a = keep(f, 'a', 300), b = keep(f, 'b', 300), c = keep(f, 'c', 300);
	age(f, &a, 30);
	age(f, &b, 60);
	age(f, &c, 40);
	assert_true(has(f, &b)); /* which is a use */
	struct digest_hex d = keep(f, 'd', 300);
	assert_true(has(f, &a) && has(f, &b) && has(f, &d));
	assert_false(has(f, &c));
	struct digest_hex e = keep(f, 'e', 1001);
	assert_false(has(f, &e));
	assert_true(has(f, &a) && has(f, &b) && has(f, &d)); /* nothing went for what has no room at all */
}

static void test_it_gives_way(void **state)
{
	struct fixture *f = *state;
	struct digest_hex kept[3];
	for (int i = 0; i < 3; i++) {
		kept[i] = keep(f, (char)('a' + i), 300);
		age(f, &kept[i], 30 - i);
	}
	cache_give_way(&f->cache, 301); /* two of them */
	assert_false(has(f, &kept[0]));
	assert_false(has(f, &kept[1]));
	assert_true(has(f, &kept[2]));
	cache_give_way(&f->cache, 1 << 30);
	assert_false(has(f, &kept[2]));
	const struct cache none = { .folder = NULL };
	cache_give_way(&none, 1);
}

static void test_what_could_not_fit_drives_nothing_out(void **state)
{
	struct fixture *f = *state;
	struct digest_hex a = keep(f, 'a', 300);
	struct cache_put *put = cache_begin(&f->cache, 1001);
	assert_null(put);
	assert_true(has(f, &a));
	/* Also where it is the disk that sets the bound. */
	f->cache.most_bytes = INT64_MAX / 2;
	put = cache_begin(&f->cache, INT64_MAX / 4);
	assert_null(put);
	assert_true(has(f, &a));
}

static void test_a_size_that_is_only_bounded(void **state)
{
	struct fixture *f = *state;
	struct digest_hex a = keep(f, 'a', 600);
	age(f, &a, 30);
	struct cache_put *put = cache_begin(&f->cache, 950);
	CLEANUP(free_p) char *data = mem_alloc(900);
	cache_write(put, data, 900);
	struct digest_hex b = digest_of(data, 900);
	cache_keep(put, b.text);
	assert_true(has(f, &b));
	assert_false(has(f, &a));
	put = cache_begin(&f->cache, 950);
	cache_write(put, data, 900);
	cache_write(put, data, 900); /* more than was said, and than there is room for */
	cache_keep(put, a.text);
	assert_int_equal(count(f), 0);
}

static void test_what_is_given_up_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct cache_put *put = cache_begin(&f->cache, 10);
	cache_write(put, "x", 1);
	assert_int_equal(count(f), 1);
	cache_keep(put, NULL);
	assert_int_equal(count(f), 0);
}

/* A process that writes one, and is killed when told so; answers its pid once it has begun. */
static pid_t writer(struct fixture *f)
{
	int began[2];
	char byte;
	assert_int_equal(pipe(began), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct cache_put *put = cache_begin(&f->cache, 10);
		cache_write(put, "half", 4);
		_exit(write(began[1], "x", 1) == 1 && pause());
	}
	assert_int_equal(read(began[0], &byte, 1), 1);
	close(began[0]);
	close(began[1]);
	return pid;
}

static void test_what_a_killed_writer_left_goes_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct digest_hex a = keep(f, 'a', 300);
	pid_t dies = writer(f), lives = writer(f);
	struct cache_put *own = cache_begin(&f->cache, 10);
	cache_write(own, "whole", 5);
	cache_tidy(&f->cache);
	assert_int_equal(count(f), 4); /* however young or old they are */
	kill(dies, SIGKILL);
	assert_int_equal(waitpid(dies, NULL, 0), dies);
	cache_tidy(&f->cache);
	assert_int_equal(count(f), 3);
	struct digest_hex whole = digest_of("whole", 5);
	cache_keep(own, whole.text);
	assert_true(has(f, &whole) && has(f, &a));
	kill(lives, SIGKILL);
	assert_int_equal(waitpid(lives, NULL, 0), lives);
	keep(f, 'b', 10); /* any writer sees to it */
	assert_int_equal(count(f), 3);
}

static void test_without_one(void **state)
{
	struct fixture *f = *state;
	const struct cache none[] = { { .folder = NULL, .most_bytes = 1000 },
				      { .folder = f->inside, .most_bytes = 0 },
				      { .folder = "/proc/nothing/here", .most_bytes = 1000 } };
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct cache_put *put = cache_begin(&none[i], 1);
		assert_null(put);
		cache_write(put, "x", 1);
		cache_keep(put, digest_of("x", 1).text);
		assert_int_equal(cache_open(&none[i], digest_of("x", 1).text), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_found_by_hash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_longest_unused_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_size_that_is_only_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_given_up_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_could_not_fit_drives_nothing_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_killed_writer_left_goes_and_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_one, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
