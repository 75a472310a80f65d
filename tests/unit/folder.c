#include "tests/unit/folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/buf.h"

enum { FOLDER_NOBODY = 65534 };

char *folder_make(void)
{
	const char *top = getenv("TMPDIR");
	char *folder = mem_printf("%s/stoker-test-XXXXXX", top ? top : "/tmp");
	assert_non_null(mkdtemp(folder));
	return folder;
}

/* A folder that may not be written to, which is what some tests make, cannot be emptied except by root. */
static int folder_open_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	return type == FTW_D ? chmod(path, 0700) : 0;
}

static int folder_remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void folder_remove(char *folder)
{
	assert_int_equal(nftw(folder, folder_open_entry, 16, FTW_PHYS), 0);
	assert_int_equal(nftw(folder, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(folder);
}

char *folder_path(const char *folder, const char *name)
{
	return mem_printf("%s/%s", folder, name);
}

static char *folder_path_make(const char *folder, const char *name)
{
	char *path = folder_path(folder, name);
	for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0777);
		*slash = '/';
	}
	return path;
}

void folder_write(const char *folder, const char *name, const void *data, size_t len)
{
	CLEANUP(free_p) char *path = folder_path_make(folder, name);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
}

void folder_text(const char *folder, const char *name, const char *text)
{
	folder_write(folder, name, text, strlen(text));
}

void folder_put(const char *folder, const char *name, const void *data, size_t len)
{
	CLEANUP(free_p) char *temp = mem_printf("%s.tmp", name);
	folder_write(folder, temp, data, len);
	CLEANUP(free_p) char *from = folder_path(folder, temp);
	CLEANUP(free_p) char *to = folder_path(folder, name);
	assert_int_equal(rename(from, to), 0);
}

void folder_mkdir(const char *folder, const char *name)
{
	CLEANUP(free_p) char *path = folder_path_make(folder, name);
	assert_int_equal(mkdir(path, 0777), 0);
}

void folder_chmod(const char *folder, const char *name, mode_t mode)
{
	CLEANUP(free_p) char *path = folder_path(folder, name);
	assert_int_equal(chmod(path, mode), 0);
}

mode_t folder_mode(const char *folder, const char *name)
{
	struct stat st;
	CLEANUP(free_p) char *path = folder_path(folder, name);
	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static int folder_give_away_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return lchown(path, FOLDER_NOBODY, FOLDER_NOBODY);
}

void folder_give_away(const char *folder)
{
	if (geteuid() == 0)
		assert_int_equal(nftw(folder, folder_give_away_entry, 16, FTW_PHYS), 0);
}

uid_t folder_be_nobody(void)
{
	uid_t me = geteuid();
	if (me == 0) {
		assert_int_equal(seteuid(FOLDER_NOBODY), 0);
		assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0); /* whose /proc/self is follows from that */
	}
	return me;
}

int folder_has(const char *folder, const char *name)
{
	CLEANUP(free_p) char *path = folder_path(folder, name);
	return access(path, F_OK) == 0;
}

char *folder_read(const char *folder, const char *name, size_t *len)
{
	CLEANUP(free_p) char *path = folder_path(folder, name);
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("cannot open %s", path);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	char *data = mem_alloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
	if (len)
		*len = (size_t)st.st_size;
	return data;
}

static size_t folder_counted; /* nftw hands no argument on */

static int folder_count_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)st;
	(void)at;
	folder_counted += type == FTW_F;
	return 0;
}

size_t folder_count(const char *folder)
{
	folder_counted = 0;
	assert_int_equal(nftw(folder, folder_count_entry, 16, FTW_PHYS), 0);
	return folder_counted;
}

unsigned char *safetensors_make(const char *name, size_t elements, const char *metadata, size_t *len)
{
	char header[512];
	int used = snprintf(header, sizeof header,
			    "{%s%s%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}",
			    metadata ? "\"__metadata__\":" : "", metadata ? metadata : "", metadata ? "," : "", name,
			    elements, elements * 4);
	assert_true(used > 0 && (size_t)used < sizeof header);
	*len = 8 + (size_t)used + elements * 4;
	unsigned char *bytes = mem_alloc(*len);
	bytes[0] = (unsigned char)(used & 255);
	bytes[1] = (unsigned char)(used >> 8);
	memcpy(bytes + 8, header, (size_t)used);
	uint64_t state = elements + 1;
	for (size_t i = 8 + (size_t)used; i < *len; i++)
		bytes[i] = (unsigned char)(draw(&state) | 1);
	return bytes;
}

uint64_t draw(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	uint64_t z = *state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

bool has_inotify(void)
{
	char name[64], target[64];
	bool found = false;
	for (int fd = 3; fd < 64 && !found; fd++) {
		str_format(name, sizeof name, "/proc/self/fd/%d", fd);
		ssize_t len = readlink(name, target, sizeof target - 1);
		found = len > 0 && strncmp(target, "anon_inode:inotify", 18) == 0;
	}
	return found;
}
