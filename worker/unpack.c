#include "worker/unpack.h"

#include <inttypes.h>
#include <string.h>

#include "lib/digest.h"
#include "lib/landlock.h"
#include "lib/log.h"
#include "queue/saved.h"

static bool unpack_data(struct store *store, const struct manifest *m, int root, struct error *err)
{
	CLEANUP(saved_data) struct saved_data data = { .get = NULL };
	if (!saved_open(store, m, &data, err))
		return false;
	/* What stands behind the end of the tar is verified as well. */
	return (tarball_unpack(saved_read, &data, &m->contents, root, err) && saved_read_rest(&data, err)) ||
	       error_wrap(err, "%s", m->key);
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
static void unpack_confine(struct store *store, const char *folder)
{
	struct unpack_paths paths = { .items = { { .path = folder, .may_write = true } }, .count = 1 };
	struct error err;
	(void)digest_of("", 0); /* OpenSSL reads its configuration when it is used first */
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
	unpack_confine(store, request->folder);
	return saved_manifest(store, request->summary, &m, err) && unpack_data(store, &m, request->root, err) &&
	       unpack_plan(&m, plan, err);
}
