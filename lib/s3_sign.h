/*
 * AWS Signature Version 4 for S3: a pure function of a request, keys and the time.
 *
 * Of our own, since libcurl's is wrong for S3 in what Debian 12 has: it hashes an empty body for a PUT that is read
 * from a callback, does not encode the path, and does not sort or complete the query.
 * Source: AWS General Reference, "Signature Version 4 signing process", and "Authenticating Requests" of the S3 API
 * Reference: for S3 the path is encoded once and not normalised.
 */
#ifndef STOKER_LIB_S3_SIGN_H
#define STOKER_LIB_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"

#define S3_UNSIGNED   "UNSIGNED-PAYLOAD"
#define S3_PAIRS_MAX  16
#define S3_EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_keys { /* owned by the caller */
	const char *id;
	const char *secret;
	const char *session; /* token of temporary keys; NULL: none */
	const char *region;
};

struct s3_pair {
	const char *name;
	const char *value;
};

/* What is signed. Nothing is encoded yet; values of headers have no spaces at their ends and none doubled. */
struct s3_request {
	const char *method;
	const char *host; /* with the port, if it is not that of the scheme */
	const char *path; /* "/key", or "/bucket/key" */
	struct s3_pair query[S3_PAIRS_MAX];
	size_t query_count;
	struct s3_pair headers[S3_PAIRS_MAX]; /* names in lower case; without host, and without what signing adds */
	size_t header_count;
	const char *sha256; /* hex, of the body */
};

/* target: path and query as they go into the request line. headers: those to send besides host, one
 * "name: value\n" each, Authorization among them. */
void s3_sign(const struct s3_keys *keys, const struct s3_request *request, int64_t time_s, struct buf *target,
	     struct buf *headers);

/* target: path and query that let anybody do this until expires_s later (at most 7 days). The request's headers must
 * be sent as they are. */
void s3_presign(const struct s3_keys *keys, const struct s3_request *request, int64_t time_s, int64_t expires_s,
		struct buf *target);

/* The value of x-amz-checksum-sha256 (base64) that says the same as a hash in hex. */
struct s3_checksum {
	char text[45];
};
struct s3_checksum s3_checksum(const char *sha256);

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~, and '/' where it is kept. */
void s3_encode(struct buf *into, const char *text, bool keep_slash);

#endif
