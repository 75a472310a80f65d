#include "worker/code_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "queue/code_data.h"
#include "queue/saved.h"
#include "worker/facts.h"
#include "worker/place.h"
#include "worker/tree.h"

enum { CODE_FILE_BYTES = 4096 /* of a file's last block and its entry, about */ };

struct code_entry { /* of the cache */
	int lock;   /* its descriptor; -1: not open */
	int64_t size, files;
	char name[DIGEST_HEX + 8]; /* of the lock file */
};

/* ---- locks ---- */

/* A lock file may be removed while we wait for it: then it is another one that counts. flags: of flock. */
static bool code_lock(int cache, struct code_entry *entry, int flags, struct error *err)
{
	for (;;) {
		struct stat own, named;
		entry->lock = openat(cache, entry->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (entry->lock < 0)
			return error_disk(err, "cannot open the lock %s of the code cache", entry->name);
		int got;
		do
			got = flock(entry->lock, flags);
		while (got < 0 && errno == EINTR);
		if (got == 0 && fstat(entry->lock, &own) == 0 && fstatat(cache, entry->name, &named, 0) == 0 &&
		    own.st_ino == named.st_ino)
			return true;
		int why = errno;
		close(entry->lock);
		entry->lock = -1;
		if (got < 0) {
			errno = why;
			return error_errno(err, ERR_SYSTEM, NULL, "cannot lock %s of the code cache", entry->name);
		}
	}
}

static void code_unlock(struct code_entry *entry)
{
	if (entry->lock >= 0)
		close(entry->lock);
	entry->lock = -1;
}

static void cleanup_code_entry(struct code_entry *entry)
{
	code_unlock(entry);
}

static void code_entry_read(struct code_entry *entry)
{
	char text[64] = "";
	ssize_t got = pread(entry->lock, text, sizeof text - 1, 0);
	entry->size = entry->files = 0;
	if (got > 0)
		(void)!sscanf(text, "%" SCNd64 " %" SCNd64, &entry->size, &entry->files);
}

static bool code_entry_write(const struct code_entry *entry, struct error *err)
{
	char text[64];
	str_format(text, sizeof text, "%" PRId64 " %" PRId64 "\n", entry->size, entry->files);
	return (ftruncate(entry->lock, 0) == 0 &&
		pwrite(entry->lock, text, strlen(text), 0) == (ssize_t)strlen(text)) ||
	       error_disk(err, "cannot write %s of the code cache", entry->name);
}

/* ---- the bound ---- */

struct code_aged {
	char name[DIGEST_HEX + 8];
	struct timespec used;
	int64_t size;
};

static int code_compare_age(const void *a, const void *b)
{
	const struct timespec *x = &((const struct code_aged *)a)->used, *y = &((const struct code_aged *)b)->used;
	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static bool code_is_lock(const char *name)
{
	char hash[DIGEST_HEX + 1];
	if (strlen(name) != DIGEST_HEX + strlen(".lock") || strcmp(name + DIGEST_HEX, ".lock") != 0)
		return false;
	memcpy(hash, name, DIGEST_HEX);
	hash[DIGEST_HEX] = '\0';
	return digest_is_hex(hash);
}

/* All that is cached but ours, oldest first; the caller frees it. */
static struct code_aged *code_list(int cache, const struct code_entry *ours, size_t *count, int64_t *total)
{
	struct code_aged *all = NULL;
	int fd = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	*count = 0;
	*total = 0;
	if (!dir && fd >= 0)
		close(fd);
	for (struct dirent *item; dir && (item = readdir(dir));) {
		struct code_entry entry = { .lock = -1 };
		struct stat st;
		if (!code_is_lock(item->d_name) || strcmp(item->d_name, ours->name) == 0)
			continue;
		entry.lock = openat(cache, item->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (entry.lock >= 0 && fstat(entry.lock, &st) == 0) {
			code_entry_read(&entry);
			all = mem_realloc(all, (*count + 1) * sizeof *all);
			all[*count] = (struct code_aged){ .used = st.st_mtim, .size = entry.size };
			str_copy(all[(*count)++].name, sizeof all->name, item->d_name);
			*total += entry.size;
		}
		code_unlock(&entry);
	}
	if (dir)
		closedir(dir);
	if (*count)
		qsort(all, *count, sizeof *all, code_compare_age);
	return all;
}

/* False: somebody is using it. */
static bool code_evict(int cache, const struct code_aged *aged)
{
	CLEANUP(code_entry) struct code_entry entry = { .lock = -1 };
	char hash[DIGEST_HEX + 1];
	str_copy(entry.name, sizeof entry.name, aged->name);
	if (!code_lock(cache, &entry, LOCK_EX | LOCK_NB, NULL))
		return false;
	str_format(hash, sizeof hash, "%.*s", DIGEST_HEX, aged->name);
	CLEANUP(free_p) char *fresh = mem_printf("%s.new", hash);
	/* Out of its name first: what is there under it is whole, whenever we die. */
	return beneath_remove(cache, fresh) && (renameat(cache, hash, cache, fresh) == 0 || errno == ENOENT) &&
	       beneath_remove(cache, fresh) && unlinkat(cache, aged->name, 0) == 0;
}

/* So many bytes of what nobody uses, oldest first; and what was never filled, its helper having died. Best effort: who
 * comes next tries again. */
static void code_evict_some(int cache, const struct code_aged *all, size_t count, int64_t bytes)
{
	for (size_t i = 0; i < count; i++)
		if ((bytes > 0 || all[i].size == 0) && code_evict(cache, &all[i]))
			bytes -= all[i].size;
}

static void code_bound(int cache, int64_t most_bytes, const struct code_entry *ours)
{
	size_t count;
	int64_t total;
	CLEANUP(free_p) struct code_aged *all = code_list(cache, ours, &count, &total);
	code_evict_some(cache, all, count, total + ours->size - most_bytes);
}

/* Room for our files in a folder, on the same disk as the cache: what runs now counts more than what may run again. But
 * where all of it would not be enough, nothing goes. */
static void code_make_room(int cache, int folder, const struct code_entry *ours)
{
	struct statvfs fs;
	struct stat here, there;
	if (fstatvfs(folder, &fs) < 0 || fstat(folder, &there) < 0 || fstat(cache, &here) < 0 ||
	    here.st_dev != there.st_dev)
		return;
	int64_t missing = ours->size + ours->files * CODE_FILE_BYTES - (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	if (missing <= 0)
		return;
	size_t count;
	int64_t total;
	CLEANUP(free_p) struct code_aged *all = code_list(cache, ours, &count, &total);
	if (missing <= total)
		code_evict_some(cache, all, count, missing);
}

/* ---- filling ---- */

static bool code_unpack(const struct code_cache_request *r, const struct code *code, struct store *store, int root,
			struct error *err)
{
	CLEANUP(code_data)
	struct code_data data = { .store = store, .installation = r->installation, .hash = r->hash, .code = code };
	char rest[1024];
	size_t got = 1;
	if (!tarball_unpack(&(const struct tarball_source){ .read = code_data_read, .arg = &data }, &code->contents,
			    root, err))
		return false;
	while (got) /* what stands behind the end of the tar is verified as well */
		if (!code_data_read(&data, rest, sizeof rest, &got, err))
			return false;
	return true;
}

static bool code_fetch(const struct code_cache_request *r, int cache, struct code_entry *entry, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(code) struct code code = { .contents.members = NULL };
	CLEANUP(free_p) char *fresh = mem_printf("%s.new", r->hash);
	CLEANUP(free_p) char *key = code_key(r->installation, r->hash, "manifest.json");
	if (!store_open(r->store, &store, err))
		return false;
	if (!code_read(store, r->installation, r->hash, &code, err))
		return saved_missing(store, key, err);
	if (!beneath_remove(cache, fresh) || mkdirat(cache, fresh, 0700) < 0)
		return error_disk(err, "cannot make a fresh folder in the code cache");
	CLEANUP(close_fd) int root = beneath_open(cache, fresh, O_RDONLY | O_DIRECTORY, 0);
	if (root < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the fresh folder of the code cache");
	entry->size = tarball_content_size(&code.contents);
	entry->files = (int64_t)code.contents.count;
	code_make_room(cache, cache, entry);
	bool ok = (code_unpack(r, &code, store, root, err) || saved_missing(store, key, err)) &&
		  code_entry_write(entry, err);
	if (ok && renameat(cache, fresh, cache, r->hash) < 0)
		ok = error_disk(err, "cannot rename the unpacked code");
	if (!ok)
		(void)!beneath_remove(cache, fresh);
	return ok;
}

/* ---- the whole ---- */

static bool code_is_cached(int cache, const char *hash)
{
	struct stat st;
	return beneath_stat(cache, hash, &st) && S_ISDIR(st.st_mode);
}

/* Locked: shared when it is there, exclusively by who has just filled it. */
static bool code_have(const struct code_cache_request *r, int cache, struct code_entry *entry, bool *was_cached,
		      struct error *err)
{
	str_format(entry->name, sizeof entry->name, "%s.lock", r->hash);
	if (!code_lock(cache, entry, LOCK_SH, err))
		return false;
	*was_cached = code_is_cached(cache, r->hash);
	if (!*was_cached) {
		code_unlock(entry);
		if (!code_lock(cache, entry, LOCK_EX, err))
			return false;
		*was_cached = code_is_cached(cache, r->hash); /* somebody else was faster */
	}
	if (*was_cached)
		code_entry_read(entry);
	return *was_cached || code_fetch(r, cache, entry, err);
}

static bool code_copy(const struct code_cache_request *r, int cache, const struct code_entry *entry, struct error *err)
{
	CLEANUP(close_fd) int from = beneath_open(cache, r->hash, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(close_fd) int to = beneath_root(r->work_dir);
	if (from < 0 || to < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the %s",
				   from < 0 ? "cached code" : "working folder");
	tree_empty(r->work_dir); /* what an earlier try left */
	code_make_room(cache, to, entry);
	if (place_copy_into(from, to, err))
		return true;
	tree_empty(r->work_dir); /* half of it is of no use, and takes room */
	return false;
}

bool code_cache_run(void *request, struct buf *text, struct error *err)
{
	const struct code_cache_request *r = request;
	CLEANUP(code_entry) struct code_entry entry = { .lock = -1 };
	bool was_cached = false;
	if (mkdir(r->cache_dir, 0700) < 0 && errno != EEXIST)
		return error_disk(err, "cannot make the folder %s", r->cache_dir);
	CLEANUP(close_fd) int cache = beneath_root(r->cache_dir);
	if (cache < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s", r->cache_dir);
	if (!code_have(r, cache, &entry, &was_cached, err))
		return false;
	futimens(entry.lock, NULL); /* used now */
	if (!code_copy(r, cache, &entry, err))
		return false;
	if (!was_cached)
		code_bound(cache, r->most_bytes, &entry);
	CLEANUP(buf) struct buf facts;
	buf_init(&facts, FACTS_MAX);
	facts_json(r->command, r->path, &facts);
	return buf_printf(text, "%s %" PRId64 " %" PRId64 " %s", was_cached ? "cached" : "fetched", entry.files,
			  entry.size, buf_text(&facts)) ||
	       error_set(err, ERR_INTERNAL, NULL, "the answer is too long");
}

void code_cache_give_way(const char *cache_dir, int64_t bytes)
{
	const struct code_entry nobody = { .lock = -1 };
	size_t count;
	int64_t total;
	CLEANUP(close_fd) int cache = beneath_root(cache_dir);
	if (cache < 0)
		return;
	CLEANUP(free_p) struct code_aged *all = code_list(cache, &nobody, &count, &total);
	code_evict_some(cache, all, count, bytes);
}
