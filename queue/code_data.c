#include "queue/code_data.h"

#include <string.h>

#include "lib/buf.h"

bool code_read(struct store *store, const char *installation, const char *hash, struct code *code, struct error *err)
{
	CLEANUP(free_p) char *key = code_key(installation, hash, "manifest.json");
	CLEANUP(free_p) char *text = NULL;
	size_t len;
	*code = (struct code){ .contents.members = NULL };
	return store_get_text(store, key, CODE_MANIFEST_MAX, &text, &len, err) &&
	       (code_from_json(text, len, hash, code, err) || error_wrap(err, "%s", key));
}

void code_data_done(struct code_data *data)
{
	free(data->block);
	data->block = NULL;
}

static bool code_next_block(struct code_data *d, struct error *err)
{
	const struct code *code = d->code;
	free(d->block);
	d->block = NULL;
	d->len = d->at = 0;
	if (d->next == code->blocks.count)
		return true; /* the end */
	const char *hash = code->blocks.hashes[d->next].text;
	CLEANUP(free_p) char *key = code_key(d->installation, d->hash, hash);
	if (!store_get_text(d->store, key, BLOCK_BYTES, &d->block, &d->len, err))
		return false;
	if ((int64_t)d->len == code_block_size(code, d->next) && strcmp(digest_of(d->block, d->len).text, hash) == 0) {
		d->next++;
		return true;
	}
	d->len = 0;
	return error_set(err, ERR_DAMAGED, NULL, "%s: its SHA-256 is not the one that its name says", key);
}

bool code_data_read(void *arg, void *into, size_t size, size_t *len, struct error *err)
{
	struct code_data *d = arg;
	if (d->at == d->len && !code_next_block(d, err))
		return false;
	*len = size < d->len - d->at ? size : d->len - d->at;
	if (*len)
		memcpy(into, d->block + d->at, *len);
	d->at += *len;
	return true;
}
