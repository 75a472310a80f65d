/*
 * Whether a unit may be stored: what its bytes prove, by their headers before they are read and by their CRCs while
 * they are, together with what is known of its writer. The bytes are read once, on their way to the sink.
 */
#ifndef STOKER_WORKER_PROOF_H
#define STOKER_WORKER_PROOF_H

#include "lib/tarball.h"
#include "worker/checksums.h"
#include "worker/formats.h"
#include "worker/sent.h"
#include "worker/ship.h"

struct proof {
	struct format_verdict verdict;
	struct checksums *sums;
	size_t crc_right, crc_unknown; /* entries, after it was packed */
	size_t known;                  /* files that an earlier checkpoint has, after it was packed */
};

struct proof_pack {
	int root;
	tarball_write_fn *sink;
	void *sink_arg;
	struct sent *sent; /* NULL: everything is sent */
};

/* Looks at headers. Errors as those of ship_run. */
bool proof_take(struct proof *proof, const struct ship_request *request, int root, struct error *err) MUST_CHECK;

/* Packs all of it into the sink; says what is wrong with what was read. */
bool proof_pack(struct proof *proof, const struct ship_request *request, const struct proof_pack *pack,
		struct tarball *contents, struct error *err) MUST_CHECK;

/* What was proved, for the manifest; the caller frees it. */
char *proof_words(const struct proof *proof, const struct ship_request *request);

/* "checkpoint" or "work": where its members lie in the tar. */
const char *proof_member_root(const struct unit *unit);

void proof_done(struct proof *proof);
static inline void cleanup_proof(struct proof *proof)
{
	proof_done(proof);
}

#endif
