#include "worker/unpack.h"

#include <inttypes.h>
#include <string.h>

#include "lib/compress.h"
#include "lib/digest.h"
#include "lib/landlock.h"
#include "lib/log.h"
#include "queue/saved.h"

struct unpack_part { /* of an object, from this machine or from the store */
	const struct manifest_object *object;
	struct saved_data data;
	bool is_cached;
};

struct unpacking {
	const struct unpack_request *request;
	struct store *store;
	const struct manifest *m;
	struct unpack_part own, other;
	struct decompress *decompress;       /* NULL: the own one is stored as it is */
	int64_t left;                        /* of the tar, at most */
	const struct tarball_member *member; /* that the other one is read for; NULL: none */
};

/* What could not be read; false. A copy on this machine that is not as it should be goes, and the next try, in a fresh
 * folder, is from the store. */
static bool unpack_failed(const struct unpacking *u, const struct unpack_part *part, struct error *err)
{
	if (!part->is_cached || err->kind != ERR_DAMAGED)
		return error_wrap(err, "%s", part->object->key);
	cache_forget(&u->request->cache, blocks_hash(&part->object->blocks).text);
	err->kind = ERR_UNAVAILABLE;
	return error_wrap(err, "%s: the copy of it on this machine, which is forgotten now", part->object->key);
}

static bool unpack_open(const struct unpacking *u, const struct manifest_object *object, int64_t offset, int64_t len,
			struct unpack_part *part, struct error *err)
{
	int cached = cache_open(&u->request->cache, blocks_hash(&object->blocks).text);
	*part = (struct unpack_part){ .object = object, .is_cached = cached >= 0 };
	return (part->is_cached ? saved_open_file(cached, object, offset, len, &part->data, err)
				: saved_open(u->store, object, offset, len, &part->data, err)) ||
	       unpack_failed(u, part, err);
}

static bool unpack_stored(void *arg, void *into, size_t size, size_t *len, struct error *err)
{
	struct unpacking *u = arg;
	return saved_read(&u->own.data, into, size, len, err) || unpack_failed(u, &u->own, err);
}

static bool unpack_own(void *arg, void *into, size_t size, size_t *len, struct error *err)
{
	struct unpacking *u = arg;
	if (!u->decompress)
		return unpack_stored(u, into, size, len, err);
	if (!decompress_read(u->decompress, into, size, len, err))
		return false;
	u->left -= (int64_t)*len;
	return u->left >= 0 ||
	       error_set(err, ERR_DAMAGED, NULL, "%s: its tar is larger than the manifest says", u->own.object->key);
}

/* A file that was stored with an earlier checkpoint. */
static bool unpack_elsewhere(void *arg, const struct tarball_member *member, void *into, size_t size, size_t *len,
			     struct error *err)
{
	struct unpacking *u = arg;
	if (u->member != member) {
		saved_close(&u->other.data);
		u->member = member;
		if (!unpack_open(u, manifest_object_of(u->m, member), member->offset, member->size, &u->other, err))
			return false;
	}
	return saved_read(&u->other.data, into, size, len, err) || unpack_failed(u, &u->other, err);
}

static void unpack_tee(void *arg, const void *block, size_t len)
{
	cache_write(arg, block, len);
}

static bool unpack_data(struct unpacking *u, struct error *err)
{
	const struct tarball_source source = { unpack_own, unpack_elsewhere, u };
	const char *hash = u->request->summary->sha256;
	if (!unpack_open(u, &u->m->own, 0, -1, &u->own, err))
		return false;
	struct cache_put *put = u->own.is_cached ? NULL : cache_begin(&u->request->cache, u->m->own.size);
	u->own.data.tee = unpack_tee;
	u->own.data.tee_arg = put;
	CLEANUP(decompress)
	struct decompress *decompress = u->m->own.is_compressed ? decompress_new(unpack_stored, u) : NULL;
	u->decompress = decompress;
	u->left = u->m->contents.size;
	/* What stands behind the end of the tar is verified as well. */
	bool ok = tarball_unpack(&source, &u->m->contents, u->request->root, err) &&
		  (saved_read_rest(&u->own.data, err) || unpack_failed(u, &u->own, err));
	cache_keep(put, ok ? hash : NULL);
	if (ok && u->own.is_cached)
		log_debug("the checkpoint was on this machine", "sha256=%s", hash);
	return ok;
}

