#include "worker/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/beneath.h"
#include "lib/digest.h"
#include "lib/store.h"
#include "queue/manifest.h"
#include "worker/place.h"
#include "worker/ship.h"

static bool restore_first(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	(void)key;
	(void)st;
	(void)err;
	*(bool *)arg = true;
	return false; /* one is enough */
}

/* An object that is gone does not verify; but a store that holds nothing at all of this installation is more
 * likely one that is not mounted, and no reason to give up every checkpoint. */
static bool restore_missing(struct store *store, const char *key, struct error *err)
{
	if (err->kind != ERR_NOT_FOUND)
		return false;
	CLEANUP(free_p) char *prefix = mem_printf("%.*s/", (int)strcspn(key, "/"), key);
	bool has_any = false;
	struct error why = { .kind = ERR_NONE };
	if (!store_list(store, prefix, restore_first, &has_any, &why) && !has_any) {
		*err = why;
		return false;
	}
	err->kind = has_any ? ERR_DAMAGED : ERR_UNAVAILABLE;
	return has_any ? false : error_wrap(err, "the store holds nothing of this installation (is it mounted?)");
}

static bool restore_manifest(struct store *store, const char *key, const struct summary *summary, struct manifest *m,
			     struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t len;
	if (!store_get_text(store, key, MANIFEST_MAX, &text, &len, err))
		return restore_missing(store, key, err);
	if (summary->manifest_sha256 && strcmp(digest_of(text, len).text, summary->manifest_sha256) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "%s: its SHA-256 is not the one that was committed", key);
	if (!manifest_from_json(text, len, m, err))
		return error_wrap(err, "%s", key);
	if (m->attempt != summary->attempt || m->seq != summary->seq || strcmp(m->token, summary->token) != 0 ||
	    m->contents.size != summary->size || strcmp(blocks_hash(&m->blocks).text, summary->sha256) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "%s: it is not the manifest of what was committed", key);
	CLEANUP(free_p) char *data = mem_printf("%.*sdata.tar", (int)(strrchr(key, '/') + 1 - key), key);
	if (strcmp(data, m->key) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "%s: its data object is not beside it", key);
	return true;
}

/* The data object, a block at a time. */
struct restore_source {
	struct store_get *get;
	const struct manifest *m;
	char *block;
	size_t len, at; /* of the block that is verified, and what was read of it */
	size_t next;    /* block */
};

/* Nobody sees a byte of a block before its hash was found to be right. */
static bool restore_next_block(struct restore_source *s, struct error *err)
{
	size_t got;
	s->len = s->at = 0;
	do {
		if (!store_read(s->get, s->block + s->len, BLOCK_BYTES - s->len, &got, err))
			return false;
		s->len += got;
	} while (got && s->len < BLOCK_BYTES);
	if (!s->len && s->next == s->m->blocks.count)
		return true; /* the end */
	if (s->next < s->m->blocks.count &&
	    strcmp(digest_of(s->block, s->len).text, s->m->blocks.hashes[s->next++].text) == 0)
		return true;
	s->len = 0;
	return error_set(err, ERR_DAMAGED, NULL, "the SHA-256 of its block %zu is not the one that was committed",
			 s->next);
}

static bool restore_read(void *arg, void *data, size_t size, size_t *len, struct error *err)
{
	struct restore_source *s = arg;
	if (s->at == s->len && !restore_next_block(s, err))
		return false;
	*len = size < s->len - s->at ? size : s->len - s->at;
	memcpy(data, s->block + s->at, *len);
	s->at += *len;
	return true;
}

/* What stands behind the end of the tar is verified as well. */
static bool restore_unpack_from(struct restore_source *s, int root, struct error *err)
{
	bool ok = tarball_unpack(restore_read, s, &s->m->contents, root, err);
	while (ok && s->next < s->m->blocks.count)
		ok = restore_next_block(s, err);
	return ok || error_wrap(err, "%s", s->m->key);
}

