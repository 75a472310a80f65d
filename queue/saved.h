/*
 * A stored checkpoint, read back: its manifest, which must be the one that was
 * committed, and its data, of which nobody sees a byte before the hash of its block was
 * found to be right. Its calls block: they belong into helper processes.
 *
 * What does not verify is ERR_DAMAGED; a store that cannot be read is ERR_UNAVAILABLE, and so
 * is one that holds nothing at all of the installation: it is more likely not mounted.
 */
#ifndef STOKER_QUEUE_SAVED_H
#define STOKER_QUEUE_SAVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/store.h"
#include "queue/manifest.h"

/* "<attempt>-<seq>" into its numbers. */
bool saved_split_id(const char *id, int64_t *attempt, int64_t *seq);

/* "<store>/<key>" → key, if uri is in this store; else ERR_UNAVAILABLE. The caller frees it. */
char *saved_key_of_uri(const char *store_url, const char *uri, struct error *err);

/* What could not be read, as err says; false. If it was not there: ERR_DAMAGED, or ERR_UNAVAILABLE when the store holds
 * nothing of this installation. */
bool saved_missing(struct store *store, const char *key, struct error *err);

/* The manifest that a committed summary names. m is the caller's either way (manifest_done). */
bool saved_manifest(struct store *store, const struct summary *summary, struct manifest *m,
		    struct error *err) MUST_CHECK;

/* What saved_manifest does, in two: to fetch the text, which the caller frees, and to see that it is what was
 * committed. */
bool saved_fetch_manifest(struct store *store, const char *key, char **text, size_t *len, struct error *err) MUST_CHECK;
bool saved_read_manifest(const char *key, const struct summary *summary, const char *text, size_t len,
			 struct manifest *m, struct error *err) MUST_CHECK;

/* Its data, a verified block at a time. */
struct saved_data {
	struct store_get *get; /* NULL: they come from fd */
	int fd;
	const struct manifest_object *object; /* must outlive it */
	char *block;
	size_t len, at;   /* of the block that is verified, and what was read of it */
	size_t next, end; /* blocks */
	int64_t left;     /* bytes that are still handed out */
	void (*tee)(void *arg, const void *block, size_t len); /* told of each block that verified; may be NULL */
	void *tee_arg;
};

/* Where to begin, and how much of it is wanted; whole blocks are fetched and verified. len -1: to its end. */
bool saved_open(struct store *store, const struct manifest_object *object, int64_t offset, int64_t len,
		struct saved_data *data, struct error *err) MUST_CHECK;
/* The same of a file that should hold them; takes fd over. */
bool saved_open_file(int fd, const struct manifest_object *object, int64_t offset, int64_t len, struct saved_data *data,
		     struct error *err) MUST_CHECK;
void saved_close(struct saved_data *data);

/* A tarball_read_fn; arg is the struct saved_data. *len 0 at the end. */
bool saved_read(void *arg, void *into, size_t size, size_t *len, struct error *err) MUST_CHECK;
/* Verifies what was not read yet. */
bool saved_read_rest(struct saved_data *data, struct error *err) MUST_CHECK;

/* All of it: what a summary names is there and as it was committed. */
bool saved_verify(struct store *store, const char *summary_json, struct error *err) MUST_CHECK;
/* The same of a manifest by its key, whatever was committed: its data are as it says. ERR_NOT_FOUND: it is not there,
 * or not any more. */
bool saved_check(struct store *store, const char *key, struct error *err) MUST_CHECK;

static inline void cleanup_saved_data(struct saved_data *data)
{
	saved_close(data);
}

#endif
