#include "lib/store.h"

#include <string.h>
#include <strings.h>

#include "lib/beneath.h"
#include "lib/buf.h"

static const struct store_scheme *const store_schemes[] = { &store_file, &store_s3 };

static const struct store_scheme *store_scheme_of(const char *url)
{
	for (size_t i = 0; i < ARRAY_LEN(store_schemes); i++) {
		size_t len = strlen(store_schemes[i]->name);
		if (strncmp(url, store_schemes[i]->name, len) == 0 && strncmp(url + len, "://", 3) == 0)
			return store_schemes[i];
	}
	return NULL;
}

bool store_check_url(const char *url, struct error *err)
{
	const struct store_scheme *scheme = store_scheme_of(url);
	if (scheme)
		return !scheme->check || scheme->check(url, err);
	char forms[128] = "";
	size_t used = 0;
	for (size_t i = 0; i < ARRAY_LEN(store_schemes); i++)
		if (str_format(forms + used, sizeof forms - used, "%s%s", i ? ", " : "", store_schemes[i]->form))
			used += strlen(forms + used);
	return error_set(err, ERR_INPUT, "on one machine, or with a shared file system: file:///folder",
			 "store %s: this kind of store is not supported (supported: %s)", url, forms);
}

bool store_is_key(const char *key)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+:@,-./";
	return beneath_is_path(key) && key[strspn(key, allowed)] == '\0' && key[0] != '.' && !strstr(key, "/.");
}

static bool store_check_key(const struct store *store, const char *key, struct error *err)
{
	return store_is_key(key) ||
	       error_set(err, ERR_INPUT, NULL, "store %s: not a key for an object: \"%s\"", store->url, key);
}

static bool store_check_prefix(const struct store *store, const char *prefix, struct error *err)
{
	size_t len = strlen(prefix);
	if (len == 0)
		return true;
	CLEANUP(free_p) char *key = mem_strndup(prefix, len - 1);
	return (prefix[len - 1] == '/' && store_is_key(key)) ||
	       error_set(err, ERR_INPUT, NULL, "store %s: not a prefix of keys: \"%s\"", store->url, prefix);
}

bool store_open(const char *url, struct store **store, struct error *err)
{
	*store = NULL;
	return store_check_url(url, err) && store_scheme_of(url)->open(url, store, err);
}

void store_close(struct store *store)
{
	if (store)
		store->scheme->close(store);
}

bool store_begin(struct store *store, const char *key, struct store_put **put, struct error *err)
{
	*put = NULL;
	if (!store_check_key(store, key, err) || !store->scheme->begin(store, key, put, err))
		return false;
	(*put)->digest = digest_new();
	return true;
}

static void store_end_block(struct store_put *put)
{
	struct digest_hex hash = digest_take(put->digest);
	blocks_add(&put->blocks, &hash);
	put->filled = 0;
}

bool store_write(struct store_put *put, const void *data, size_t len, struct error *err)
{
	const char *from = data;
	while (len) {
		size_t room = BLOCK_BYTES - put->filled, part = len < room ? len : room;
		digest_add(put->digest, from, part);
		if (!put->store->scheme->write(put, from, part, err))
			return false;
		put->filled += part;
		from += part;
		len -= part;
		if (put->filled == BLOCK_BYTES)
			store_end_block(put);
	}
	return true;
}

bool store_finish(struct store_put *put, struct blocks *blocks, struct error *err)
{
	if (put->filled || !put->blocks.count)
		store_end_block(put);
	digest_free(STEAL(put->digest));
	struct blocks all = put->blocks; /* the put is gone after this */
	bool ok = put->store->scheme->finish(put, err);
	if (ok && blocks)
		*blocks = all;
	else
		blocks_done(&all);
	return ok;
}

void store_abort(struct store_put *put)
{
	if (!put)
		return;
	digest_free(put->digest);
	blocks_done(&put->blocks);
	put->store->scheme->abort(put);
}

bool store_get(struct store *store, const char *key, struct store_get **get, struct error *err)
{
	*get = NULL;
	return store_check_key(store, key, err) && store->scheme->get(store, key, get, err);
}

bool store_read(struct store_get *get, void *data, size_t size, size_t *len, struct error *err)
{
	return get->store->scheme->read(get, data, size, len, err);
}

void store_get_close(struct store_get *get)
{
	if (get)
		get->store->scheme->get_close(get);
}

bool store_stat(struct store *store, const char *key, struct store_stat *st, struct error *err)
{
	return store_check_key(store, key, err) && store->scheme->stat(store, key, st, err);
}

bool store_remove(struct store *store, const char *key, struct error *err)
{
	return store_check_key(store, key, err) && store->scheme->remove(store, key, err);
}

bool store_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err)
{
	return store_check_prefix(store, prefix, err) && store->scheme->list(store, prefix, fn, arg, err);
}

bool store_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err)
{
	return store_check_prefix(store, prefix, err) && store->scheme->sweep(store, prefix, fn, arg, err);
}

bool store_put_text(struct store *store, const char *key, const char *text, size_t len, struct error *err)
{
	struct store_put *put;
	if (!store_begin(store, key, &put, err))
		return false;
	if (store_write(put, text, len, err))
		return store_finish(put, NULL, err);
	store_abort(put);
	return false;
}

bool store_get_text(struct store *store, const char *key, size_t max, char **text, size_t *len, struct error *err)
{
	CLEANUP(store_get) struct store_get *get = NULL;
	if (!store_get(store, key, &get, err))
		return false;
	CLEANUP(buf) struct buf whole;
	buf_init(&whole, max);
	char piece[16384];
	size_t got;
	do {
		if (!store_read(get, piece, sizeof piece, &got, err))
			return false;
		if (!buf_add(&whole, piece, got))
			return error_set(err, ERR_DAMAGED, NULL, "store %s: %s is larger than %zu bytes", store->url,
					 key, max);
	} while (got);
	*len = whole.len;
	*text = buf_take(&whole);
	return true;
}
