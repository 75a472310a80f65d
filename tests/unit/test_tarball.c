/* Tars: there and back bit for bit, sources that move, and archives made to harm. */
#include "lib/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "tests/unit/folder.h"

#define TAR_MAX (64 * 1024 * 1024)

struct fixture {
	char *folder;
	int root; /* of what is packed */
	int into; /* fresh, for unpacking */
	struct buf tar;
	size_t position; /* of reading it */

	void (*at_half)(struct fixture *f); /* called once when so many bytes were packed */
	size_t half;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->folder = folder_make();
	folder_mkdir(f->folder, "from");
	folder_mkdir(f->folder, "into");
	CLEANUP(free_p) char *from = folder_path(f->folder, "from");
	CLEANUP(free_p) char *into = folder_path(f->folder, "into");
	f->root = beneath_root(from);
	f->into = beneath_root(into);
	buf_init(&f->tar, TAR_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close(f->root);
	close(f->into);
	buf_done(&f->tar);
	folder_remove(f->folder);
	free(f);
	return 0;
}

static bool sink(void *arg, const void *data, size_t len, struct error *err)
{
	struct fixture *f = arg;
	if (!buf_add(&f->tar, data, len))
		return error_set(err, ERR_FULL, NULL, "no room");
	if (f->at_half && f->tar.len >= f->half) {
		f->at_half(f);
		f->at_half = NULL;
	}
	return true;
}

static bool source(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct fixture *f = arg;
	(void)err;
	*len = f->tar.len - f->position < size ? f->tar.len - f->position : size;
	memcpy(data, f->tar.data + f->position, *len);
	f->position += *len;
	return true;
}

static bool pack(struct fixture *f, const char *path, struct tarball *contents, struct error *err)
{
	CLEANUP(tarball_writer) struct tarball_writer *w = tarball_writer_new(sink, f);
	tarball_writer_hash_files(w);
	buf_clear(&f->tar);
	return tarball_add_tree(w, f->root, path, path, err) && tarball_finish(w, contents, err);
}

static bool unpack(struct fixture *f, const struct tarball *expected, struct error *err)
{
	f->position = 0;
	return tarball_unpack(&(const struct tarball_source){ .read = source, .arg = f }, expected, f->into, err);
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	size_t len = 700001;
	CLEANUP(free_p) unsigned char *bytes = mem_alloc(len);
	uint64_t seed = 1;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (unsigned char)draw(&seed);
	CLEANUP(free_p) char *long_name = mem_printf("from/c/%0200d/%0150d", 1, 2);
	folder_write(f->folder, "from/c/model.bin", bytes, len);
	folder_write(f->folder, "from/c/empty", "", 0);
	folder_write(f->folder, "from/c/a/b/deep \303\251", "deep", 4);
	folder_write(f->folder, long_name, "long", 4);
	folder_mkdir(f->folder, "from/c/hollow");
	assert_int_equal(fchmodat(f->root, "c/empty", 0640, 0), 0);
	assert_int_equal(fchmodat(f->root, "c/model.bin", 0755, 0), 0);
	assert_int_equal(fchmodat(f->root, "c/a", 0510, 0), 0);
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	if (!pack(f, "c", &contents, &err))
		fail_msg("%s", err.message);
	assert_int_equal(contents.size, f->tar.len);
	assert_int_equal(tarball_file_count(&contents), 4);
	for (size_t i = 0; i < contents.count; i++) {
		const struct tarball_member *m = &contents.members[i];
		if (m->is_folder)
			continue;
		assert_string_equal(digest_of(f->tar.data + m->offset, (size_t)m->size).text, m->sha256.text);
	}
	if (!unpack(f, &contents, &err))
		fail_msg("%s", err.message);
	struct stat st;
	assert_true(beneath_stat(f->into, "c/empty", &st));
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_true(beneath_stat(f->into, "c/a", &st));
	assert_int_equal(st.st_mode, S_IFDIR | 0510);
	assert_true(beneath_stat(f->into, "c/hollow", &st));
	size_t got;
	CLEANUP(free_p) char *back = folder_read(f->folder, "into/c/model.bin", &got);
	assert_int_equal(got, len);
	assert_memory_equal(back, bytes, len);
	CLEANUP(free_p) char *deep = folder_read(f->folder, "into/c/a/b/deep \303\251", NULL);
	assert_string_equal(deep, "deep");
}

/* The same bytes twice give the same tar: nothing of the moment gets in. */
static void test_it_is_reproducible(void **state)
{
	struct fixture *f = *state;
	struct error err;
	folder_text(f->folder, "from/c/one", "1");
	folder_text(f->folder, "from/c/two", "2");
	CLEANUP(tarball) struct tarball first, second;
	tarball_init(&first);
	tarball_init(&second);
	assert_true(pack(f, "c", &first, &err));
	struct digest_hex once = digest_of(f->tar.data, f->tar.len);
	assert_true(pack(f, "c", &second, &err));
	assert_string_equal(digest_of(f->tar.data, f->tar.len).text, once.text);
}

static bool known(void *arg, const struct stat *st, struct tarball_member *member)
{
	(void)st;
	assert_null(arg);
	member->elsewhere = strstr(member->path, "known") ? 1 : 0;
	member->offset = member->elsewhere ? 77 : 0;
	return member->elsewhere;
}

/* In pieces of three bytes. */
static bool elsewhere(void *arg, const struct tarball_member *member, void *data, size_t size, size_t *len,
		      struct error *err)
{
	static const char bytes[] = "0123456789";
	static const struct tarball_member *last;
	static int64_t at;
	(void)arg;
	(void)err;
	assert_int_equal(member->offset, 77);
	at = member == last ? at : 0;
	last = member;
	*len = (size_t)(member->size - at) < 3 ? (size_t)(member->size - at) : 3;
	assert_true(*len <= size);
	memcpy(data, bytes + at, *len);
	at += (int64_t)*len;
	return true;
}

/* What is elsewhere is not in the tar, and comes back from there, wherever it stands among the others. */
static void test_what_is_elsewhere(void **state)
{
	struct fixture *f = *state;
	struct error err = { .message = "" };
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	folder_text(f->folder, "from/c/a-known", "9876543210");
	folder_text(f->folder, "from/c/b", "here");
	folder_text(f->folder, "from/c/c-known", "98765");
	folder_text(f->folder, "from/c/d", "there");
	folder_text(f->folder, "from/c/e-known", "9876543");
	CLEANUP(tarball_writer) struct tarball_writer *w = tarball_writer_new(sink, f);
	tarball_writer_known(w, known, NULL);
	buf_clear(&f->tar);
	assert_true(tarball_add_tree(w, f->root, "c", "c", &err) && tarball_finish(w, &contents, &err));
	assert_null(memmem(f->tar.data, f->tar.len, "987", 3));
	assert_non_null(memmem(f->tar.data, f->tar.len, "here", 4));
	assert_false(unpack(f, &contents, &err));
	assert_non_null(strstr(err.message, "cannot be elsewhere"));
	assert_true(beneath_remove(f->into, "c"));
	const struct tarball_source from = { .read = source, .elsewhere = elsewhere, .arg = f };
	f->position = 0;
	if (!tarball_unpack(&from, &contents, f->into, &err))
		fail_msg("%s", err.message);
	CLEANUP(free_p) char *first = folder_read(f->folder, "into/c/a-known", NULL);
	CLEANUP(free_p) char *third = folder_read(f->folder, "into/c/c-known", NULL);
	CLEANUP(free_p) char *fourth = folder_read(f->folder, "into/c/d", NULL);
	CLEANUP(free_p) char *last = folder_read(f->folder, "into/c/e-known", NULL);
	assert_string_equal(first, "0123456789");
	assert_string_equal(third, "01234");
	assert_string_equal(fourth, "there");
	assert_string_equal(last, "0123456");
}

static void refuse_pack(struct fixture *f, enum error_kind kind, const char *why)
{
	struct error err = { .message = "" };
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	assert_false(pack(f, "c", &contents, &err));
	if (!strstr(err.message, why))
		fail_msg("expected \"%s\", got \"%s\"", why, err.message);
	assert_int_equal(err.kind, kind);
}

static void overwrite(struct fixture *f)
{
	CLEANUP(close_fd) int fd = openat(f->root, "c/data", O_WRONLY);
	assert_int_equal(pwrite(fd, "changed", 7, 10), 7);
}

static void grow(struct fixture *f)
{
	CLEANUP(close_fd) int fd = openat(f->root, "c/data", O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, "more", 4), 4);
}