static bool unpack_manifest(const struct unpack_request *request, struct store *store, const char *key,
			    struct manifest *m, struct error *err)
{
	size_t len;
	const char *hash = request->summary->manifest_sha256;
	CLEANUP(free_p) char *known = cache_text(&request->cache, hash, MANIFEST_MAX, &len);
	CLEANUP(free_p) char *text = NULL;
	if (known && saved_read_manifest(key, request->summary, known, len, m, err))
		return true;
	if (known)
		manifest_done(m);
	if (!saved_fetch_manifest(store, key, &text, &len, err) ||
	    !saved_read_manifest(key, request->summary, text, len, m, err))
		return false;
	if (hash)
		cache_keep_text(&request->cache, hash, text, len);
	return true;
}

#define UNPACK_PATHS_MAX 32

struct unpack_paths {
	struct landlock_path items[UNPACK_PATHS_MAX];
	size_t count;
};

static void unpack_may_read(void *arg, const char *path)
{
	struct unpack_paths *paths = arg;
	if (paths->count < UNPACK_PATHS_MAX)
		paths->items[paths->count++] = (struct landlock_path){ .path = path };
}

/* What is in the store is verified before it is parsed; this is for the day on which that is not enough. Without it a
 * run still has to get its checkpoint back, and the log says that it is missing. */
static void unpack_confine(struct store *store, const struct unpack_request *request)
{
	const char *folder = request->folder;
	struct unpack_paths paths = { .items = { { .path = folder, .may_write = true } }, .count = 1 };
	struct error err;
	(void)digest_of("", 0); /* OpenSSL reads its configuration when it is used first */
	if (cache_make(&request->cache))
		paths.items[paths.count++] = (struct landlock_path){ .path = request->cache.folder, .may_write = true };
	bool may_connect = store_reads(store, unpack_may_read, &paths);
	const struct landlock_options options = { paths.items, paths.count, may_connect };
	int version = landlock_confine(&options, &err);
	if (version)
		log_debug("what unpacks a checkpoint is confined", "landlock=%d folder=%s", version, folder);
	else
		log_failure(LOG_WARN, "what unpacks a checkpoint is not confined", &err);
}

static bool unpack_plan(const struct manifest *m, struct buf *text, struct error *err)
{
	bool ok = buf_printf(text, "%" PRId64 " %s\n", m->step, m->resume);
	for (size_t i = 0; ok && i < m->contents.count; i++)
		ok = buf_printf(text, "%c %s\n", m->contents.members[i].is_folder ? 'd' : 'f',
				m->contents.members[i].path);
	return ok || error_set(err, ERR_DAMAGED, NULL, "the manifest: the names of its files are too long");
}

bool unpack_run(const struct unpack_request *request, struct buf *plan, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	if (!store_open(request->store, &store, err))
		return false;
	CLEANUP(free_p) char *key = saved_key_of_uri(store->url, request->summary->uri, err);
	if (!key)
		return false;
	unpack_confine(store, request);
	struct unpacking unpacking = { .request = request, .store = store, .m = &m };
	unpacking.own.data.fd = unpacking.other.data.fd = -1;
	bool ok = unpack_manifest(request, store, key, &m, err) && unpack_data(&unpacking, err) &&
		  unpack_plan(&m, plan, err);
	saved_close(&unpacking.own.data);
	saved_close(&unpacking.other.data);
	return ok;
}
