/* lib/landlock: what a confined process can do no more. Each claim is tried without it, too: it must be possible then.
 */
#include "lib/landlock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"
#include "lib/helper.h"
#include "tests/unit/folder.h"

struct
try {
	const char *folder; /* with own/, store/object, other/file, a port that listens */
	bool is_confined;
	bool may_connect;
	int port;
	int passwd; /* open before */
};

static bool try_open(const struct try *t, const char *name, int flags)
{
	CLEANUP(free_p) char *path = *name == '/' ? mem_strdup(name) : folder_path(t->folder, name);
	CLEANUP(close_fd) int fd = open(path, flags | O_CLOEXEC, 0600);
	return fd >= 0;
}

static bool try_rename(const struct try *t, const char *from, const char *to)
{
	CLEANUP(free_p) char *old = folder_path(t->folder, from);
	CLEANUP(free_p) char *new = folder_path(t->folder, to);
	return rename(old, new) == 0;
}

static bool try_make(const struct try *t, const char *name, char kind)
{
	CLEANUP(free_p) char *path = folder_path(t->folder, name);
	int result = kind == 'l' ? symlink("/etc/passwd", path) : kind == 'd' ? mkdir(path, 0700) : mkfifo(path, 0600);
	return result == 0;
}

static bool try_connect(const struct try *t)
{
	CLEANUP(close_fd) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)t->port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	return connect(fd, (const struct sockaddr *)&to, sizeof to) == 0;
}

/* In the helper: a letter for everything that is possible. */
static bool try_all(void *arg, struct buf *text, struct error *err)
{
	const struct try *t = arg;
	CLEANUP(free_p) char *own = folder_path(t->folder, "own");
	CLEANUP(free_p) char *store = folder_path(t->folder, "store");
	const struct landlock_path paths[] = { { .path = own, .may_write = true },
					       { .path = store },
					       { .path = "/nowhere/at/all" } };
	const struct landlock_options options = { paths, ARRAY_LEN(paths), t->may_connect };
	if (t->is_confined && !landlock_confine(&options, err))
		return false;
	char byte;
	bool can[] = {
		['a' - 'a'] = try_open(t, "own/new", O_WRONLY | O_CREAT | O_EXCL),
		['b' - 'a'] = try_make(t, "own/folder", 'd') && try_rename(t, "own/new", "own/newer"),
		['c' - 'a'] = try_open(t, "store/object", O_RDONLY) && pread(t->passwd, &byte, 1, 0) == 1,
		['d' - 'a'] = try_open(t, "/etc/passwd", O_RDONLY),
		['e' - 'a'] = try_open(t, "other/file", O_RDONLY),
		['f' - 'a'] = try_open(t, "other/file", O_WRONLY),
		['g' - 'a'] = try_open(t, "other/new", O_WRONLY | O_CREAT),
		['h' - 'a'] = try_make(t, "other/folder", 'd'),
		['i' - 'a'] = try_open(t, "store/object", O_WRONLY),
		['j' - 'a'] = try_open(t, "store/new", O_WRONLY | O_CREAT),
		['k' - 'a'] = try_make(t, "own/link", 'l'),
		['l' - 'a'] = try_make(t, "own/pipe", 'p'),
		['m' - 'a'] = try_rename(t, "own/newer", "other/newer"),
		['n' - 'a'] = try_open(t, "own/../other/file", O_RDONLY),
		['o' - 'a'] = kill(getppid(), 0) == 0,
		['p' - 'a'] = try_connect(t),
	};
	for (size_t i = 0; i < ARRAY_LEN(can); i++)
		if (can[i])
			buf_byte(text, (char)('a' + i));
	return true;
}

static char *run_try(bool is_confined, bool may_connect)
{
	char *folder = folder_make();
	folder_mkdir(folder, "own");
	folder_text(folder, "store/object", "x");
	folder_text(folder, "other/file", "x");
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	struct try t = { folder, is_confined, may_connect, ntohs(at.sin_port), open("/etc/passwd", O_RDONLY) };
	const struct helper_options options = { .name = "try", .keep_fd = t.passwd, .run = try_all, .run_arg = &t };
	struct error err;
	struct buf text;
	buf_init(&text, 100);
	if (!helper_call(&options, &text, &err))
		fail_msg("%s", err.message);
	close(listener);
	close(t.passwd);
	folder_remove(folder);
	return buf_take(&text);
}

static void test_a_free_process_can_do_all_of_it(void **state)
{
	(void)state;
	CLEANUP(free_p) char *can = run_try(false, false);
	assert_string_equal(can, "abcdefghijklmnop");
}

static void skip_without(int version)
{
	if (landlock_version() >= version)
		return;
	print_message("UNPROVED: this kernel has Landlock %d, and this needs %d\n", landlock_version(), version);
	skip();
}

static void test_a_confined_one_can_only_read_its_store_and_fill_its_folder(void **state)
{
	(void)state;
	skip_without(6);
	CLEANUP(free_p) char *can = run_try(true, false);
	assert_string_equal(can, "abc");
	CLEANUP(free_p) char *connects = run_try(true, true);
	assert_string_equal(connects, "abcp");
}

/* What every version can do, on whatever kernel this is. */
static void test_files_are_out_of_reach_with_any_version(void **state)
{
	(void)state;
	skip_without(1);
	CLEANUP(free_p) char *can = run_try(true, true);
	assert_null(strpbrk(can, "defghijklmn"));
	assert_int_equal(strncmp(can, "abc", 3), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_free_process_can_do_all_of_it),
		cmocka_unit_test(test_a_confined_one_can_only_read_its_store_and_fill_its_folder),
		cmocka_unit_test(test_files_are_out_of_reach_with_any_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
