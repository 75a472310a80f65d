#include "queue/saved.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/digest.h"

bool saved_split_id(const char *id, int64_t *attempt, int64_t *seq)
{
	char *end;
	errno = 0;
	*attempt = strtoll(id, &end, 10);
	if (end == id || *end != '-' || *attempt < 0)
		return false;
	const char *second = end + 1;
	*seq = strtoll(second, &end, 10);
	return end != second && !*end && *seq >= 0 && errno == 0;
}

char *saved_key_of_uri(const char *store_url, const char *uri, struct error *err)
{
	size_t len = strlen(store_url);
	if (strncmp(uri, store_url, len) == 0 && uri[len] == '/' && store_is_key(uri + len + 1))
		return mem_strdup(uri + len + 1);
	error_set(err, ERR_UNAVAILABLE, "start it with the store that the checkpoint is in (--store)",
		  "the checkpoint %s is not in the store %s", uri, store_url);
	return NULL;
}

/* Something that a run may go on from. A transcript tells nothing: that of the attempt that just ended may have been
 * written to what is there now. */
static bool saved_first(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	(void)st;
	(void)err;
	const char *name = key + strcspn(key, "/");
	*(bool *)arg = strncmp(name, "/runs/", strlen("/runs/")) != 0 && strcmp(name, "/mark") != 0;
	return !*(bool *)arg; /* one is enough */
}

/* An object that is gone does not verify; but a store that holds nothing at all of this installation is more
 * likely one that is not mounted, and no reason to give up every checkpoint. */
bool saved_missing(struct store *store, const char *key, struct error *err)
{
	if (err->kind != ERR_NOT_FOUND)
		return false;
	CLEANUP(free_p) char *prefix = mem_printf("%.*s/", (int)strcspn(key, "/"), key);
	bool has_any = false;
	struct error why = { .kind = ERR_NONE };
	if (!store_list(store, prefix, saved_first, &has_any, &why) && !has_any) {
		*err = why;
		return false;
	}
	err->kind = has_any ? ERR_DAMAGED : ERR_UNAVAILABLE;
	return has_any ? false : error_wrap(err, "the store holds nothing of this installation (is it mounted?)");
}

static bool saved_is_beside(const char *key, const struct manifest *m, struct error *err)
{
	CLEANUP(free_p) char *data = mem_printf("%.*sdata.tar", (int)(strrchr(key, '/') + 1 - key), key);
	return strcmp(data, m->own.key) == 0 ||
	       error_set(err, ERR_DAMAGED, NULL, "%s: its data object is not beside it", key);
}

bool saved_fetch_manifest(struct store *store, const char *key, char **text, size_t *len, struct error *err)
{
	return store_get_text(store, key, MANIFEST_MAX, text, len, err) || saved_missing(store, key, err);
}

bool saved_read_manifest(const char *key, const struct summary *summary, const char *text, size_t len,
			 struct manifest *m, struct error *err)
{
	manifest_init(m);
	if (summary->manifest_sha256 && strcmp(digest_of(text, len).text, summary->manifest_sha256) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "%s: its SHA-256 is not the one that was committed", key);
	if (!manifest_from_json(text, len, m, err))
		return error_wrap(err, "%s", key);
	if (m->attempt != summary->attempt || m->seq != summary->seq || strcmp(m->token, summary->token) != 0 ||
	    m->own.size != summary->size || strcmp(blocks_hash(&m->own.blocks).text, summary->sha256) != 0)
		return error_set(err, ERR_DAMAGED, NULL, "%s: it is not the manifest of what was committed", key);
	return saved_is_beside(key, m, err);
}

bool saved_manifest(struct store *store, const struct summary *summary, struct manifest *m, struct error *err)
{
	CLEANUP(free_p) char *key = saved_key_of_uri(store->url, summary->uri, err);
	CLEANUP(free_p) char *text = NULL;
	size_t len;
	manifest_init(m);
	return key && saved_fetch_manifest(store, key, &text, &len, err) &&
	       saved_read_manifest(key, summary, text, len, m, err);
}

/* ---- the data ---- */

void saved_close(struct saved_data *data)
{
	store_get_close(data->get);
	if (data->block && data->fd >= 0)
		close(data->fd);
	free(data->block);
	*data = (struct saved_data){ .fd = -1 };
}

static bool saved_read_some(struct saved_data *d, void *into, size_t size, size_t *got, struct error *err)
{
	if (d->get)
		return store_read(d->get, into, size, got, err);
	ssize_t len = read(d->fd, into, size);
	*got = len > 0 ? (size_t)len : 0;
	return len >= 0 || error_errno(err, ERR_SYSTEM, NULL, "cannot read the copy of %s", d->object->key);
}

static bool saved_next_block(struct saved_data *d, struct error *err)
{
	size_t got;
	d->len = d->at = 0;
	do {
		if (!saved_read_some(d, d->block + d->len, BLOCK_BYTES - d->len, &got, err))
			return false;
		d->len += got;
	} while (got && d->len < BLOCK_BYTES);
	if (!d->len && d->next == d->end)
		return true; /* the end */
	if (d->next < d->end &&
	    strcmp(digest_of(d->block, d->len).text, d->object->blocks.hashes[d->next++].text) == 0) {
		if (d->tee)
			d->tee(d->tee_arg, d->block, d->len);
		return true;
	}
	d->len = 0;
	return error_set(err, ERR_DAMAGED, NULL, "the SHA-256 of its block %zu is not the one that was committed",
			 d->next);
}

