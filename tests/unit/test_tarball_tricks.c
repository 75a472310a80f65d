/*
 * Tars made by hand, each with one trick: refused as damaged with the reason named, nothing beside the folder, no
 * link and no device in it. A trick that can do no harm is a plain file in the end.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/tarball.h"
#include "tests/unit/folder.h"

#define BLOCK 512

struct entry {
	const char *name;
	char type; /* 0: '0' */
	const char *data;
	const char *pax; /* "key=value" for an extended header before it; several are divided by '|' */
	const char *link;
	const char *size; /* the raw field; NULL: the length of data */
	const char *mode;
	bool is_bad_sum;
	bool is_gnu;
	bool is_sparse; /* one byte at 4000 of 4096, as GNU's first format says it */
};

struct trick {
	const char *what;
	struct entry entries[3];
	const char *manifest; /* "f name size" or "d name", divided by '|' */
	const char *why;      /* NULL: accepted */
	const char *behind;   /* the end of the tar */
};

#define PLAIN                                                                                                          \
	{                                                                                                              \
		.name = "a", .data = "x"                                                                               \
	}

static void raw_header(struct buf *tar, const struct entry *e, const char *name, char type, size_t len)
{
	unsigned char header[BLOCK] = { 0 };
	char *text = (char *)header;
	memcpy(text, name, strlen(name) < 100 ? strlen(name) : 100);
	memcpy(text + 100, e->mode ? e->mode : "0000644", 7);
	memcpy(text + 108, "0000000", 7);
	memcpy(text + 116, "0000000", 7);
	str_format(text + 124, 12, "%011zo", len);
	if (e->size && type != 'x')
		memcpy(text + 124, e->size, 12);
	memcpy(text + 136, "00000000000", 11);
	text[156] = type;
	if (e->link)
		memcpy(text + 157, e->link, strlen(e->link));
	memcpy(text + 257, e->is_gnu ? "ustar  \0" : "ustar\00000", 8);
	if (e->is_sparse) {
		memcpy(text + 386, "00000007640", 11);
		memcpy(text + 398, "00000000001", 11);
		memcpy(text + 483, "00000010000", 11);
	}
	memset(text + 148, ' ', 8);
	unsigned sum = e->is_bad_sum;
	for (size_t i = 0; i < BLOCK; i++)
		sum += header[i];
	str_format(text + 148, 7, "%06o", sum);
	buf_add(tar, header, BLOCK);
}

static void raw_data(struct buf *tar, const char *data, size_t len)
{
	static const char zeros[BLOCK];
	buf_add(tar, data, len);
	buf_add(tar, zeros, (BLOCK - len % BLOCK) % BLOCK);
}

/* "27 path=../escape\n" for each: its own length counts. */
static void raw_pax(struct buf *tar, const struct entry *e)
{
	CLEANUP(buf) struct buf records;
	buf_init(&records, 65536);
	for (const char *at = e->pax; *at;) {
		size_t len = strcspn(at, "|"), all = len + 2, digits = 1;
		for (size_t n = all + digits; n >= 10; n /= 10)
			digits++;
		buf_printf(&records, "%zu %.*s\n", all + digits, (int)len, at);
		at += len + (at[len] == '|');
	}
	raw_header(tar, e, "PaxHeader/a", 'x', records.len);
	raw_data(tar, records.data, records.len);
}

static void raw_tar(struct buf *tar, const struct trick *trick)
{
	static const char end[2 * BLOCK];
	buf_clear(tar);
	for (size_t i = 0; i < ARRAY_LEN(trick->entries) && trick->entries[i].name; i++) {
		const struct entry *e = &trick->entries[i];
		size_t len = e->data ? strlen(e->data) : 0;
		if (e->pax)
			raw_pax(tar, e);
		raw_header(tar, e, e->name, e->type ? e->type : '0', len);
		raw_data(tar, e->data ? e->data : "", len);
	}
	buf_add(tar, end, sizeof end);
	if (trick->behind)
		raw_data(tar, trick->behind, strlen(trick->behind));
}

static void manifest_of(const char *text, struct tarball *expected)
{
	tarball_init(expected);
	for (const char *at = text; *at;) {
		char name[256], kind;
		long long size = 0;
		size_t len = strcspn(at, "|");
		CLEANUP(free_p) char *line = mem_strndup(at, len);
		assert_true(sscanf(line, "%c %255[^\t]\t%lld", &kind, name, &size) >= 2);
		struct tarball_member *member = tarball_member_add(expected, name);
		member->is_folder = kind == 'd';
		member->mode = 0644;
		member->size = size;
		at += len + (at[len] == '|');
	}
}

