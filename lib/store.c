#include "lib/store.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "lib/beneath.h"
#include "lib/buf.h"

enum { STORE_LINK_MAX_S = 7 * 24 * 3600 }; /* what signatures can say */

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

void store_remember(const char *url)
{
	const struct store_scheme *scheme = store_scheme_of(url);
	if (scheme && scheme->remember)
		scheme->remember(url);
}

void store_expect(const char *url, const char *installation, bool is_marked)
{
	const struct store_scheme *scheme = store_scheme_of(url);
	if (scheme && scheme->expect)
		scheme->expect(url, installation, is_marked);
}

bool store_is_marked(const char *url)
{
	const struct store_scheme *scheme = store_scheme_of(url);
	return scheme && scheme->is_marked && scheme->is_marked(url);
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
	return store_get_range(store, key, 0, -1, get, err);
}

bool store_get_range(struct store *store, const char *key, int64_t offset, int64_t len, struct store_get **get,
		     struct error *err)
{
	const struct store_range range = { offset, len };
	*get = NULL;
	return store_check_key(store, key, err) && store->scheme->get(store, key, &range, get, err);
}

bool store_range_cut(const struct store *store, const char *key, int64_t size, struct store_range *range,
		     struct error *err)
{
	if (range->offset < 0 || range->offset > size)
		return error_set(err, ERR_INPUT, NULL, "store %s: %s has %" PRId64 " bytes, none at %" PRId64,
				 store->url, key, size, range->offset);
	if (range->len < 0 || range->len > size - range->offset)
		range->len = size - range->offset;
	return true;
}

bool store_link(struct store *store, const char *key, int64_t seconds, char **url, struct error *err)
{
	*url = NULL;
	if (!store_check_key(store, key, err))
		return false;
	if (seconds < 1 || seconds > STORE_LINK_MAX_S)
		return error_set(err, ERR_INPUT, NULL, "store %s: a link lasts 1 s to 7 days, not %" PRId64 " s",
				 store->url, seconds);
	return !store->scheme->link || store->scheme->link(store, key, seconds, url, err);
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

bool store_reads(const struct store *store, store_path_fn *fn, void *arg)
{
	return store->scheme->reads(store, fn, arg);
}

struct store_walk {
	store_leftover_fn *fn;
	void *arg;
};

static bool store_only_tell(void *arg, const char *key, int64_t modified_ms)
{
	const struct store_walk *walk = arg;
	walk->fn(walk->arg, key, modified_ms);
	return false;
}

bool store_leftovers(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err)
{
	struct store_walk walk = { fn, arg };
	return store_sweep(store, prefix, store_only_tell, &walk, err);
}

static bool store_put_small(struct store *store, const char *key, const char *text, size_t len, bool is_new,
			    struct error *err)
{
	struct store_put *put;
	if (!store_begin(store, key, &put, err))
		return false;
	put->is_new = is_new;
	if (store_write(put, text, len, err))
		return store_finish(put, NULL, err);
	store_abort(put);
	return false;
}

bool store_put_text(struct store *store, const char *key, const char *text, size_t len, struct error *err)
{
	return store_put_small(store, key, text, len, false, err);
}

/* What is there may be our own: written by a try whose answer was lost. */
bool store_put_new(struct store *store, const char *key, const char *text, size_t len, struct error *err)
{
	CLEANUP(free_p) char *found = NULL;
	size_t found_len = 0;
	struct error why;
	if (store_put_small(store, key, text, len, true, &why))
		return true;
	if (why.kind == ERR_CONFLICT) {
		if (store_get_text(store, key, len, &found, &found_len, &why) && found && found_len == len &&
		    memcmp(found, text, len) == 0)
			return true;
		if (why.kind == ERR_NOT_FOUND)
			error_set(&why, ERR_UNAVAILABLE, NULL, "store %s: %s was there, and is not any more",
				  store->url, key);
		else if (found || why.kind == ERR_DAMAGED) /* read, or too long: another one */
			error_set(&why, ERR_CONFLICT, "who else writes into this store?",
				  "store %s: %s is there already, with other contents", store->url, key);
	}
	if (err)
		*err = why;
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
