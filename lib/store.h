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

/* Some bytes of an object. */
struct store_range {
	int64_t offset;
	int64_t len; /* -1: to its end */
};

/* False stops the listing, which then fails with *err as the function left it. */
typedef bool store_list_fn(void *arg, const char *key, const struct store_stat *st, struct error *err);

/* What a writer left under this key (or one like it, beside it), or is still writing. modified_ms: when it was begun,
 * or last written to; 0: not said. True removes it. */
typedef bool store_leftover_fn(void *arg, const char *key, int64_t modified_ms);

typedef void store_path_fn(void *arg, const char *path);

/* What a scheme provides; each object it makes begins with the struct of that name below. */
struct store_scheme {
	const char *name;                                  /* "file" */
	const char *form;                                  /* "file:///folder", for messages */
	bool (*check)(const char *url, struct error *err); /* the URL alone */
	void (*remember)(const char *url);                 /* NULL: nothing of it could go unseen */
	void (*expect)(const char *url, const char *installation, bool is_marked); /* likewise */
	bool (*is_marked)(const char *url);                                        /* likewise */
	bool (*open)(const char *url, struct store **store, struct error *err);
	void (*close)(struct store *store);
	bool (*begin)(struct store *store, const char *key, struct store_put **put, struct error *err);
	bool (*write)(struct store_put *put, const void *data, size_t len, struct error *err);
	bool (*finish)(struct store_put *put, struct error *err);
	void (*abort)(struct store_put *put);
	bool (*get)(struct store *store, const char *key, const struct store_range *range, struct store_get **get,
		    struct error *err);
	bool (*read)(struct store_get *get, void *data, size_t size, size_t *len, struct error *err);
	void (*get_close)(struct store_get *get);
	bool (*link)(struct store *store, const char *key, int64_t seconds, char **url,
		     struct error *err); /* NULL: none */
	bool (*stat)(struct store *store, const char *key, struct store_stat *st, struct error *err);
	bool (*remove)(struct store *store, const char *key, struct error *err);
	bool (*list)(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err);
	bool (*sweep)(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg, struct error *err);
	bool (*reads)(const struct store *store, store_path_fn *fn, void *arg);
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
	bool is_new;   /* nothing may be replaced: ERR_CONFLICT when there is an object */
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

/* For a daemon that begins, before its helpers: the disk that the store is on is remembered. From then on, here and in
 * what this process forks, opening it is ERR_UNAVAILABLE while that disk is not mounted: what would be written then,
 * to the folder below, would be gone with the next mount, and what is missed there is not lost. One store a process. */
void store_remember(const char *url);

/* And what it was stored in before: the first put leaves a mark, the object <installation>/mark. is_marked: somebody
 * knows that there is one; opening it is then ERR_UNAVAILABLE as long as it is missing. Learnt once it holds, here and
 * in what this process forks from then on. */
void store_expect(const char *url, const char *installation, bool is_marked);

/* The mark was left or seen there, by this process or by any that was forked after store_remember. */
bool store_is_marked(const char *url);

bool store_is_key(const char *key);

/* Each file and folder of this machine that reading from it may open from now on. True: it connects to another one. */
bool store_reads(const struct store *store, store_path_fn *fn, void *arg);

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
/* Only len bytes (-1: all) from offset on; fewer where it ends before. ERR_INPUT: it ends before offset. */
bool store_get_range(struct store *store, const char *key, int64_t offset, int64_t len, struct store_get **get,
		     struct error *err) MUST_CHECK;

/* A URL by which anybody may read the object for so many seconds (at most 7 days), as a download under the last part
 * of its key; it is not looked whether there is one. *url NULL: this kind of store has none. The caller frees it. */
bool store_link(struct store *store, const char *key, int64_t seconds, char **url, struct error *err) MUST_CHECK;

bool store_stat(struct store *store, const char *key, struct store_stat *st, struct error *err) MUST_CHECK;

/* What is not there is fine. */
bool store_remove(struct store *store, const char *key, struct error *err) MUST_CHECK;

/* Every object whose key begins with prefix, which is "" or ends with '/'; in no order. */
bool store_list(struct store *store, const char *prefix, store_list_fn *fn, void *arg, struct error *err) MUST_CHECK;

/* Removes what writers left unfinished below prefix, as far as fn says yes: it must know that the writer is dead. */
bool store_sweep(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg,
		 struct error *err) MUST_CHECK;
/* The same walk, removing nothing whatever fn says. */
bool store_leftovers(struct store *store, const char *prefix, store_leftover_fn *fn, void *arg,
		     struct error *err) MUST_CHECK;

/* ---- small objects in one piece ---- */
bool store_put_text(struct store *store, const char *key, const char *text, size_t len, struct error *err) MUST_CHECK;
/* Replaces nothing: ERR_CONFLICT when another object is there; the same one may be. A server that does not know
 * If-None-Match replaces it all the same: a second line of defence, behind keys that are used once. */
bool store_put_new(struct store *store, const char *key, const char *text, size_t len, struct error *err) MUST_CHECK;
/* ERR_DAMAGED when it is larger than max. The caller frees *text (NUL-terminated). */
bool store_get_text(struct store *store, const char *key, size_t max, char **text, size_t *len,
		    struct error *err) MUST_CHECK;

/* For schemes: *range is cut to an object of that size. ERR_INPUT: it begins behind it. */
bool store_range_cut(const struct store *store, const char *key, int64_t size, struct store_range *range,
		     struct error *err) MUST_CHECK;

/* An object of a file:///folder as a descriptor, for who sends it on; ERR_INPUT for other stores. The caller closes it.
 */
bool store_file_open(const char *url, const char *key, int *fd, int64_t *size, struct error *err) MUST_CHECK;

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