static void shrink(struct fixture *f)
{
	CLEANUP(close_fd) int fd = openat(f->root, "c/data", O_WRONLY);
	assert_int_equal(ftruncate(fd, 100), 0);
}

static void replace(struct fixture *f)
{
	folder_text(f->folder, "from/c/other", "another file");
	assert_int_equal(renameat(f->root, "c/other", f->root, "c/data"), 0);
}

static void take_away(struct fixture *f)
{
	assert_int_equal(unlinkat(f->root, "c/data", 0), 0);
}

static void add_file(struct fixture *f)
{
	folder_text(f->folder, "from/c/new", "a new file");
}

static void touch_first(struct fixture *f)
{
	folder_text(f->folder, "from/c/a-first", "already packed, now different");
}

static void test_what_moves_is_refused(void **state)
{
	struct fixture *f = *state;
	static void (*const moves[])(struct fixture *) = { overwrite, grow,     shrink,     replace,
							   take_away, add_file, touch_first };
	size_t len = 2 * 1024 * 1024;
	CLEANUP(free_p) char *bytes = mem_alloc(len);
	for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
		folder_text(f->folder, "from/c/a-first", "packed first");
		folder_write(f->folder, "from/c/data", bytes, len);
		beneath_remove(f->root, "c/new");
		f->at_half = moves[i];
		f->half = len / 2;
		refuse_pack(f, ERR_CONFLICT, "changed while it was read");
		assert_null(f->at_half);
	}
}

