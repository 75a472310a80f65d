/*
 * file:///folder: objects are files. A put is a hidden temporary file beside its place,
 * synced, renamed, and its folder synced; so what a crash leaves has a name that no
 * key can have. No link below the root is followed (lib/beneath.h).
 */
#include "lib/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/store_mount.h"

#define TEMP_PREFIX     ".put-"
#define FILE_URL_PREFIX "file://"

struct file_store {
	struct store base;
	int root;
};

struct file_put {
	struct store_put base;
	char *key;
	const char *name; /* last part of key */
	char temp[32];
	int folder; /* holds both names */
	int fd;
};

struct file_get {
	struct store_get base;
	char *key;
	int fd;
	int64_t left; /* that the reader has not had */
};

static struct file_store *file_store_of(struct store *store)
{
	return (struct file_store *)store;
}

/* A full disk is worth another word than one that cannot be reached: somebody must make room. */
static bool file_error(struct error *err, const struct store *store, const char *what, const char *key)
{
	bool is_full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
	return error_errno(err, is_full ? ERR_FULL : ERR_UNAVAILABLE, is_full ? "make room in the store" : NULL,
			   "store %s: cannot %s %s", store->url, what, key);
}

static void file_close(struct store *store)
{
	close(file_store_of(store)->root);
	free(store->url);
	free(store);
}

static char *file_folder(const char *url)
{
	const char *path = url + strlen(FILE_URL_PREFIX);
	size_t len = strlen(path);
	while (len > 0 && path[len - 1] == '/')
		len--;
	return path[0] == '/' && len > 0 ? mem_strndup(path, len) : NULL;
}

static void file_remember(const char *url)
{
	CLEANUP(free_p) char *folder = file_folder(url);
	if (folder)
		store_mount_remember(folder);
}

static void file_expect(const char *url, const char *installation, bool is_marked)
{
	CLEANUP(free_p) char *folder = file_folder(url);
	if (folder)
		store_mount_expect(folder, installation, is_marked);
}

static bool file_is_marked(const char *url)
{
	CLEANUP(free_p) char *folder = file_folder(url);
	return folder && store_mount_is_marked(folder);
}

/* False with errno. What is in it is worth no more than its name, so that one is on disk, too. */
static bool file_make_root(const char *folder)
{
	CLEANUP(free_p) char *above = mem_strdup(folder);
	char *slash = strrchr(above, '/');
	slash[slash == above] = '\0';
	if (mkdir(folder, 0777) < 0)
		return errno == EEXIST;
	CLEANUP(close_fd) int fd = beneath_root(above);
	if (fd >= 0 && fsync(fd) == 0)
		return true;
	int saved = errno;
	rmdir(folder); /* so that the next one tries it again */
	errno = saved;
	return false;
}

/* The root itself is made if only its last part is missing: more would hide that something is not mounted. */
static bool file_open(const char *url, struct store **store, struct error *err)
{
	CLEANUP(free_p) char *folder = file_folder(url);
	if (!folder)
		return error_set(err, ERR_INPUT, "for example file:///var/lib/stoker/store",
				 "store %s: expected file:///folder with an absolute path", url);
	if (!store_mount_check(folder, err))
		return false;
	if (!file_make_root(folder))
		return error_errno(err, ERR_UNAVAILABLE, "the folder above it must exist",
				   "store %s: cannot make the folder", url);
	int root = beneath_root(folder);
	if (root < 0)
		return error_errno(err, ERR_UNAVAILABLE, NULL, "store %s: cannot open the folder", url);
	if (!store_mount_check_mark(folder, root, err)) {
		close(root);
		return false;
	}
	struct file_store *file = mem_alloc(sizeof *file);
	*file = (struct file_store){ .base.scheme = &store_file,
				     .base.url = mem_printf(FILE_URL_PREFIX "%s", folder),
				     .root = root };
	*store = &file->base;
	return true;
}

static void file_put_free(struct file_put *put)
{
	if (put->fd >= 0)
		close(put->fd);
	if (put->folder >= 0)
		close(put->folder);
	free(put->key);
	free(put);
}

/* A remover may take away a folder between our making it and our file in it: then it is made again. */
static bool file_put_create(struct file_put *put)
{
	uint64_t noise;
	if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise ||
	    !str_format(put->temp, sizeof put->temp, TEMP_PREFIX "%016llx", (unsigned long long)noise))
		return false;
	for (int tries = 0; tries < 10; tries++) {
		put->folder = beneath_parent_make(file_store_of(put->base.store)->root, put->key, &put->name, true);
		if (put->folder >= 0)
			put->fd = openat(put->folder, put->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
					 0666);
		if (put->fd >= 0)
			return true;
		if (errno != ENOENT)
			return false;
		if (put->folder >= 0)
			close(put->folder);
		put->folder = -1;
	}
	return false;
}