/* The blocks that hold len bytes from offset on: within the object, see manifest_from_json. */
static struct saved_data saved_plan(const struct manifest_object *object, int64_t offset, int64_t len)
{
	struct saved_data data = { .object = object, .fd = -1, .block = mem_alloc(BLOCK_BYTES) };
	data.left = len < 0 ? object->size - offset : len;
	data.next = (size_t)(offset / BLOCK_BYTES);
	data.end = len < 0 ? object->blocks.count : blocks_count_of(offset + len);
	return data;
}

/* What stands before the offset in its block. */
static bool saved_skip(struct saved_data *data, int64_t offset, struct error *err)
{
	size_t skipped = (size_t)(offset % BLOCK_BYTES);
	if (!skipped)
		return true;
	if (!saved_next_block(data, err))
		return false;
	data->at = skipped;
	return true;
}

bool saved_open(struct store *store, const struct manifest_object *object, int64_t offset, int64_t len,
		struct saved_data *data, struct error *err)
{
	*data = saved_plan(object, offset, len);
	int64_t from = (int64_t)data->next * BLOCK_BYTES, until = (int64_t)data->end * BLOCK_BYTES;
	if (!store_get_range(store, object->key, from, until < object->size ? until - from : -1, &data->get, err)) {
		if (err->kind == ERR_INPUT) /* it ends before */
			err->kind = ERR_DAMAGED;
		return saved_missing(store, object->key, err);
	}
	if (data->get->size != object->size)
		return error_set(err, ERR_DAMAGED, NULL, "%s: %" PRId64 " bytes, %" PRId64 " were committed",
				 object->key, data->get->size, object->size);
	return saved_skip(data, offset, err);
}

bool saved_open_file(int fd, const struct manifest_object *object, int64_t offset, int64_t len, struct saved_data *data,
		     struct error *err)
{
	struct stat st;
	*data = saved_plan(object, offset, len);
	data->fd = fd;
	if (fstat(fd, &st) < 0 || st.st_size != object->size)
		return error_set(err, ERR_DAMAGED, NULL, "%s: the copy of it has another size", object->key);
	if (lseek(fd, (off_t)data->next * BLOCK_BYTES, SEEK_SET) < 0)
		return error_errno(err, ERR_SYSTEM, NULL, "cannot read the copy of %s", object->key);
	return saved_skip(data, offset, err);
}

bool saved_read(void *arg, void *into, size_t size, size_t *len, struct error *err)
{
	struct saved_data *d = arg;
	*len = 0;
	if (d->left == 0)
		return true;
	if (d->at == d->len && !saved_next_block(d, err))
		return false;
	*len = size < d->len - d->at ? size : d->len - d->at;
	*len = (int64_t)*len < d->left ? *len : (size_t)d->left;
	memcpy(into, d->block + d->at, *len);
	d->at += *len;
	d->left -= (int64_t)*len;
	return true;
}

bool saved_read_rest(struct saved_data *data, struct error *err)
{
	while (data->next < data->end)
		if (!saved_next_block(data, err))
			return false;
	return true;
}

static bool saved_verify_part(struct store *store, const struct manifest_object *object, int64_t offset, int64_t len,
			      struct error *err)
{
	CLEANUP(saved_data) struct saved_data data = { .get = NULL };
	return saved_open(store, object, offset, len, &data, err) &&
	       (saved_read_rest(&data, err) || error_wrap(err, "%s", object->key));
}

/* Its own, and what it uses of others. */
static bool saved_verify_data(struct store *store, const struct manifest *m, struct error *err)
{
	if (!saved_verify_part(store, &m->own, 0, -1, err))
		return false;
	for (size_t i = 0; i < m->contents.count; i++) {
		const struct tarball_member *member = &m->contents.members[i];
		if (member->elsewhere &&
		    !saved_verify_part(store, manifest_object_of(m, member), member->offset, member->size, err))
			return false;
	}
	return true;
}

bool saved_verify(struct store *store, const char *summary_json, struct error *err)
{
	CLEANUP(manifest) struct manifest m;
	CLEANUP(summary) struct summary summary = { .uri = NULL };
	manifest_init(&m);
	return summary_from_json(summary_json, &summary, err) && saved_manifest(store, &summary, &m, err) &&
	       saved_verify_data(store, &m, err);
}

bool saved_check(struct store *store, const char *key, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(manifest) struct manifest m;
	size_t len;
	manifest_init(&m);
	if (!store_get_text(store, key, MANIFEST_MAX, &text, &len, err))
		return false;
	if (!manifest_from_json(text, len, &m, err))
		return error_wrap(err, "%s", key);
	if (!saved_is_beside(key, &m, err))
		return false;
	struct store_stat st;
	struct error gone;
	if (saved_verify_data(store, &m, err))
		return true;
	/* Or was it deleted meanwhile? The manifest goes first. */
	if (!store_stat(store, key, &st, &gone) && gone.kind == ERR_NOT_FOUND && err)
		*err = gone;
	return false;
}
