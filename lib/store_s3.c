/*
 * s3://bucket/prefix: an object is one PUT, or a multipart upload (store_s3_put.c). A
 * download is ranges, several on their way while the first is read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/store_s3.h"

struct s3_get {
	struct store_get base;
	char *key;
	char etag[160];
	struct store_s3_slot slots[STORE_S3_SLOTS - 1];
	size_t next;   /* the slot that is read from */
	int64_t asked; /* up to here, from the start of the object */
	int64_t end;   /* where what is read ends */
	int64_t left;  /* that the reader has not had */
};

static bool s3_store_open(const char *url, struct store **store, struct error *err)
{
	struct store_s3 *made = mem_alloc(sizeof *made);
	if (!s3_open(url, &made->s3, err)) {
		free(made);
		return false;
	}
	made->base = (struct store){ .scheme = &store_s3, .url = mem_strdup(s3_settings_of(made->s3)->url) };
	*store = &made->base;
	return true;
}

static void s3_store_close(struct store *store)
{
	s3_close(store_s3_of(store));
	free(store->url);
	free(store);
}

/* ---- getting ---- */

static void s3_get_ask(struct s3_get *get, struct store_s3_slot *slot)
{
	int64_t left = get->end - get->asked;
	slot->len = left < STORE_S3_PART_BYTES ? (size_t)left : STORE_S3_PART_BYTES;
	slot->at = 0;
	if (!slot->len)
		return;
	if (!slot->data)
		slot->data = mem_alloc(slot->len);
	s3_call_init(&slot->call, "GET", get->key);
	slot->call.is_range = true;
	slot->call.from = get->asked;
	get->asked += (int64_t)slot->len;
	if (get->etag[0])
		s3_call_header(&slot->call, "if-match", get->etag);
	slot->call.into = slot->data;
	slot->call.into_size = slot->len;
	slot->is_busy = true;
	s3_begin(store_s3_of(get->base.store), &slot->call);
}

static void s3_get_close(struct store_get *base)
{
	struct s3_get *get = (struct s3_get *)base;
	for (size_t i = 0; i < ARRAY_LEN(get->slots); i++) {
		if (get->slots[i].is_busy) {
			s3_cancel(store_s3_of(base->store), &get->slots[i].call);
			s3_call_done(&get->slots[i].call);
		}
		free(get->slots[i].data);
	}
	free(get->key);
	free(get);
}

static bool s3_get_open(struct store *store, const char *key, const struct store_range *range, struct store_get **into,
			struct error *err)
{
	CLEANUP(s3_call) struct s3_call head;
	s3_call_init(&head, "HEAD", key);
	struct store_range part = *range;
	if (!s3_head(store_s3_of(store), &head, err) || !store_range_cut(store, key, head.size, &part, err))
		return false;
	struct s3_get *get = mem_alloc(sizeof *get);
	*get = (struct s3_get){ .base = { .store = store, .size = head.size },
				.key = mem_strdup(key),
				.asked = part.offset,
				.end = part.offset + part.len,
				.left = part.len };
	str_copy(get->etag, sizeof get->etag, head.etag);
	for (size_t i = 0; i < ARRAY_LEN(get->slots); i++)
		s3_get_ask(get, &get->slots[i]);
	*into = &get->base;
	return true;
}

static bool s3_get_arrived(struct s3_get *get, struct store_s3_slot *slot, struct error *err)
{
	s3_wait_for(store_s3_of(get->base.store), &slot->call);
	slot->is_busy = false;
	if (slot->call.error.kind != ERR_NONE && err)
		*err = slot->call.error;
	bool is_part = slot->call.status == 206 || (int64_t)slot->len == get->base.size; /* not the whole, cut */
	bool ok = slot->call.error.kind == ERR_NONE &&
		  ((is_part && slot->call.got == slot->len) ||
		   error_set(err, ERR_UNAVAILABLE, NULL, "store %s: a part of %s is missing", get->base.store->url,
			     get->key));
	s3_call_done(&slot->call);
	return ok;
}

static bool s3_get_read(struct store_get *base, void *data, size_t size, size_t *len, struct error *err)
{
	struct s3_get *get = (struct s3_get *)base;
	struct store_s3_slot *slot = &get->slots[get->next];
	*len = 0;
	if (!get->left)
		return true;
	if (slot->is_busy && !s3_get_arrived(get, slot, err))
		return false;
	*len = size < slot->len - slot->at ? size : slot->len - slot->at;
	memcpy(data, slot->data + slot->at, *len);
	slot->at += *len;
	get->left -= (int64_t)*len;
	if (slot->at == slot->len) {
		s3_get_ask(get, slot);
		get->next = (get->next + 1) % ARRAY_LEN(get->slots);
	}
	return true;
}

/* ---- the rest ---- */

static bool s3_store_link(struct store *store, const char *key, int64_t seconds, char **url, struct error *err)
{
	const char *slash = strrchr(key, '/');
	return s3_link(store_s3_of(store), key, slash ? slash + 1 : key, seconds, url, err);
}

static bool s3_store_stat(struct store *store, const char *key, struct store_stat *st, struct error *err)
{
	CLEANUP(s3_call) struct s3_call call;
	s3_call_init(&call, "HEAD", key);
	if (!s3_head(store_s3_of(store), &call, err))
		return false;
	*st = (struct store_stat){ .size = call.size, .modified_ms = call.modified_ms };
	return true;
}

static bool s3_store_remove(struct store *store, const char *key, struct error *err)
{
	CLEANUP(s3_call) struct s3_call call;
	struct error why;
	s3_call_init(&call, "DELETE", key);
	if (s3_run(store_s3_of(store), &call, &why) || why.kind == ERR_NOT_FOUND)
		return true;
	if (err)
		*err = why;
	return false;
}

/* Names are resolved, certificates are looked up, and libraries for both are loaded, with the first request. */
static bool s3_store_reads(const struct store *store, store_path_fn *fn, void *arg)
{
	static const char *const paths[] = { "/etc/resolv.conf",
					     "/etc/hosts",
					     "/etc/host.conf",
					     "/etc/nsswitch.conf",
					     "/etc/gai.conf",
					     "/etc/services",
					     "/etc/ld.so.cache",
					     "/etc/ssl/openssl.cnf",
					     "/etc/ssl/certs",
					     "/etc/pki/tls/certs",
					     "/etc/pki/ca-trust",
					     "/usr/share/ca-certificates",
					     "/usr/local/share/ca-certificates",
					     "/usr/lib",
					     "/usr/lib64",
					     "/lib",
					     "/lib64",
					     "/run/resolvconf",
					     "/run/NetworkManager",
					     "/run/systemd/resolve" };
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		fn(arg, paths[i]);
	const char *const named[] = { s3_settings_of(store_s3_of(store))->ca_file, getenv("SSL_CERT_FILE"),
				      getenv("SSL_CERT_DIR") };
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (named[i])
			fn(arg, named[i]);
	return true;
}

const struct store_scheme store_s3 = {
	.name = "s3",
	.form = "s3://bucket/prefix",
	.check = s3_check_url,
	.open = s3_store_open,
	.close = s3_store_close,
	.begin = store_s3_begin,
	.write = store_s3_write,
	.finish = store_s3_finish,
	.abort = store_s3_abort,
	.get = s3_get_open,
	.read = s3_get_read,
	.get_close = s3_get_close,
	.link = s3_store_link,
	.stat = s3_store_stat,
	.remove = s3_store_remove,
	.list = store_s3_list,
	.sweep = store_s3_sweep,
	.reads = s3_store_reads,
};