static bool file_begin(struct store *store, const char *key, struct store_put **put, struct error *err)
{
	struct file_put *file = mem_alloc(sizeof *file);
	*file = (struct file_put){ .base.store = store, .key = mem_strdup(key), .folder = -1, .fd = -1 };
	const char *folder = store->url + strlen(FILE_URL_PREFIX);
	if (!store_mount_mark(folder, file_store_of(store)->root) || !file_put_create(file)) {
		file_error(err, store, "write", key);
		file_put_free(file);
		return false;
	}
	*put = &file->base;
	return true;
}

static bool file_write(struct store_put *put, const void *data, size_t len, struct error *err)
{
	struct file_put *file = (struct file_put *)put;
	const char *from = data;
	while (len > 0) {
		ssize_t wrote = write(file->fd, from, len);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return file_error(err, put->store, "write", file->key);
		from += wrote;
		len -= (size_t)wrote;
	}
	return true;
}

static void file_abort(struct store_put *put)
{
	struct file_put *file = (struct file_put *)put;
	unlinkat(file->folder, file->temp, 0);
	file_put_free(file);
}

/* A name beside the temporary one takes no other's place. Where a file system has no such links, only looking is left.
 */
static bool file_put_place(const struct file_put *file)
{
	struct stat st;
	if (file->base.is_new) {
		if (linkat(file->folder, file->temp, file->folder, file->name, 0) == 0)
			return unlinkat(file->folder, file->temp, 0) == 0;
		if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
			return false;
		if (fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			errno = EEXIST;
			return false;
		}
	}
	return renameat(file->folder, file->temp, file->folder, file->name) == 0;
}

static bool file_finish(struct store_put *put, struct error *err)
{
	struct file_put *file = (struct file_put *)put;
	if (fsync(file->fd) < 0 || !file_put_place(file)) {
		if (errno == EEXIST)
			error_set(err, ERR_CONFLICT, NULL, "store %s: %s is there already", put->store->url, file->key);
		else
			file_error(err, put->store, "write", file->key);
		file_abort(put);
		return false;
	}
	bool ok = fsync(file->folder) == 0 || file_error(err, put->store, "sync the folder of", file->key);
	file_put_free(file);
	return ok;
}

static bool file_missing(struct error *err, const struct store *store, const char *what, const char *key)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return error_set(err, ERR_NOT_FOUND, NULL, "store %s: there is no %s", store->url, key);
	return file_error(err, store, what, key);
}

static void file_get_close(struct store_get *get)
{
	struct file_get *file = (struct file_get *)get;
	close(file->fd);
	free(file->key);
	free(file);
}

static bool file_get(struct store *store, const char *key, const struct store_range *range, struct store_get **get,
		     struct error *err)
{
	int fd = beneath_open(file_store_of(store)->root, key, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return file_missing(err, store, "read", key);
	struct file_get *file = mem_alloc(sizeof *file);
	*file = (struct file_get){ .base = { .store = store }, .key = mem_strdup(key), .fd = fd };
	struct stat st;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		file_get_close(&file->base);
		return error_set(err, ERR_NOT_FOUND, NULL, "store %s: %s is not an object", store->url, key);
	}
	struct store_range part = *range;
	bool ok = store_range_cut(store, key, st.st_size, &part, err) &&
		  (lseek(fd, part.offset, SEEK_SET) >= 0 || file_error(err, store, "read", key));
	if (!ok) {
		file_get_close(&file->base);
		return false;
	}
	file->base.size = st.st_size;
	file->left = part.len;
	*get = &file->base;
	return true;
}

static bool file_read(struct store_get *get, void *data, size_t size, size_t *len, struct error *err)
{
	struct file_get *file = (struct file_get *)get;
	ssize_t got;
	if ((int64_t)size > file->left)
		size = (size_t)file->left;
	do
		got = read(file->fd, data, size);
	while (got < 0 && errno == EINTR);
	*len = got > 0 ? (size_t)got : 0;
	file->left -= (int64_t)*len;
	return got >= 0 || file_error(err, get->store, "read", file->key);
}

static struct store_stat file_stat_of(const struct stat *st)
{
	return (struct store_stat){
		.size = st->st_size,
		.modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000,
	};
}

static bool file_stat(struct store *store, const char *key, struct store_stat *out, struct error *err)
{
	struct stat st;
	if (!beneath_stat(file_store_of(store)->root, key, &st))
		return file_missing(err, store, "look at", key);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_NOT_FOUND, NULL, "store %s: %s is not an object", store->url, key);
	*out = file_stat_of(&st);
	return true;
}

