#include "scheduler/code_store.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/store.h"
#include "queue/code_data.h"

enum {
	CODE_STORE_YOUNG_MS = 3600 * 1000,
	CODE_STORE_FILE_MAX = 1024 * 1024,
	CODE_STORE_DOOMED_MS = 600 * 1000, /* less than DOOMED_S of lua/code.lua */
};

static bool code_store_has(struct store *store, const char *key, int64_t size)
{
	struct store_stat st;
	struct error ignored;
	return store_stat(store, key, &st, &ignored) && st.size == size;
}

bool code_store_block(void *request, struct buf *text, struct error *err)
{
	const struct code_request *r = request;
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(free_p) char *key = code_key(r->installation, r->hash, r->block);
	if (strcmp(digest_of(r->data, r->len).text, r->block) != 0)
		return error_set(err, ERR_INPUT, "send it again", "block %s: its SHA-256 is another one", r->block);
	(void)!buf_str(text, "{}");
	/* Written even if it is there: it may be damaged, and that is what it is sent for. */
	return store_open(r->store, &store, err) && store_put_text(store, key, r->data, r->len, err);
}

static void code_store_summary(const struct code *code, const char *hash, struct buf *text)
{
	(void)!buf_printf(text, "{\"code\":\"%s\",\"size\":%" PRId64 ",\"files\":%zu}", hash,
			  tarball_content_size(&code->contents), code->contents.count);
}

static bool code_store_complete(struct store *store, const struct code_request *r, const struct code *code,
				struct error *err)
{
	for (size_t i = 0; i < code->blocks.count; i++) {
		CLEANUP(free_p) char *key = code_key(r->installation, r->hash, code->blocks.hashes[i].text);
		if (!code_store_has(store, key, code_block_size(code, i)))
			return error_set(err, ERR_CONFLICT, "send its blocks, then the manifest again",
					 "code %s: its block %zu is not in the store", r->hash, i + 1);
	}
	return true;
}

bool code_store_manifest(void *request, struct buf *text, struct error *err)
{
	const struct code_request *r = request;
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(code) struct code code = { .contents.members = NULL };
	CLEANUP(free_p) char *key = code_key(r->installation, r->hash, "manifest.json");
	if (!code_from_json(r->data, r->len, r->hash, &code, err)) {
		if (err)
			err->kind = ERR_INPUT;
		return false;
	}
	CLEANUP(free_p) char *json = code_to_json(&code); /* nothing of what was sent beside it */
	if (!store_open(r->store, &store, err) || !code_store_complete(store, r, &code, err) ||
	    !store_put_text(store, key, json, strlen(json), err))
		return false;
	code_store_summary(&code, r->hash, text);
	return true;
}

/* Two that renew it at once write the same. */
static bool code_store_renew(struct store *store, const char *key, const char *json, struct error *err)
{
	struct store_stat st;
	return store_stat(store, key, &st, err) && (clock_wall_ms() - st.modified_ms < CODE_STORE_YOUNG_MS ||
						    store_put_text(store, key, json, strlen(json), err));
}

bool code_store_get(void *request, struct buf *text, struct error *err)
{
	const struct code_request *r = request;
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(code) struct code code = { .contents.members = NULL };
	CLEANUP(free_p) char *key = code_key(r->installation, r->hash, "manifest.json");
	if (!store_open(r->store, &store, err) || !code_read(store, r->installation, r->hash, &code, err))
		return false;
	CLEANUP(free_p) char *json = code_to_json(&code);
	if (r->is_short && !code_store_complete(store, r, &code, err)) {
		if (err)
			err->kind = ERR_NOT_FOUND; /* as good as not there: it is to be sent again */
		return false;
	}
	if (!code_store_renew(store, key, json, err))
		return false;
	if (r->is_short)
		code_store_summary(&code, r->hash, text);
	else
		(void)!buf_str(text, json);
	return true;
}

