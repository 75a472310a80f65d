#include "lib/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cleanup.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

bool beneath_is_path(const char *path)
{
	size_t len = strlen(path);
	if (len == 0 || len > BENEATH_PATH_MAX)
		return false;
	int depth = 0;
	for (const char *part = path;; part++) {
		size_t size = strcspn(part, "/");
		if (size == 0 || size > NAME_MAX || ++depth > BENEATH_DEPTH_MAX)
			return false;
		if (part[0] == '.' && (size == 1 || (size == 2 && part[1] == '.')))
			return false;
		for (size_t i = 0; i < size; i++)
			if ((unsigned char)part[i] < ' ' || part[i] == 0x7f)
				return false;
		part += size;
		if (!*part)
			return true;
	}
}

const char *beneath_below(const char *folder, const char *path)
{
	size_t len = strlen(folder);
	bool is_below = strncmp(path, folder, len) == 0 && path[len] == '/' && beneath_is_path(path + len + 1);
	return is_below ? path + len + 1 : NULL;
}

int beneath_root(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int beneath_step(int at, const char *name, bool make, bool durable)
{
	int fd = openat(at, name, FOLDER_FLAGS);
	if (fd >= 0 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(at, name, 0777) < 0 && errno != EEXIST)
		return -1;
	if (durable && fsync(at) < 0)
		return -1;
	return openat(at, name, FOLDER_FLAGS);
}

static int beneath_walk(int root, const char *path, const char **name, bool make, bool durable)
{
	if (!beneath_is_path(path)) {
		errno = EINVAL;
		return -1;
	}
	int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
	while (at >= 0) {
		const char *end = strchr(path, '/');
		if (!end) {
			*name = path;
			return at;
		}
		char part[NAME_MAX + 1];
		memcpy(part, path, (size_t)(end - path));
		part[end - path] = '\0';
		int next = beneath_step(at, part, make, durable);
		int saved = errno;
		close(at);
		errno = saved;
		at = next;
		path = end + 1;
	}
	return -1;
}

int beneath_parent(int root, const char *path, const char **name)
{
	return beneath_walk(root, path, name, false, false);
}

int beneath_parent_make(int root, const char *path, const char **name, bool durable)
{
	return beneath_walk(root, path, name, true, durable);
}

int beneath_open(int root, const char *path, int flags, mode_t mode)
{
	const char *name;
	CLEANUP(close_fd) int at = beneath_parent(root, path, &name);
	if (at < 0)
		return -1;
	return openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

bool beneath_stat(int root, const char *path, struct stat *st)
{
	const char *name;
	CLEANUP(close_fd) int at = beneath_parent(root, path, &name);
	return at >= 0 && fstatat(at, name, st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A folder that is to be emptied, whatever its own mode forbids. */
static DIR *beneath_enter(int at, const char *name)
{
	struct stat st;
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0700) != 0700)
		(void)!fchmodat(at, name, 0700, AT_SYMLINK_NOFOLLOW);
	int fd = openat(at, name, FOLDER_FLAGS);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir && fd >= 0)
		close(fd);
	return dir;
}

/* Depth is bounded by the caller's recursion: folders made deeper than any path of ours are an error. */
static bool beneath_remove_at(int at, const char *name, int depth)
{
	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return true;
	if (errno != EISDIR && errno != EPERM)
		return false;
	if (depth > BENEATH_DEPTH_MAX) {
		errno = ELOOP;
		return false;
	}
	DIR *dir = beneath_enter(at, name);
	if (!dir)
		return false;
	bool ok = true;
	struct dirent *entry;
	while (ok && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			ok = beneath_remove_at(dirfd(dir), entry->d_name, depth + 1);
	int saved = errno;
	closedir(dir);
	errno = saved;
	return ok && (unlinkat(at, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

bool beneath_remove(int root, const char *path)
{
	const char *name;
	CLEANUP(close_fd) int at = beneath_parent(root, path, &name);
	if (at < 0)
		return errno == ENOENT;
	return beneath_remove_at(at, name, 0);
}