static void test_what_is_open_for_writing_is_refused(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "from/c/data", "being written");
	int fd = openat(f->root, "c/data", O_RDWR);
	assert_true(fd >= 0);
	refuse_pack(f, ERR_CONFLICT, "open for writing");
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	close(fd);
	refuse_pack(f, ERR_CONFLICT, "open for writing");
	munmap(map, 4096);
	struct error err;
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	assert_true(pack(f, "c", &contents, &err));
}

static void test_only_files_and_folders_are_packed(void **state)
{
	struct fixture *f = *state;
	folder_text(f->folder, "from/c/data", "x");
	assert_int_equal(symlinkat("data", f->root, "c/link"), 0);
	refuse_pack(f, ERR_INPUT, "symbolic link");
	assert_int_equal(unlinkat(f->root, "c/link", 0), 0);
	assert_int_equal(mkfifoat(f->root, "c/pipe", 0600), 0);
	refuse_pack(f, ERR_INPUT, "neither a file nor a folder");
	assert_int_equal(unlinkat(f->root, "c/pipe", 0), 0);
	folder_text(f->folder, "from/c/\377bad", "x");
	refuse_pack(f, ERR_INPUT, "cannot be packed");
}

/* ---- archives made to harm ---- */

static la_ssize_t evil_sink(struct archive *archive, void *arg, const void *data, size_t len)
{
	struct fixture *f = arg;
	(void)archive;
	return buf_add(&f->tar, data, len) ? (la_ssize_t)len : -1;
}

struct evil {
	const char *path;
	unsigned type; /* AE_IF… */
	const char *link;
	bool is_hard;
	int64_t size;
	const char *xattr;
	int repeat;
	const char *why;
};

static void evil_entry(struct archive *archive, const struct evil *evil)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, evil->path);
	archive_entry_set_filetype(entry, evil->type);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, evil->size);
	if (evil->link && evil->is_hard)
		archive_entry_set_hardlink(entry, evil->link);
	else if (evil->link)
		archive_entry_set_symlink(entry, evil->link);
	if (evil->xattr)
		archive_entry_xattr_add_entry(entry, evil->xattr, "1", 1);
	assert_true(archive_write_header(archive, entry) >= ARCHIVE_WARN);
	CLEANUP(free_p) char *zeros = mem_alloc((size_t)evil->size + 1);
	if (evil->size)
		archive_write_data(archive, zeros, (size_t)evil->size);
	archive_entry_free(entry);
}

static void evil_tar(struct fixture *f, const struct evil *evil)
{
	struct archive *archive = archive_write_new();
	archive_write_set_format_pax(archive);
	archive_write_set_bytes_per_block(archive, 0);
	buf_clear(&f->tar);
	assert_int_equal(archive_write_open2(archive, f, NULL, evil_sink, NULL, NULL), ARCHIVE_OK);
	for (int i = 0; i <= evil->repeat; i++)
		evil_entry(archive, evil);
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
}

