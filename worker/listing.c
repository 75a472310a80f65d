#include "worker/listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"

#define JSON_MAX  (64 * 1024 * 1024)
#define DEPTH_MAX 16

void listing_done(struct listing *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	list->names = NULL;
	list->count = 0;
}

bool listing_read(struct listing *list, int root, const char *path)
{
	*list = (struct listing){ .root = root, .path = path };
	int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	struct dirent *entry;
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		list->names = mem_realloc(list->names, (list->count + 1) * sizeof *list->names);
		list->names[list->count++] = mem_strdup(entry->d_name);
	}
	closedir(dir);
	return true;
}

const char *listing_name(const struct listing *list)
{
	const char *slash = strrchr(list->path, '/');
	return slash ? slash + 1 : list->path;
}

const char *listing_find(const struct listing *list, const char *pattern)
{
	for (size_t i = 0; i < list->count; i++)
		if (fnmatch(pattern, list->names[i], 0) == 0)
			return list->names[i];
	return NULL;
}

char *listing_path(const struct listing *list, const char *name)
{
	return mem_printf("%s/%s", list->path, name);
}

int64_t listing_size(const struct listing *list, const char *name)
{
	CLEANUP(free_p) char *path = listing_path(list, name);
	struct stat st;
	return beneath_stat(list->root, path, &st) && S_ISREG(st.st_mode) ? st.st_size : -1;
}

bool listing_is_folder(const struct listing *list, const char *name)
{
	CLEANUP(free_p) char *path = listing_path(list, name);
	struct stat st;
	return beneath_stat(list->root, path, &st) && S_ISDIR(st.st_mode);
}

static int64_t listing_time(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

int64_t listing_written(const struct listing *list, const char *name)
{
	CLEANUP(free_p) char *path = listing_path(list, name);
	struct stat st;
	return beneath_stat(list->root, path, &st) && S_ISREG(st.st_mode) ? listing_time(&st) : -1;
}

static int64_t listing_newest_at(const struct listing *list, const char *except, int depth)
{
	int64_t newest = -1;
	for (size_t i = 0; i < list->count; i++) {
		CLEANUP(free_p) char *path = listing_path(list, list->names[i]);
		struct stat st;
		int64_t time = -1;
		if (!beneath_stat(list->root, path, &st) || (except && strcmp(list->names[i], except) == 0))
			continue;
		if (S_ISREG(st.st_mode))
			time = listing_time(&st);
		CLEANUP(listing) struct listing below = { .count = 0 };
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX && listing_read(&below, list->root, path))
			time = listing_newest_at(&below, NULL, depth + 1);
		newest = time > newest ? time : newest;
	}
	return newest;
}

int64_t listing_newest(const struct listing *list, const char *except)
{
	return listing_newest_at(list, except, 0);
}

char *listing_path_beside(const struct listing *list, const char *name)
{
	return mem_printf("%.*s%s", (int)(listing_name(list) - list->path), list->path, name);
}

bool listing_line(const struct listing *list, const char *path, char *into, size_t size)
{
	CLEANUP(close_fd) int fd = beneath_open(list->root, path, O_RDONLY | O_NONBLOCK, 0);
	ssize_t got = fd >= 0 ? pread(fd, into, size, 0) : -1;
	if (got <= 0 || (size_t)got == size)
		return false;
	into[got] = '\0';
	size_t len = strcspn(into, "\r\n");
	bool is_all = into[len + strspn(into + len, " \r\n")] == '\0' && strlen(into) == (size_t)got;
	into[len] = '\0';
	return is_all && len > 0;
}

bool listing_is_older_than(const struct listing *list, const char *path)
{
	struct stat st;
	return beneath_stat(list->root, path, &st) && listing_time(&st) >= listing_newest(list, NULL);
}

json_t *listing_json(const struct listing *list, const char *name)
{
	CLEANUP(free_p) char *path = listing_path(list, name);
	CLEANUP(close_fd) int fd = beneath_open(list->root, path, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > JSON_MAX)
		return NULL;
	CLEANUP(free_p) char *text = mem_alloc((size_t)st.st_size + 1);
	if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
		return NULL;
	return json_loadb(text, (size_t)st.st_size, JSON_DECODE_ANY, NULL);
}
