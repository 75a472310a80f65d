/*
 * What is known about one stored checkpoint: the manifest beside its data (everything,
 * with the hash of each block of the data) and the summary that is committed in Redis
 * (docs/protocol.md). The summary carries the hashes of both, so that nothing in the store
 * has to be trusted.
 */
#ifndef STOKER_QUEUE_MANIFEST_H
#define STOKER_QUEUE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/blocks.h"
#include "lib/error.h"
#include "lib/tarball.h"
#include "queue/marks.h"

#define MANIFEST_MAX        (32 * 1024 * 1024)
#define MANIFEST_OTHERS_MAX 8

/* The members of the tar begin with one of these. */
#define MANIFEST_CHECKPOINT "checkpoint" /* relative to the checkpoint folder */
#define MANIFEST_WORK       "work"       /* relative to the working folder */

struct manifest_object {
	int64_t seq; /* of the checkpoint that it was stored with */
	char *key;
	int64_t size;       /* as it is stored */
	bool is_compressed; /* by zstd; never one of the others: nothing in it has a place of its own */
	struct blocks blocks;
};

/* A file that did not change since an earlier checkpoint of the attempt is not stored again: its member says which of
 * the others has it (tarball_member.elsewhere: 1 is the first). */
struct manifest {
	char *job;
	char *uid;
	char *token;
	int64_t attempt;
	int64_t seq;
	int64_t step;       /* -1: unknown */
	int64_t epoch;      /* -1: unknown */
	struct marks marks; /* their values when it was saved */
	int optimizer;      /* 1, 0, -1: unknown */
	int64_t time_ms;
	int64_t begun_boot_ms; /* the same by the clock since the boot; in no manifest. 0: unknown */
	int64_t seen;          /* the newest step that had been reported then; likewise; -1: none */
	char *framework;
	char *verified; /* in words, what was proved */
	char *resume;   /* member that STOKER_RESUME names: a file, or a folder that holds all files */
	struct manifest_object own;
	struct manifest_object *others; /* up to MANIFEST_OTHERS_MAX; NULL: none */
	size_t other_count;
	struct tarball contents;
};

void manifest_init(struct manifest *m);
void manifest_done(struct manifest *m);

/* The object that has the data of this file. */
const struct manifest_object *manifest_object_of(const struct manifest *m, const struct tarball_member *member);
/* The one of this checkpoint of the attempt, as one of the others; 0: there are too many. Copied when it is new. */
size_t manifest_other(struct manifest *m, const struct manifest_object *object);

/* The caller frees them. */
char *manifest_to_json(const struct manifest *m);
char *manifest_summary_json(const struct manifest *m, const char *uri, const char *manifest_sha256);

/* ERR_DAMAGED when it is not a manifest, ERR_UNAVAILABLE when it is one of a newer version. m is owned by the caller
 * either way. */
bool manifest_from_json(const char *text, size_t len, struct manifest *m, struct error *err) MUST_CHECK;

struct summary {
	char *uri;             /* of manifest.json */
	char *sha256;          /* of the data object: that of its blocks */
	char *manifest_sha256; /* NULL: not given */
	char *token;
	int64_t attempt;
	int64_t seq;
	int64_t size;
	int64_t step; /* -1: unknown */
};

/* ERR_DAMAGED when it lacks what a restore needs. */
bool summary_from_json(const char *text, struct summary *s, struct error *err) MUST_CHECK;
void summary_done(struct summary *s);

static inline void cleanup_manifest(struct manifest *m)
{
	manifest_done(m);
}

static inline void cleanup_summary(struct summary *s)
{
	summary_done(s);
}

#endif
