#include "worker/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/log.h"

#define PART_PREFIX ".part-"

enum { ROOM_LEFT = 10 /* this part of the file system stays free */, LOOK_BYTES = 64 << 20 };

struct cache_put {
	const struct cache *cache;
	char *part; /* path of what is being written */
	int fd;     /* locked; -1: it failed */
	int64_t written, most;
	int64_t looked; /* at the room, when so much was written */
};

static char *cache_path(const struct cache *cache, const char *name)
{
	return mem_printf("%s/%s", cache->folder, name);
}

bool cache_make(const struct cache *cache)
{
	return cache->folder && cache->most_bytes > 0 && (mkdir(cache->folder, 0700) == 0 || errno == EEXIST);
}

int cache_open(const struct cache *cache, const char *hash)
{
	if (!cache->folder || !hash || !digest_is_hex(hash))
		return -1;
	CLEANUP(free_p) char *path = cache_path(cache, hash);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0)
		(void)!futimens(fd, NULL); /* used now: it goes last */
	return fd;
}

char *cache_text(const struct cache *cache, const char *hash, size_t max, size_t *len)
{
	CLEANUP(close_fd) int fd = cache_open(cache, hash);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < 0 || (size_t)st.st_size > max)
		return NULL;
	char *text = mem_alloc((size_t)st.st_size + 1);
	*len = 0;
	ssize_t got;
	while (*len < (size_t)st.st_size && (got = read(fd, text + *len, (size_t)st.st_size - *len)) > 0)
		*len += (size_t)got;
	return text;
}

void cache_forget(const struct cache *cache, const char *hash)
{
	CLEANUP(free_p) char *path = cache_path(cache, hash);
	unlink(path);
}

/* ---- room ---- */

struct cache_file {
	char name[DIGEST_HEX + 1];
	int64_t size;
	time_t used_s;
};

static int cache_oldest_first(const void *a, const void *b)
{
	const struct cache_file *x = a, *y = b;
	return (x->used_s > y->used_s) - (x->used_s < y->used_s);
}