static void test_harmful_archives_are_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *too_long = mem_printf("work/%0200d/%0200d/%0200d", 1, 2, 3);
	char deep[200] = "a";
	for (int i = 0; i < BENEATH_DEPTH_MAX; i++)
		memcpy(deep + 1 + 2 * i, "/a", 3);
	const struct evil evils[] = {
		{ .path = "../escape", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "work/../../escape", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "/etc/escape", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "./a", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "a//b", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "a\nb", .type = AE_IFREG, .why = "clean relative path" },
		{ .path = too_long, .type = AE_IFREG, .why = "clean relative path" },
		{ .path = deep, .type = AE_IFREG, .why = "clean relative path" },
		{ .path = "a", .type = AE_IFLNK, .link = "/etc/passwd", .why = "symbolic link" },
		{ .path = "a", .type = AE_IFREG, .link = "/etc/passwd", .is_hard = true, .why = "hard link" },
		{ .path = "a", .type = AE_IFCHR, .why = "neither a file nor a folder" },
		{ .path = "a", .type = AE_IFBLK, .why = "neither a file nor a folder" },
		{ .path = "a", .type = AE_IFIFO, .why = "neither a file nor a folder" },
		{ .path = "a", .type = AE_IFREG, .xattr = "user.x", .why = "extended attributes" },
		{ .path = "b", .type = AE_IFREG, .why = "not in the manifest" },
		{ .path = "a", .type = AE_IFDIR, .why = "not in the manifest" },
		{ .path = "a", .type = AE_IFREG, .size = 5, .why = "another size" },
		{ .path = "a", .type = AE_IFREG, .repeat = 1, .why = "not in the manifest" },
	};
	for (size_t i = 0; i < ARRAY_LEN(evils); i++) {
		struct error err = { .message = "" };
		CLEANUP(tarball) struct tarball expected;
		tarball_init(&expected);
		tarball_member_add(&expected, "a")->sha256 = digest_of("", 0);
		evil_tar(f, &evils[i]);
		beneath_remove(f->into, "a");
		if (unpack(f, &expected, &err))
			fail_msg("accepted: %s", evils[i].why);
		if (!strstr(err.message, evils[i].why))
			fail_msg("expected \"%s\", got \"%s\"", evils[i].why, err.message);
		assert_int_equal(err.kind, ERR_DAMAGED);
		assert_true(folder_count(f->folder) <= 1);
	}
}

static void test_other_contents_than_expected(void **state)
{
	struct fixture *f = *state;
	struct error err;
	folder_text(f->folder, "from/c/one", "the content");
	folder_text(f->folder, "from/c/two", "");
	CLEANUP(tarball) struct tarball contents;
	tarball_init(&contents);
	assert_true(pack(f, "c", &contents, &err));
	struct digest_hex right = contents.members[1].sha256;
	contents.members[1].sha256 = digest_of("another", 7);
	assert_false(unpack(f, &contents, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
	contents.members[1].sha256 = right;
	beneath_remove(f->into, "c");
	/* Cut at every place: never accepted. What libarchive takes for the end of the tar, we miss members of. */
	size_t whole = f->tar.len;
	for (f->tar.len = 0; f->tar.len < whole - 1024; f->tar.len += 64) {
		assert_false(unpack(f, &contents, &err));
		assert_int_equal(err.kind, ERR_DAMAGED);
		beneath_remove(f->into, "c");
	}
	f->tar.len = whole;
	assert_true(unpack(f, &contents, &err));
}

/* Only the tar format is read: nothing else that libarchive knows is guessed. */
static void test_other_formats_are_not_tried(void **state)
{
	struct fixture *f = *state;
	static const char zip[] = "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
	static const char gzip[] = "\37\213\10\0\0\0\0\0\0\3";
	struct error err;
	CLEANUP(tarball) struct tarball expected;
	tarball_init(&expected);
	tarball_member_add(&expected, "a");
	buf_clear(&f->tar);
	buf_add(&f->tar, zip, sizeof zip - 1);
	assert_false(unpack(f, &expected, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
	buf_clear(&f->tar);
	buf_add(&f->tar, gzip, sizeof gzip - 1);
	assert_false(unpack(f, &expected, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
}

static void test_a_sink_that_fails_is_named(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *bytes = mem_alloc(100000);
	folder_write(f->folder, "from/c/data", bytes, 100000);
	f->tar.max = 50000;
	refuse_pack(f, ERR_FULL, "no room");
	f->tar.max = TAR_MAX;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_it_is_reproducible, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_moves_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_open_for_writing_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_files_and_folders_are_packed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_harmful_archives_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_contents_than_expected, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_formats_are_not_tried, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_sink_that_fails_is_named, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
