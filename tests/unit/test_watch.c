/* What a program does to its folders, and what is told of it; also when inotify loses events or cannot be had. */
#include "worker/watch.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "tests/unit/folder.h"

#define DEADLINE_MS 20000

struct fixture {
	char *folder;
	struct event_base *base;
	struct watch *watch;
	struct buf told; /* "+path" written, ">path" renamed, "-path" gone, "=path" found; folders end with '/' */
};

static bool wants(void *arg, int root, const char *path)
{
	(void)arg;
	(void)root;
	return strncmp(path, "unwanted", 8) != 0;
}

static void changed(void *arg, int root, const char *path, bool is_folder, enum watch_change change)
{
	struct fixture *f = arg;
	static const char signs[] = {
		[WATCH_FOUND] = '=', [WATCH_WRITTEN] = '+', [WATCH_RENAMED] = '>', [WATCH_GONE] = '-'
	};
	assert_int_equal(root, 0);
	buf_printf(&f->told, "%c%s%s\n", signs[change], path, is_folder ? "/" : "");
}

static void settled(void *arg)
{
	(void)arg;
}

static void begin_young(struct fixture *f)
{
	struct error err;
	struct watch_options options = { .base = f->base,
					 .roots = { f->folder },
					 .wants = wants,
					 .changed = changed,
					 .settled = settled,
					 .arg = f };
	f->watch = watch_new(&options, &err);
	if (!f->watch)
		fail_msg("%s", err.message);
}

static void turn(struct fixture *f)
{
	struct timeval at_most = { .tv_usec = 20000 };
	event_base_loopexit(f->base, &at_most);
	event_base_dispatch(f->base);
}

static void begin(struct fixture *f)
{
	int64_t end_ms = clock_boot_ms() + DEADLINE_MS;
	begin_young(f);
	while (!has_inotify() && clock_boot_ms() < end_ms)
		turn(f);
	assert_true(has_inotify());
}

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	f->base = event_base_new();
	buf_init(&f->told, 64 * 1024 * 1024);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	watch_free(f->watch);
	event_base_free(f->base);
	buf_done(&f->told);
	folder_remove(f->folder);
	free(f);
	return 0;
}

/* Whether this line was told since the last time. */
static bool was_told(struct fixture *f, const char *line)
{
	CLEANUP(free_p) char *whole = mem_printf("\n%s\n", line);
	CLEANUP(free_p) char *told = mem_printf("\n%s", buf_text(&f->told));
	return strstr(told, whole) != NULL;
}

static void expect(struct fixture *f, const char *line)
{
	int64_t end_ms = clock_boot_ms() + DEADLINE_MS;
	while (!was_told(f, line)) {
		if (clock_boot_ms() > end_ms)
			fail_msg("not told: %s; but:\n%s", line, buf_text(&f->told));
		turn(f);
	}
}

static void expect_silence_of(struct fixture *f, const char *word)
{
	watch_drain(f->watch);
	if (strstr(buf_text(&f->told), word))
		fail_msg("told of %s:\n%s", word, buf_text(&f->told));
}

static void move(struct fixture *f, const char *from, const char *to)
{
	CLEANUP(free_p) char *a = folder_path(f->folder, from);
	CLEANUP(free_p) char *b = folder_path(f->folder, to);
	assert_int_equal(rename(a, b), 0);
}

static void test_files_and_folders(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "old/a", "x");
	begin(f);
	assert_true(was_told(f, "=old/") && was_told(f, "=old/a"));
	folder_text(f->folder, "new", "x");
	expect(f, "+new");
	folder_put(f->folder, "put", "x", 1);
	expect(f, ">put");
	folder_text(f->folder, "old/a", "y");
	expect(f, "+old/a");
	folder_text(f->folder, "deep/er/and/deeper", "x"); /* folders that appear, however fast they are filled */
	expect(f, "+deep/er/and/deeper");
	folder_text(f->folder, "unwanted/x", "x");
	expect(f, "+unwanted/");
	expect_silence_of(f, "unwanted/x");
	CLEANUP(free_p) char *path = folder_path(f->folder, "new");
	assert_int_equal(unlink(path), 0);
	expect(f, "-new");
}

static void test_moved_folders(void **state)
{
	struct fixture *f = *state;
	begin(f);
	folder_text(f->folder, "tmp-1/weights", "x");
	expect(f, "+tmp-1/weights");
	move(f, "tmp-1", "one");
	expect(f, ">one/");
	expect(f, ">one/weights");
	buf_clear(&f->told);
	folder_text(f->folder, "one/weights", "y"); /* told under the name that holds now */
	expect(f, "+one/weights");
	expect_silence_of(f, "tmp-1");
	/* A folder that left and came back elsewhere. */
	folder_mkdir(f->folder, "unwanted");
	move(f, "one", "unwanted/one");
	expect(f, "-one/");
	buf_clear(&f->told);
	folder_text(f->folder, "unwanted/one/weights", "z");
	folder_text(f->folder, "mark", "x");
	expect(f, "+mark");
	expect_silence_of(f, "weights");
}