/* Nobody holds its lock: it was left by a writer that died. One that has just made it finds it gone, and gives up. */
static bool cache_is_dead(int folder, const char *part)
{
	CLEANUP(close_fd) int fd = openat(folder, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* What is in it, and what dead writers left goes on the way. */
static struct cache_file *cache_look(DIR *dir, size_t *count, int64_t *bytes)
{
	struct cache_file *files = NULL;
	struct dirent *entry;
	*count = 0;
	*bytes = 0;
	while ((entry = readdir(dir))) {
		struct stat st;
		if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (strncmp(entry->d_name, PART_PREFIX, strlen(PART_PREFIX)) == 0) {
			if (cache_is_dead(dirfd(dir), entry->d_name))
				unlinkat(dirfd(dir), entry->d_name, 0);
			else
				*bytes += st.st_size;
			continue;
		}
		if (!digest_is_hex(entry->d_name))
			continue;
		files = mem_realloc(files, (*count + 1) * sizeof *files);
		struct cache_file *file = &files[(*count)++];
		*file = (struct cache_file){ .size = st.st_size, .used_s = st.st_mtime };
		str_copy(file->name, sizeof file->name, entry->d_name);
		*bytes += st.st_size;
	}
	return files;
}

static int64_t cache_piece(int64_t left)
{
	return left < 0 ? 0 : left < LOOK_BYTES ? left : LOOK_BYTES;
}

/* Makes room for so many bytes more; false: there is none. Nothing goes if `most`, what will be asked for from now on,
 * could not have it in the end. Never takes the last tenth of the file system. */
static bool cache_make_room(const struct cache *cache, int64_t size, int64_t most)
{
	struct statvfs fs;
	most = most > size ? most : size;
	if (most > cache->most_bytes || statvfs(cache->folder, &fs) < 0)
		return false;
	int64_t free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	int64_t spare = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize / ROOM_LEFT;
	DIR *dir = opendir(cache->folder);
	if (!dir)
		return false;
	size_t count;
	int64_t bytes;
	struct cache_file *files = cache_look(dir, &count, &bytes);
	if (count)
		qsort(files, count, sizeof *files, cache_oldest_first);
	int64_t all = 0; /* what can go */
	for (size_t i = 0; i < count; i++)
		all += files[i].size;
	bool is_of_use = bytes - all + most <= cache->most_bytes && free_bytes + all - most >= spare;
	for (size_t i = 0; i < count && is_of_use && (bytes + size > cache->most_bytes || free_bytes - size < spare);
	     i++) {
		unlinkat(dirfd(dir), files[i].name, 0);
		bytes -= files[i].size;
		free_bytes += files[i].size;
	}
	closedir(dir);
	free(files);
	return is_of_use && bytes + size <= cache->most_bytes && free_bytes - size >= spare;
}

void cache_give_way(const struct cache *cache, int64_t bytes)
{
	size_t count;
	int64_t all;
	DIR *dir = cache->folder ? opendir(cache->folder) : NULL;
	if (!dir)
		return;
	CLEANUP(free_p) struct cache_file *files = cache_look(dir, &count, &all);
	if (count)
		qsort(files, count, sizeof *files, cache_oldest_first);
	for (size_t i = 0; i < count && bytes > 0; i++)
		if (unlinkat(dirfd(dir), files[i].name, 0) == 0)
			bytes -= files[i].size;
	closedir(dir);
}

/* ---- writing ---- */

/* Then there is no cache of this one. */
static void cache_give_up(struct cache_put *put, const char *why)
{
	log_debug("a checkpoint is not cached", "path=%s why=\"%s\"", put->part, why);
	close(put->fd);
	put->fd = -1;
}

void cache_tidy(const struct cache *cache)
{
	if (cache_make(cache))
		(void)!cache_make_room(cache, 0, 0);
}

struct cache_put *cache_begin(const struct cache *cache, int64_t most)
{
	uint64_t noise;
	if (!cache_make(cache) || !cache_make_room(cache, cache_piece(most), most) ||
	    getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
		return NULL;
	struct cache_put *put = mem_alloc(sizeof *put);
	put->cache = cache;
	put->part = mem_printf("%s/" PART_PREFIX "%016llx", cache->folder, (unsigned long long)noise);
	put->most = most;
	put->fd = open(put->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (put->fd >= 0 && flock(put->fd, LOCK_EX | LOCK_NB) < 0)
		cache_give_up(put, "it was taken for a dead one");
	return put;
}

void cache_write(struct cache_put *put, const void *data, size_t len)
{
	const char *at = data;
	while (put && put->fd >= 0 && len > 0) {
		ssize_t written = write(put->fd, at, len);
		if (written < 0) {
			cache_give_up(put, strerror(errno));
			return;
		}
		at += written;
		len -= (size_t)written;
		put->written += written;
	}
	/* It may become smaller than it could be, and the disk is not only ours. */
	if (!put || put->fd < 0 || put->written - put->looked < LOOK_BYTES)
		return;
	put->looked = put->written;
	if (!cache_make_room(put->cache, cache_piece(put->most - put->written), put->most - put->written))
		cache_give_up(put, "there is no room");
}

void cache_keep(struct cache_put *put, const char *hash)
{
	if (!put)
		return;
	bool ok = hash && put->fd >= 0;
	CLEANUP(close_fd) int fd = put->fd; /* its lock is held until it has its name */
	CLEANUP(free_p) char *path = ok ? cache_path(put->cache, hash) : NULL;
	if (!ok || put->written > put->cache->most_bytes || rename(put->part, path) < 0)
		unlink(put->part);
	else
		(void)!cache_make_room(put->cache, 0, 0);
	free(put->part);
	free(put);
}

void cache_keep_text(const struct cache *cache, const char *hash, const char *text, size_t len)
{
	struct cache_put *put = cache_begin(cache, (int64_t)len);
	cache_write(put, text, len);
	cache_keep(put, hash);
}