/* The folders that became empty go, too: a key's folders exist only for it. */
static bool file_remove(struct store *store, const char *key, struct error *err)
{
	int root = file_store_of(store)->root;
	CLEANUP(free_p) char *path = mem_strdup(key);
	const char *name;
	for (bool is_object = true;; is_object = false) {
		CLEANUP(close_fd) int folder = beneath_parent(root, path, &name);
		if (folder < 0)
			return errno == ENOENT || file_error(err, store, "remove", key);
		if (unlinkat(folder, name, is_object ? 0 : AT_REMOVEDIR) < 0) {
			if (!is_object)
				return true;
			if (errno != ENOENT)
				return file_error(err, store, "remove", key);
		}
		if (is_object && fsync(folder) < 0)
			return file_error(err, store, "remove", key);
		char *slash = strrchr(path, '/');
		if (!slash)
			return true;
		*slash = '\0';
	}
}

/* One walk serves listing (fn) and sweeping (leftover). */
struct file_walk {
	struct store *store;
	store_list_fn *fn;
	store_leftover_fn *leftover;
	void *arg;
	struct error *err;
};

static bool file_walk_entry(struct file_walk *walk, int folder, const char *name, const char *key, int depth);

/* Takes the descriptor. */
static bool file_walk_folder(struct file_walk *walk, int fd, const char *prefix, int depth)
{
	DIR *dir = fdopendir(fd);
	if (!dir) {
		file_error(walk->err, walk->store, "list", prefix);
		close(fd);
		return false;
	}
	bool ok = true;
	struct dirent *entry;
	while (ok && (entry = readdir(dir))) {
		CLEANUP(free_p) char *key = mem_printf("%s%s", prefix, entry->d_name);
		ok = file_walk_entry(walk, dirfd(dir), entry->d_name, key, depth);
	}
	closedir(dir);
	return ok;
}

static bool file_walk_entry(struct file_walk *walk, int folder, const char *name, const char *key, int depth)
{
	struct stat st;
	if (name[0] == '.') {
		bool is_leftover = walk->leftover && strncmp(name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0 &&
				   fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		return !is_leftover || !walk->leftover(walk->arg, key, file_stat_of(&st).modified_ms) ||
		       unlinkat(folder, name, 0) == 0 || errno == ENOENT ||
		       file_error(walk->err, walk->store, "remove", key);
	}
	if (depth > BENEATH_DEPTH_MAX || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return true;
	if (S_ISREG(st.st_mode) && walk->fn) {
		struct store_stat out = file_stat_of(&st);
		return walk->fn(walk->arg, key, &out, walk->err);
	}
	if (!S_ISDIR(st.st_mode))
		return true;
	int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || file_error(walk->err, walk->store, "list", key);
	CLEANUP(free_p) char *prefix = mem_printf("%s/", key);
	return file_walk_folder(walk, fd, prefix, depth + 1);
}

static bool file_walk(struct file_walk *walk, const char *prefix)
{
	int root = file_store_of(walk->store)->root;
	CLEANUP(free_p) char *folder = mem_strdup(prefix);
	size_t len = strlen(folder);
	if (len > 0)
		folder[len - 1] = '\0';
	int flags = O_RDONLY | O_DIRECTORY;
	int fd = len > 0 ? beneath_open(root, folder, flags, 0) : openat(root, ".", flags | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || file_error(walk->err, walk->store, "list", prefix);
	return file_walk_folder(walk, fd, prefix, 0);
}

static bool file_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err)
{
	struct file_walk walk = { .store = store, .fn = fn, .arg = arg, .err = err };
	return file_walk(&walk, prefix);
}

static bool file_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err)
{
	struct file_walk walk = { .store = store, .leftover = fn, .arg = arg, .err = err };
	return file_walk(&walk, prefix);
}

bool store_file_open(const char *url, const char *key, int *fd, int64_t *size, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	struct stat st;
	if (strncmp(url, FILE_URL_PREFIX, strlen(FILE_URL_PREFIX)) != 0 || !store_is_key(key))
		return error_set(err, ERR_INPUT, NULL, "%s in the store %s is no file", key, url);
	if (!file_open(url, &store, err))
		return false;
	*fd = beneath_open(file_store_of(store)->root, key, O_RDONLY | O_NONBLOCK, 0);
	if (*fd < 0)
		return file_missing(err, store, "read", key);
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
		*size = st.st_size;
		return true;
	}
	close(*fd);
	return error_set(err, ERR_NOT_FOUND, NULL, "store %s: %s is not a file", url, key);
}

static bool file_reads(const struct store *store, store_path_fn *fn, void *arg)
{
	fn(arg, store->url + strlen(FILE_URL_PREFIX));
	return false;
}

const struct store_scheme store_file = {
	.name = "file",
	.form = "file:///folder",
	.remember = file_remember,
	.expect = file_expect,
	.is_marked = file_is_marked,
	.open = file_open,
	.close = file_close,
	.begin = file_begin,
	.write = file_write,
	.finish = file_finish,
	.abort = file_abort,
	.get = file_get,
	.read = file_read,
	.get_close = file_get_close,
	.stat = file_stat,
	.remove = file_remove,
	.list = file_list,
	.sweep = file_sweep,
	.reads = file_reads,
};