static void test_links_are_not_told(void **state)
{
	struct fixture *f = *state;
	begin(f);
	CLEANUP(free_p) char *file = folder_path(f->folder, "link");
	CLEANUP(free_p) char *folder = folder_path(f->folder, "etc");
	assert_int_equal(symlink("/etc/passwd", file), 0);
	assert_int_equal(symlink("/etc", folder), 0);
	folder_text(f->folder, "mark", "x");
	expect(f, "+mark");
	expect_silence_of(f, "link");
	expect_silence_of(f, "etc");
}

/* Until the coarse clock is past what is now: the kernel may stamp a file with the finer one, which is ahead of it. */
static void next_tick(void)
{
	struct timespec before, now;
	clock_gettime(CLOCK_REALTIME, &before);
	do
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	while (now.tv_sec < before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec <= before.tv_nsec));
}

/* A reader that opens for writing, as tinygrad does to load a file, changes nothing; writing through a mapping does,
 * although the kernel tells no more of it than the close. */
static void test_opened_for_writing_but_not_written(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "restored", "x");
	next_tick();
	begin(f);
	CLEANUP(free_p) char *path = folder_path(f->folder, "restored");
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	close(fd);
	folder_text(f->folder, "mark", "x");
	expect(f, "+mark");
	expect_silence_of(f, "+restored");
	fd = open(path, O_RDWR | O_CLOEXEC);
	char *mapped = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mapped, MAP_FAILED);
	mapped[0] = 'y';
	munmap(mapped, 1);
	close(fd);
	expect(f, "+restored");
}

/* More than the kernel keeps: what it lost is looked for. */
static void test_lost_events(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "before", "x");
	next_tick(); /* what changed in the tick in which the watch began counts as new */
	begin(f);
	long queue = 16384;
	CLEANUP(fclose_p) FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	if (!limit || fscanf(limit, "%ld", &queue) != 1 || queue > 100000)
		skip();
	char name[32];
	for (long i = 0; i < queue; i++) {
		str_format(name, sizeof name, "f%ld", i % 50);
		folder_text(f->folder, name, "x");
	}
	folder_text(f->folder, "last", "x");
	expect(f, "+last");
	expect_silence_of(f, "+before");
}

/* No inotify to be had: a user namespace of ours that allows none. */
static void test_without_inotify(void **state)
{
	struct fixture *f = *state;
	if (unshare(CLONE_NEWUSER) < 0)
		skip();
	CLEANUP(close_fd) int limit = open("/proc/sys/user/max_inotify_instances", O_WRONLY | O_CLOEXEC);
	if (limit < 0 || write(limit, "0", 1) != 1)
		skip();
	folder_text(f->folder, "before", "x");
	begin_young(f);
	assert_true(was_told(f, "=before"));
	folder_text(f->folder, "new", "x");
	expect(f, "+new");
	folder_text(f->folder, "deep/er/file", "x");
	expect(f, "+deep/er/file");
	buf_clear(&f->told);
	folder_text(f->folder, "deep/er/file", "y");
	expect(f, "+deep/er/file");
	for (int64_t until = clock_boot_ms() + 300; clock_boot_ms() < until;)
		turn(f);
	buf_clear(&f->told);
	folder_text(f->folder, "deep/er/file", "z"); /* also when it would have begun */
	expect(f, "+deep/er/file");
}

/* A short run ends before inotify begins: what it did is told all the same, once, and when it is asked for. */
static void test_while_it_is_young(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "before", "x");
	begin_young(f);
	assert_false(has_inotify());
	watch_drain(f->watch);
	assert_string_equal(buf_text(&f->told), "=before\n");
	folder_text(f->folder, "new", "x");
	folder_text(f->folder, "before", "y");
	folder_put(f->folder, "deep/put", "x", 1);
	watch_drain(f->watch);
	assert_true(was_told(f, "+new") && was_told(f, "+before") && was_told(f, "+deep/") && was_told(f, "+deep/put"));
	buf_clear(&f->told);
	watch_drain(f->watch);
	watch_drain(f->watch);
	expect_silence_of(f, "new");
	expect_silence_of(f, "put");
	expect_silence_of(f, "deep/"); /* else an announcement of it would be taken back */
	folder_text(f->folder, "new", "y");
	watch_drain(f->watch);
	assert_true(was_told(f, "+new"));
	assert_false(has_inotify());
	folder_text(f->folder, "late", "x"); /* nobody asks: it is told when inotify begins */
	expect(f, "+late");
	folder_put(f->folder, "deep/later", "x", 1); /* in a folder that was found before that */
	expect(f, ">deep/later");
	assert_true(has_inotify());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files_and_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_folders, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links_are_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_opened_for_writing_but_not_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_while_it_is_young, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_inotify, setup, teardown), /* last: there is no way back */
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
