/*
 * Requests to S3: signed, several in flight on kept connections (libcurl's multi handle),
 * each tried again while that can help. Blocks, and belongs into helper processes.
 *
 * A thread of its own moves the transfers, so that the caller can read and hash meanwhile;
 * all functions are for one other thread, that which opened it. A process that has forked
 * since s3_open cannot use it in the child.
 */
#ifndef STOKER_LIB_S3_H
#define STOKER_LIB_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/error.h"
#include "lib/s3_settings.h"

struct s3;
struct s3_transfer;

enum s3_again {
	S3_AGAIN,     /* on a lost connection, a busy server, and what else passes */
	S3_AGAIN_NOT, /* the caller must look first what came of it */
};

struct s3_call {
	const char *method;
	const char *key; /* below the store's prefix; NULL: the bucket itself */
	struct s3_pair query[S3_PAIRS_MAX];
	size_t query_count;
	struct s3_pair headers[S3_PAIRS_MAX]; /* names in lower case */
	size_t header_count;
	const void *body; /* must live until the end */
	size_t body_len;
	const char *sha256; /* hex, of the body; NULL: it is worked out */
	bool is_kept;       /* of a body: the server keeps its hash, as x-amz-checksum-sha256, where it knows that */
	void *into;         /* where the answer's bytes go; NULL: into text */
	bool is_range; /* of a GET: into_size bytes from `from` on; what a cut connection left is asked for, no more */
	int64_t from;
	size_t into_size; /* more is an error */
	enum s3_again again;

	/* The answer. */
	bool is_done;
	int status;      /* 0: there was none */
	bool is_unknown; /* the request may have happened, and may not */
	struct buf text; /* of a document, or of an error */
	size_t got;      /* bytes in into */
	char etag[160];
	bool keeps_sums;     /* of an upload that was begun: SHA-256 of each part */
	int64_t size;        /* of the whole object, as content-range or content-length says; -1: not said */
	int64_t modified_ms; /* 0: not said */
	struct error error;  /* kind ERR_NONE: it went well */

	struct s3_transfer *transfer; /* private */
};

/* ERR_AUTH: no keys; ERR_SYSTEM: no libcurl. */
bool s3_open(const char *url, struct s3 **s3, struct error *err) MUST_CHECK;
void s3_close(struct s3 *s3);
const struct s3_settings *s3_settings_of(const struct s3 *s3);

/* A call is initialised by s3_call_init, and freed by s3_call_done when it has ended or never begun. */
void s3_call_init(struct s3_call *call, const char *method, const char *key);
void s3_call_query(struct s3_call *call, const char *name, const char *value);
void s3_call_header(struct s3_call *call, const char *name, const char *value);
void s3_call_done(struct s3_call *call);

/* A URL to GET the object by, as the file `name`, until so many seconds from now; while no call is under way. The
 * caller frees it. */
bool s3_link(struct s3 *s3, const char *key, const char *name, int64_t seconds, char **url,
	     struct error *err) MUST_CHECK;

/* Begins; the call stays where it is until it is done, and is not looked at before. */
void s3_begin(struct s3 *s3, struct s3_call *call);
bool s3_is_done(struct s3 *s3, const struct s3_call *call);
/* Waits until one more call has ended, of those that were under way when this returned the last time or begun since. */
void s3_wait(struct s3 *s3);
void s3_wait_for(struct s3 *s3, const struct s3_call *call);
/* Ends a call early, whatever came of it. */
void s3_cancel(struct s3 *s3, struct s3_call *call);
/* Begins, and waits for the end. False: err is that of the call. */
bool s3_run(struct s3 *s3, struct s3_call *call, struct error *err) MUST_CHECK;
/* s3_run of a HEAD, which says a size if it succeeds; ERR_NOT_FOUND only when a GET says so as well. */
bool s3_head(struct s3 *s3, struct s3_call *call, struct error *err) MUST_CHECK;

static inline void cleanup_s3_call(struct s3_call *call)
{
	s3_call_done(call);
}

#endif
