#include "scheduler/code_store.h"

#include <inttypes.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/store.h"
#include "queue/code_data.h"

enum { CODE_STORE_YOUNG_MS = 3600 * 1000 };

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
