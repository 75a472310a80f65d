#include "worker/unpack.h"

#include <inttypes.h>
#include <string.h>

#include "lib/digest.h"
#include "lib/landlock.h"
#include "lib/log.h"
#include "queue/saved.h"

static bool unpack_verified(struct saved_data *data, int root, struct error *err)
{
	/* What stands behind the end of the tar is verified as well. */
	return (tarball_unpack(saved_read, data, &data->m->contents, root, err) && saved_read_rest(data, err)) ||
	       error_wrap(err, "%s", data->m->key);
}

/* What is on this machine. If that is not as it should be it goes, and the next try, in a fresh folder, is from the
 * store. */
static bool unpack_cached(const struct unpack_request *request, int fd, const struct manifest *m, struct error *err)
{
	CLEANUP(saved_data) struct saved_data data = { .fd = -1 };
	if (saved_open_file(fd, m, &data, err) && unpack_verified(&data, request->root, err)) {
		log_debug("the checkpoint was on this machine", "sha256=%s", request->summary->sha256);
		return true;
	}
	if (err->kind != ERR_DAMAGED) /* of the run's folder, say: nothing is wrong with the copy */
		return false;
	cache_forget(&request->cache, request->summary->sha256);
	err->kind = ERR_UNAVAILABLE;
	return error_wrap(err, "the copy of it on this machine, which is forgotten now");
}

static void unpack_tee(void *arg, const void *block, size_t len)
{
	cache_write(arg, block, len);
}

static bool unpack_data(const struct unpack_request *request, struct store *store, const struct manifest *m,
			struct error *err)
{
	int cached = cache_open(&request->cache, request->summary->sha256);
	if (cached >= 0)
		return unpack_cached(request, cached, m, err);
	CLEANUP(saved_data) struct saved_data data = { .fd = -1 };
	if (!saved_open(store, m, &data, err))
		return false;
	struct cache_put *put = cache_begin(&request->cache, m->contents.size);
	data.tee = unpack_tee;
	data.tee_arg = put;
	bool ok = unpack_verified(&data, request->root, err);
	cache_keep(put, ok ? request->summary->sha256 : NULL);
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
	return unpack_manifest(request, store, key, &m, err) && unpack_data(request, store, &m, err) &&
	       unpack_plan(&m, plan, err);
}
