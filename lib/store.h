/*
 * The object store: immutable objects under keys, behind a table of functions chosen
 * by the scheme of a URL. Its calls block: they belong into helper processes.
 *
 * A put is written as a stream and exists only once store_finish returned true:
 * the way of an S3 multipart upload (begin, parts, complete or abort), and of a
 * file that is synced and renamed into place. A writer that dies leaves nothing that
 * stat, get or list can see; store_sweep removes what it left behind.
 *
 * A key is a clean relative path whose parts are [A-Za-z0-9_=+:@,-] and '.', and do not
 * begin with '.': no key can name anything outside the root, or a leftover.
 */
#ifndef STOKER_LIB_STORE_H
#define STOKER_LIB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/blocks.h"
#include "lib/error.h"

struct store;
struct store_put;
struct store_get;

struct store_stat {
	int64_t size;
	int64_t modified_ms;
};

/* False stops the listing, which then fails with *err as the function left it. */
typedef bool store_list_fn(void *arg, const char *key, const struct store_stat *st, struct error *err);

/* What a dead writer left under this key (or one like it, beside it): true removes it. */
typedef bool store_leftover_fn(void *arg, const char *key);

/* What a scheme provides; each object it makes begins with the struct of that name below. */
struct store_scheme {
	const char *name;                                  /* "file" */
	const char *form;                                  /* "file:///folder", for messages */
	bool (*check)(const char *url, struct error *err); /* the URL alone */
	bool (*open)(const char *url, struct store **store, struct error *err);
	void (*close)(struct store *store);
	bool (*begin)(struct store *store, const char *key, struct store_put **put, struct error *err);
	bool (*write)(struct store_put *put, const void *data, size_t len, struct error *err);
	bool (*finish)(struct store_put *put, struct error *err);
	void (*abort)(struct store_put *put);
	bool (*get)(struct store *store, const char *key, struct store_get **get, struct error *err);
	bool (*read)(struct store_get *get, void *data, size_t size, size_t *len, struct error *err);
	void (*get_close)(struct store_get *get);
	bool (*stat)(struct store *store, const char *key, struct store_stat *st, struct error *err);
	bool (*remove)(struct store *store, const char *key, struct error *err);
	bool (*list)(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err);
	bool (*sweep)(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err);
};

struct store {
	const struct store_scheme *scheme;
	char *url; /* without a slash at its end */
};
struct store_put {
	struct store *store;
	struct blocks blocks; /* that are complete */
	struct digest *digest;
	size_t filled; /* bytes of the block that is not */
};
struct store_get {
	struct store *store;
	int64_t size; /* of the whole object */
};

/* ERR_INPUT: not a URL that is supported; ERR_UNAVAILABLE: the store cannot be reached. */
bool store_open(const char *url, struct store **store, struct error *err) MUST_CHECK;
void store_close(struct store *store);

/* Only the URL is looked at: for programs that check their options before they need the store. */
bool store_check_url(const char *url, struct error *err);

bool store_is_key(const char *key);

/* A put ends by exactly one of finish (also when it fails) and abort. An object that is there is replaced. What is
 * written is hashed on the way, once: blocks, unless it is NULL, gets the hashes (blocks_done). */
bool store_begin(struct store *store, const char *key, struct store_put **put, struct error *err) MUST_CHECK;
bool store_write(struct store_put *put, const void *data, size_t len, struct error *err) MUST_CHECK;
bool store_finish(struct store_put *put, struct blocks *blocks, struct error *err) MUST_CHECK;
void store_abort(struct store_put *put);

/* ERR_NOT_FOUND when there is no such object. *len 0 at the end. */
bool store_get(struct store *store, const char *key, struct store_get **get, struct error *err) MUST_CHECK;
bool store_read(struct store_get *get, void *data, size_t size, size_t *len, struct error *err) MUST_CHECK;
void store_get_close(struct store_get *get);

bool store_stat(struct store *store, const char *key, struct store_stat *st, struct error *err) MUST_CHECK;

/* What is not there is fine. */
bool store_remove(struct store *store, const char *key, struct error *err) MUST_CHECK;

/* Every object whose key begins with prefix, which is "" or ends with '/'; in no order. */
bool store_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* Removes what writers left unfinished below prefix, as far as fn says yes: it must know that the writer is dead. */
bool store_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;

/* ---- small objects in one piece ---- */
bool store_put_text(struct store *store, const char *key, const char *text, size_t len, struct error *err) MUST_CHECK;
/* ERR_DAMAGED when it is larger than max. The caller frees *text (NUL-terminated). */
bool store_get_text(struct store *store, const char *key, size_t max, char **text, size_t *len,
		    struct error *err) MUST_CHECK;

extern const struct store_scheme store_file, store_s3;

static inline void cleanup_store(struct store **store)
{
	store_close(*store);
}

static inline void cleanup_store_get(struct store_get **get)
{
	store_get_close(*get);
}

#endif
