#include "worker/blank.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "lib/buf.h"
#include "worker/tree.h"

enum { BLANKS_MAX = 256 };

static const char *const blank_folders[] = { "work", "checkpoints", "output" };
static const char *const blank_files[] = { "lock", "run.json", "pid", "spool.log", "metrics.jsonl" };

static bool blank_is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* How many entries stand in it; -1: it cannot be read. */
static long blank_count(const char *path)
{
	long count = 0;
	DIR *dir = opendir(path);
	if (!dir)
		return -1;
	for (struct dirent *entry; (entry = readdir(dir));)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return count;
}

/* A folder of ours, as it was made: no link, not somebody else's, not made open to others; and empty now. */
static bool blank_folder(int at, const char *folder, const char *name)
{
	struct stat st;
	CLEANUP(free_p) char *path = mem_printf("%s/%s", folder, name);
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) || (st.st_mode & 07777) != 0700 ||
	    st.st_uid != geteuid())
		return false;
	tree_empty(path);
	return blank_count(path) == 0;
}

/* Likewise a file, which keeps nothing. A second name of it may stand anywhere: then its bytes are not ours to drop. */
static bool blank_file(int at, const char *name)
{
	struct stat st;
	CLEANUP(close_fd) int fd = openat(at, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 &&
	       (st.st_mode & 07777) == 0600 && st.st_uid == geteuid() && ftruncate(fd, 0) == 0;
}

/* What a run made beside the usual: a lease, a restored checkpoint. */
static bool blank_remove_others(const char *folder)
{
	bool ok = true;
	DIR *dir = opendir(folder);
	if (!dir)
		return false;
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *name = entry->d_name;
		CLEANUP(free_p) char *path = mem_printf("%s/%s", folder, name);
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    blank_is_one_of(name, blank_folders, ARRAY_LEN(blank_folders)) ||
		    blank_is_one_of(name, blank_files, ARRAY_LEN(blank_files)))
			continue;
		ok = tree_remove(path) && ok;
	}
	closedir(dir);
	return ok;
}

/* Its runner may not have ended yet, though it has said everything. Once it has, nobody takes its lock again: ours must
 * be gone before the next run finds the folder. */
static bool blank_is_left(int at)
{
	CLEANUP(close_fd) int lock = openat(at, "lock", O_RDWR | O_CLOEXEC);
	return lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0;
}

bool blank_make(const char *state_dir, const char *folder)
{
	CLEANUP(free_p) char *blanks = mem_printf("%s/blank", state_dir);
	CLEANUP(free_p) char *to = mem_printf("%s%s", blanks, strrchr(folder, '/'));
	CLEANUP(close_fd) int at = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	long there = blank_count(blanks);
	bool ok = at >= 0 && there >= 0 && there < BLANKS_MAX && blank_remove_others(folder);
	for (size_t i = 0; i < ARRAY_LEN(blank_folders) && ok; i++)
		ok = blank_folder(at, folder, blank_folders[i]);
	for (size_t i = 0; i < ARRAY_LEN(blank_files) && ok; i++)
		ok = blank_file(at, blank_files[i]);
	return ok && blank_is_left(at) && rename(folder, to) == 0;
}

bool blank_take(const char *state_dir, const char *path)
{
	CLEANUP(free_p) char *blanks = mem_printf("%s/blank", state_dir);
	bool taken = false;
	DIR *dir = opendir(blanks);
	for (struct dirent *entry; dir && !taken && (entry = readdir(dir));) {
		CLEANUP(free_p) char *from = mem_printf("%s/%s", blanks, entry->d_name);
		taken = entry->d_name[0] != '.' && rename(from, path) == 0;
	}
	if (dir)
		closedir(dir);
	return taken;
}