struct reading {
	const struct buf *tar;
	size_t at;
};

/* In small, odd pieces: borders fall everywhere. */
static bool reading_source(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct reading *r = arg;
	size_t left = r->tar->len - r->at;
	(void)err;
	*len = left < size ? left : size;
	if (*len > 333)
		*len = 333;
	memcpy(data, r->tar->data + r->at, *len);
	r->at += *len;
	return true;
}

static const struct trick tricks[] = {
	{ "an ordinary one", { PLAIN }, "f a\t1", NULL, NULL },
	{ "an absolute name", { { .name = "/a", .data = "x" } }, "f a\t1", "clean relative path", NULL },
	{ "a name that leads out", { { .name = "b/../../a", .data = "x" } }, "f a\t1", "clean relative path", NULL },
	{ "it is in the manifest, too", { { .name = "../a", .data = "x" } }, "f ../a\t1", "clean relative path", NULL },
	{ "no name", { { .name = "", .data = "x" } }, "f a\t1", "", NULL },
	{ "a slash for a name", { { .name = "/", .type = '5' } }, "d a", "clean relative path", NULL },
	{ "a line feed in a name", { { .name = "a\nb", .data = "x" } }, "f a\nb\t1", "clean relative path", NULL },
	{ "another case", { { .name = "A", .data = "x" } }, "f a\t1", "not in the manifest", NULL },
	{ "a backslash is a letter", { { .name = "..\\a", .data = "x" } }, "f ..\\a\t1", NULL, NULL },

	{ "a symbolic link", { { .name = "a", .type = '2', .link = "/etc/passwd" } }, "f a\t0", "symbolic link", NULL },
	{ "a hard link", { { .name = "a", .type = '1', .link = "/etc/passwd" } }, "f a\t0", "hard link", NULL },
	{ "a hard link with content",
	  { { .name = "a", .type = '1', .link = "/etc/passwd", .data = "x" } },
	  "f a\t1",
	  "hard link",
	  NULL },
	{ "a link, then through it",
	  { { .name = "d", .type = '2', .link = "/tmp" }, { .name = "d/a", .data = "x" } },
	  "d d|f d/a\t1",
	  "symbolic link",
	  NULL },
	{ "a link by an extended header",
	  { { .name = "a", .type = '2', .pax = "linkpath=/etc/passwd" } },
	  "f a\t0",
	  "symbolic link",
	  NULL },
	{ "a link by GNU's long name",
	  { { .name = "././@LongLink", .type = 'K', .data = "/etc/passwd", .is_gnu = true },
	    { .name = "a", .type = '2', .is_gnu = true } },
	  "f a\t0",
	  "symbolic link",
	  NULL },
	{ "a device of characters", { { .name = "a", .type = '3' } }, "f a\t0", "neither a file nor a folder", NULL },
	{ "a device of blocks", { { .name = "a", .type = '4' } }, "f a\t0", "neither a file nor a folder", NULL },
	{ "a pipe", { { .name = "a", .type = '6' } }, "f a\t0", "neither a file nor a folder", NULL },

	{ "holes, as GNU wrote them once",
	  { { .name = "a", .type = 'S', .data = "x", .is_gnu = true, .is_sparse = true } },
	  "f a\t4096",
	  "has holes",
	  NULL },
	{ "holes (0.1)",
	  { { .name = "a", .data = "x", .pax = "GNU.sparse.map=4000,1|GNU.sparse.size=4096" } },
	  "f a\t4096",
	  "has holes",
	  NULL },
	{ "holes (1.0)",
	  { { .name = "a",
	      .data = "1\n4000\n1\n",
	      .pax = "GNU.sparse.major=1|GNU.sparse.minor=0|GNU.sparse.name=a|GNU.sparse.realsize=4096" } },
	  "f a\t4096",
	  "",
	  NULL },
	{ "an attribute",
	  { { .name = "a", .data = "x", .pax = "SCHILY.xattr.user.x=1" } },
	  "f a\t1",
	  "extended attributes",
	  NULL },
	{ "an attribute in base64",
	  { { .name = "a", .data = "x", .pax = "LIBARCHIVE.xattr.security.capability=MQ" } },
	  "f a\t1",
	  "extended attributes",
	  NULL },
	{ "an access list",
	  { { .name = "a", .data = "x", .pax = "SCHILY.acl.access=user::rwx,user:lisa:rwx,group::r-x,other::r-x" } },
	  "f a\t1",
	  "extended attributes",
	  NULL },
	{ "flags",
	  { { .name = "a", .data = "x", .pax = "SCHILY.fflags=schg" } },
	  "f a\t1",
	  "extended attributes",
	  NULL },

	{ "the same file twice", { PLAIN, PLAIN }, "f a\t1|f a\t1", "is there twice", NULL },
	{ "the same folder twice",
	  { { .name = "a/", .type = '5' }, { .name = "a/", .type = '5' } },
	  "d a|d a",
	  "is there twice",
	  NULL },
	{ "a file below a file", { PLAIN, { .name = "a/b", .data = "x" } }, "f a\t1|f a/b\t1", "below a file", NULL },
	{ "a file where a folder is",
	  { { .name = "a/b", .data = "x" }, PLAIN },
	  "f a/b\t1|f a\t1",
	  "is there twice",
	  NULL },
	{ "a folder where a file is", { PLAIN, { .name = "a", .type = '5' } }, "f a\t1|d a", "is there twice", NULL },
	{ "another order",
	  { { .name = "b", .data = "x" }, PLAIN },
	  "f a\t1|f b\t1",
	  "b, which is not in the manifest",
	  NULL },
	{ "one more", { PLAIN, { .name = "b", .data = "x" } }, "f a\t1", "b, which is not in the manifest", NULL },
	{ "a forked resource", { { .name = "._a", .data = "x" }, PLAIN }, "f a\t1", "._a, which is not in", NULL },
	{ "one less", { PLAIN }, "f a\t1|f b\t1", "ends after 1 of 2 members", NULL },
	{ "none at all", { { .name = NULL } }, "f a\t1", "", NULL },

	{ "more bytes", { { .name = "a", .data = "xy" } }, "f a\t1", "another size", NULL },
	{ "fewer bytes", { PLAIN }, "f a\t2", "another size", NULL },
	{ "a larger size by an extended header",
	  { { .name = "a", .data = "x", .pax = "size=2" } },
	  "f a\t1",
	  "another size",
	  NULL },
	{ "a size that swallows what follows",
	  { { .name = "a", .data = "x", .pax = "size=2000" }, { .name = "b", .data = "x" } },
	  "f a\t2000|f b\t1",
	  "",
	  NULL },
	{ "a negative size by an extended header",
	  { { .name = "a", .data = "x", .pax = "size=-1" } },
	  "f a\t1",
	  "",
	  NULL },
	{ "a size past 64 bits",
	  { { .name = "a", .data = "x", .pax = "size=99999999999999999999" } },
	  "f a\t1",
	  "",
	  NULL },
	{ "the largest octal size",
	  { { .name = "a", .data = "x", .size = "77777777777" } },
	  "f a\t8589934591",
	  "",
	  NULL },
	{ "the largest binary size",
	  { { .name = "a", .data = "x", .size = "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff" } },
	  "f a\t9223372036854775807",
	  "",
	  NULL },
	{ "a negative binary size",
	  { { .name = "a", .data = "x", .size = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" } },
	  "f a\t1",
	  "",
	  NULL },
	{ "a size that is no number", { { .name = "a", .data = "x", .size = "zzzzzzzzzzz" } }, "f a\t1", "", NULL },
	{ "a sum that is wrong", { { .name = "a", .data = "x", .is_bad_sum = true } }, "f a\t1", "", NULL },

	{ "another name by an extended header",
	  { { .name = "a", .data = "x", .pax = "path=../escape" } },
	  "f a\t1",
	  "clean relative path",
	  NULL },
	{ "a global header with a name",
	  { { .name = "g", .type = 'g', .data = "18 path=../escape\n" }, PLAIN },
	  "f a\t1",
	  NULL,
	  NULL },
	{ "another name by GNU's long name",
	  { { .name = "././@LongLink", .type = 'L', .data = "../escape", .is_gnu = true },
	    { .name = "a", .data = "x", .is_gnu = true } },
	  "f a\t1",
	  "clean relative path",
	  NULL },
	{ "an extended header of 8 GiB",
	  { { .name = "h", .type = 'x', .data = "x", .size = "77777777777" }, PLAIN },
	  "f a\t1",
	  "",
	  NULL },
	{ "an extended header that is none",
	  { { .name = "h", .type = 'x', .data = "999999 path=b\n" }, PLAIN },
	  "f a\t1",
	  "",
	  NULL },
	{ "the name of a volume", { { .name = "v", .type = 'V' }, PLAIN }, "f a\t1", NULL, NULL },
	{ "a part of several volumes", { { .name = "a", .type = 'M', .data = "x" } }, "f a\t1", "", NULL },
	{ "somebody who becomes root", { { .name = "a", .data = "x", .mode = "0006777" } }, "f a\t1", NULL, NULL },
	{ "something behind the end", { PLAIN }, "f a\t1", "behind its end", "more" },
};

static int only_plain_things(int root, const char *path)
{
	struct stat st;
	return !beneath_stat(root, path, &st) || S_ISDIR(st.st_mode) ||
	       (S_ISREG(st.st_mode) && st.st_nlink == 1 && (st.st_mode & 07777 & ~0644) == 0);
}

/* Says what went otherwise. */
static bool try_trick(const struct trick *trick)
{
	char *folder = folder_make();
	folder_mkdir(folder, "into");
	CLEANUP(free_p) char *into = folder_path(folder, "into");
	CLEANUP(close_fd) int root = beneath_root(into);
	CLEANUP(tarball) struct tarball expected;
	CLEANUP(buf) struct buf tar;
	buf_init(&tar, 1024 * 1024);
	manifest_of(trick->manifest, &expected);
	raw_tar(&tar, trick);
	struct reading reading = { &tar, 0 };
	struct error err = { .message = "" };
	bool ok = tarball_unpack(&(const struct tarball_source){ .read = reading_source, .arg = &reading }, &expected,
				 root, &err);
	bool is_right = trick->why ? !ok && err.kind == ERR_DAMAGED && strstr(err.message, trick->why) : ok;
	if (!is_right)
		print_error("%s: expected %s, got %d \"%s\"\n", trick->what, trick->why ? trick->why : "no error",
			    ok ? 0 : (int)err.kind, ok ? "accepted" : err.message);
	assert_int_equal(folder_count(folder), folder_count(into));
	for (size_t i = 0; i < expected.count; i++)
		if (!only_plain_things(root, expected.members[i].path))
			fail_msg("%s: left something that is no plain file", trick->what);
	folder_remove(folder);
	return is_right;
}

static void test_tricks(void **state)
{
	(void)state;
	size_t wrong = 0;
	for (size_t i = 0; i < ARRAY_LEN(tricks); i++)
		wrong += !try_trick(&tricks[i]);
	assert_int_equal(wrong, 0);
}

/* A NUL ends a name in an extended header for the reader; what is before it must be the manifest's. */
static void test_a_nul_in_a_name(void **state)
{
	(void)state;
	static const char record[] = "15 path=b\0xyz\n";
	struct trick trick = {
		"a NUL", { { .name = "a", .data = "x", .pax = "path=b.xyz" } }, "f a\t1", "not in", NULL
	};
	CLEANUP(buf) struct buf tar;
	CLEANUP(tarball) struct tarball expected;
	buf_init(&tar, 65536);
	raw_tar(&tar, &trick);
	memcpy(tar.data + BLOCK, record, sizeof record - 1);
	manifest_of("f a\t1", &expected);
	char *folder = folder_make();
	CLEANUP(close_fd) int root = beneath_root(folder);
	struct reading reading = { &tar, 0 };
	struct error err = { .message = "" };
	assert_false(tarball_unpack(&(const struct tarball_source){ .read = reading_source, .arg = &reading },
				    &expected, root, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
	folder_remove(folder);
}

static void test_too_many(void **state)
{
	(void)state;
	CLEANUP(tarball) struct tarball expected;
	CLEANUP(buf) struct buf tar;
	buf_init(&tar, 65536);
	raw_tar(&tar, &tricks[0]);
	tarball_init(&expected);
	for (int i = 0; i <= TARBALL_MEMBERS_MAX; i++)
		tarball_member_add(&expected, "a");
	char *folder = folder_make();
	CLEANUP(close_fd) int root = beneath_root(folder);
	struct reading reading = { &tar, 0 };
	struct error err;
	assert_false(tarball_unpack(&(const struct tarball_source){ .read = reading_source, .arg = &reading },
				    &expected, root, &err));
	assert_int_equal(err.kind, ERR_DAMAGED);
	assert_int_equal(reading.at, 0);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tricks),
		cmocka_unit_test(test_a_nul_in_a_name),
		cmocka_unit_test(test_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