/* The bytes of one file out of the tar, by the place that the manifest gives it. */
static bool code_store_extract(struct code_data *data, const struct tarball_member *file, char *into, struct error *err)
{
	int64_t at = 0, end = file->offset + file->size;
	char part[16384];
	size_t got = 1;
	while (at < end && got) {
		if (!code_data_read(data, part, sizeof part, &got, err))
			return false;
		for (size_t i = 0; i < got; i++)
			if (at + (int64_t)i >= file->offset && at + (int64_t)i < end)
				into[at + (int64_t)i - file->offset] = part[i];
		at += (int64_t)got;
	}
	return strcmp(digest_of(into, (size_t)file->size).text, file->sha256.text) == 0 ||
	       error_set(err, ERR_DAMAGED, NULL, "%s: its SHA-256 is not that of the manifest", file->path);
}

static const struct tarball_member *code_store_find(const struct code *code, const char *path)
{
	for (size_t i = 0; i < code->contents.count; i++)
		if (strcmp(code->contents.members[i].path, path) == 0)
			return &code->contents.members[i];
	return NULL;
}

bool code_store_file(void *request, struct buf *text, struct error *err)
{
	const struct code_request *r = request;
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(code) struct code code = { .contents.members = NULL };
	if (!store_open(r->store, &store, err) || !code_read(store, r->installation, r->hash, &code, err))
		return false;
	const struct tarball_member *file = code_store_find(&code, r->file);
	if (!file)
		return error_set(err, ERR_NOT_FOUND, NULL, "code %s has no file %s", r->hash, r->file);
	if (file->size > CODE_STORE_FILE_MAX)
		return error_set(err, ERR_INPUT, NULL, "%s is larger than 1 MiB", r->file);
	CLEANUP(code_data)
	struct code_data data = { .store = store, .installation = r->installation, .hash = r->hash, .code = &code };
	CLEANUP(free_p) char *bytes = mem_alloc((size_t)file->size + 1);
	if (!code_store_extract(&data, file, bytes, err))
		return false;
	json_auto_t *answer = json_object();
	json_t *value = json_stringn(bytes, (size_t)file->size);
	if (!value)
		return error_set(err, ERR_INPUT, NULL, "%s is no UTF-8 text", r->file);
	json_object_set_new(answer, "path", json_string(r->file));
	json_object_set_new(answer, "text", value);
	CLEANUP(free_p) char *json = json_dumps(answer, JSON_COMPACT);
	return json && buf_str(text, json);
}

/* ---- deleting ---- */

struct code_objects {
	struct buf keys; /* one a line */
	int64_t modified_ms;
};

static bool code_store_add_object(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	struct code_objects *objects = arg;
	objects->modified_ms = st->modified_ms > objects->modified_ms ? st->modified_ms : objects->modified_ms;
	return buf_printf(&objects->keys, "%s\n", key) || error_set(err, ERR_FULL, NULL, "%s: too many objects", key);
}

/* The manifest first: without it the rest is as good as not there. */
static bool code_store_remove_objects(struct store *store, const struct code_removal *r, const char *hash, char *keys,
				      struct error *err)
{
	CLEANUP(free_p) char *manifest = code_key(r->installation, hash, "manifest.json");
	bool ok = store_remove(store, manifest, err);
	for (char *key = strsep(&keys, "\n"); ok && key; key = strsep(&keys, "\n")) {
		if (clock_boot_ms() - r->doomed_ms > CODE_STORE_DOOMED_MS)
			return error_set(err, ERR_UNAVAILABLE, "stoker gc goes on", "the store is too slow");
		ok = !*key || store_remove(store, key, err);
	}
	return ok;
}

bool code_store_remove(void *removal, struct buf *text, struct error *err)
{
	const struct code_removal *r = removal;
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(free_p) char *hashes = mem_strdup(r->hashes);
	char *rest = hashes;
	bool ok = store_open(r->store, &store, err);
	for (char *hash = strsep(&rest, "\n"); ok && hash; hash = strsep(&rest, "\n")) {
		struct code_objects objects = { .modified_ms = 0 };
		CLEANUP(free_p) char *prefix = code_key(r->installation, hash, "");
		if (!*hash)
			continue;
		buf_init(&objects.keys, 16 << 20);
		ok = store_list(store, prefix, code_store_add_object, &objects, err);
		bool is_young = clock_wall_ms() - objects.modified_ms < r->older_ms;
		CLEANUP(free_p) char *keys = mem_strdup(buf_text(&objects.keys));
		buf_done(&objects.keys);
		ok = ok && (is_young ||
			    (code_store_remove_objects(store, r, hash, keys, err) && buf_printf(text, "%s\n", hash)));
	}
	return ok;
}
