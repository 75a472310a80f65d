#include "worker/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define COPY_BYTES (64 * 1024 * 1024)

static bool place_error(struct error *err, const char *path)
{
	return error_disk(err, "cannot put %s in place", path);
}

static bool place_copy_file(int from, int folder, const char *name, mode_t mode, bool is_synced)
{
	CLEANUP(close_fd) int to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return false;
	ssize_t copied;
	do
		copied = copy_file_range(from, NULL, to, NULL, COPY_BYTES, 0);
	while (copied > 0 || (copied < 0 && errno == EINTR));
	if (copied < 0) { /* not between these file systems: the slow way, from the start */
		char chunk[64 * 1024];
		ssize_t got;
		if (lseek(from, 0, SEEK_SET) < 0 || lseek(to, 0, SEEK_SET) < 0 || ftruncate(to, 0) < 0)
			return false;
		while ((got = read(from, chunk, sizeof chunk)) > 0)
			for (ssize_t at = 0, wrote; at < got; at += wrote)
				if ((wrote = write(to, chunk + at, (size_t)(got - at))) < 0)
					return false;
		if (got < 0)
			return false;
	}
	return fchmod(to, mode & 0777) == 0 && (!is_synced || fsync(to) == 0);
}

static bool place_copy(int from_folder, const char *from_name, int to_folder, const char *to_name, bool is_synced);

static bool place_copy_entries(int from, int to, bool is_synced)
{
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	bool ok = true;
	struct dirent *entry;
	while (ok && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ok = place_copy(dirfd(dir), entry->d_name, to, entry->d_name, is_synced);
	int saved = errno;
	closedir(dir);
	errno = saved;
	return ok;
}

/* The tree was made by our own unpacker: its depth is bounded and it holds files and folders only. */
static bool place_copy(int from_folder, const char *from_name, int to_folder, const char *to_name, bool is_synced)
{
	CLEANUP(close_fd) int from = openat(from_folder, from_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (from < 0 || fstat(from, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode))
		return place_copy_file(from, to_folder, to_name, st.st_mode, is_synced);
	if (mkdirat(to_folder, to_name, 0700) < 0)
		return false;
	CLEANUP(close_fd) int to = openat(to_folder, to_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return false;
	return place_copy_entries(from, to, is_synced) && fchmod(to, st.st_mode & 0777) == 0 &&
	       (!is_synced || fsync(to) == 0);
}

/* A folder gets another "..", which its own mode may forbid: it has that again at its new place. */
static bool place_rename(int from_folder, const char *from_name, int to_folder, const char *to_name)
{
	struct stat st;
	if (renameat(from_folder, from_name, to_folder, to_name) == 0)
		return true;
	if (errno != EACCES || fstatat(from_folder, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode) ||
	    fchmodat(from_folder, from_name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	bool ok = renameat(from_folder, from_name, to_folder, to_name) == 0;
	int why = errno;
	if (fchmodat(ok ? to_folder : from_folder, ok ? to_name : from_name, st.st_mode & 0777, AT_SYMLINK_NOFOLLOW) <
	    0)
		return false;
	errno = why;
	return ok;
}

/* A file is replaced by the rename itself; a folder, or something of another kind, has to go first. */
static bool place_swap(int from_folder, const char *from_name, int to_folder, const char *to_name)
{
	if (place_rename(from_folder, from_name, to_folder, to_name))
		return true;
	if (errno != EEXIST && errno != ENOTEMPTY && errno != EISDIR && errno != ENOTDIR)
		return false;
	return beneath_remove(to_folder, to_name) && place_rename(from_folder, from_name, to_folder, to_name);
}

bool place_move(int from_root, const char *from_path, int to_root, const char *to_path, struct error *err)
{
	const char *from_name, *to_name;
	CLEANUP(close_fd) int from = beneath_parent(from_root, from_path, &from_name);
	CLEANUP(close_fd) int to = beneath_parent_make(to_root, to_path, &to_name, false);
	if (from < 0 || to < 0)
		return place_error(err, to_path);
	bool ok = place_swap(from, from_name, to, to_name);
	if (!ok && errno == EXDEV) {
		static const char hidden[] = ".stoker-restore";
		ok = beneath_remove(to, hidden) && place_copy(from, from_name, to, hidden, true) &&
		     place_swap(to, hidden, to, to_name);
	}
	return (ok && fsync(to) == 0) || place_error(err, to_path);
}

bool place_copy_into(int from, int to, struct error *err)
{
	return place_copy_entries(from, to, false) || place_error(err, "a copy of the code");
}