static bool restore_unpack(struct store *store, const struct manifest *m, int scratch, const char *name,
			   struct error *err)
{
	if (!beneath_remove(scratch, name) || mkdirat(scratch, name, 0700) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make a fresh folder for unpacking");
	CLEANUP(close_fd) int root = beneath_open(scratch, name, O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(store_get) struct store_get *get = NULL;
	if (root < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folder for unpacking");
	if (!store_get(store, m->key, &get, err))
		return restore_missing(store, m->key, err);
	if (get->size != m->contents.size)
		return error_set(err, ERR_DAMAGED, NULL, "%s: %" PRId64 " bytes, %" PRId64 " were committed", m->key,
				 get->size, m->contents.size);
	CLEANUP(free_p) char *block = mem_alloc(BLOCK_BYTES);
	struct restore_source source = { .get = get, .m = m, .block = block };
	return restore_unpack_from(&source, root, err);
}

/* "checkpoint/x" → the checkpoint folder and "x". */
static const char *restore_split(const char *member, bool *is_work)
{
	*is_work = strncmp(member, MANIFEST_WORK, strlen(MANIFEST_WORK)) == 0;
	const char *slash = strchr(member, '/');
	return slash ? slash + 1 : "";
}

/* Folders go as a whole, so that nothing old stays between the files of a restored one. */
static bool restore_place(const struct restore_request *request, const struct manifest *m, int unpacked,
			  struct error *err)
{
	CLEANUP(close_fd) int checkpoints = beneath_root(request->checkpoint_dir);
	CLEANUP(close_fd) int work = beneath_root(request->work_dir);
	if (checkpoints < 0 || work < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open the folders of the run");
	const char *placed = NULL; /* the last folder */
	for (size_t i = 0; i < m->contents.count; i++) {
		const struct tarball_member *member = &m->contents.members[i];
		size_t len = placed ? strlen(placed) : 0;
		if (placed && strncmp(member->path, placed, len) == 0 && member->path[len] == '/')
			continue;
		bool is_work;
		const char *path = restore_split(member->path, &is_work);
		if (!place_move(unpacked, member->path, is_work ? work : checkpoints, path, err))
			return false;
		if (member->is_folder)
			placed = member->path;
	}
	return true;
}

static bool restore_all(const struct restore_request *request, struct store *store, const struct manifest *m,
			struct error *err)
{
	if (mkdir(request->run_dir, 0700) < 0 && errno != EEXIST)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make %s", request->run_dir);
	CLEANUP(close_fd) int run = beneath_root(request->run_dir);
	if (run < 0 || (mkdirat(run, "restore", 0700) < 0 && errno != EEXIST))
		return error_errno(err, ERR_SYSTEM, NULL, "cannot make %s/restore", request->run_dir);
	CLEANUP(close_fd) int scratch = beneath_open(run, "restore", O_RDONLY | O_DIRECTORY, 0);
	CLEANUP(free_p) char *part = mem_printf("%s.part", request->id);
	if (scratch < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot open %s/restore", request->run_dir);
	bool ok = restore_unpack(store, m, scratch, part, err);
	/* The name says whether all of it is there. */
	if (ok && (!beneath_remove(scratch, request->id) || renameat(scratch, part, scratch, request->id) < 0))
		ok = error_errno(err, ERR_SYSTEM, NULL, "cannot rename the unpacked checkpoint");
	CLEANUP(close_fd) int unpacked = ok ? beneath_open(scratch, request->id, O_RDONLY | O_DIRECTORY, 0) : -1;
	if (ok)
		ok = restore_place(request, m, unpacked, err);
	(void)!beneath_remove(scratch, part);
	(void)!beneath_remove(scratch, request->id);
	return ok;
}

bool restore_run(const struct restore_request *request, struct buf *text, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(manifest) struct manifest m;
	CLEANUP(summary) struct summary summary = { .uri = NULL };
	manifest_init(&m);
	int64_t attempt, seq;
	if (!ship_split_id(request->id, &attempt, &seq))
		return error_set(err, ERR_INPUT, NULL, "not a checkpoint id: %s", request->id);
	if (!summary_from_json(request->summary, &summary, err) || !store_open(request->store, &store, err))
		return false;
	CLEANUP(free_p) char *key = ship_key_of_uri(store->url, summary.uri, err);
	if (!key || !restore_manifest(store, key, &summary, &m, err) || !restore_all(request, store, &m, err))
		return false;
	bool is_work;
	const char *path = restore_split(m.resume, &is_work);
	return buf_printf(text, "%" PRId64 " %s%s%s", m.step, is_work ? request->work_dir : request->checkpoint_dir,
			  *path ? "/" : "", path) ||
	       error_set(err, ERR_INTERNAL, NULL, "the path to resume from is too long");
}
