/*
 * What can be said of a unit before it is packed: how large it is, and whether it pays to compress it: a few places of
 * its files, compressed, tell. Weights mostly do not get smaller; the states of an optimizer that has barely begun,
 * text and integers do.
 */
#ifndef STOKER_WORKER_SAMPLE_H
#define STOKER_WORKER_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include "worker/sent.h"
#include "worker/units.h"

struct sampled {
	int64_t most; /* how large its tar can be; less if some of it is stored already, or compressed */
	bool pays;    /* to compress what is sent; false too when nothing can be read: whoever packs it says why */
};
/* sent: what an earlier checkpoint has is not sent, and does not count; NULL: all is. */
struct sampled sample_unit(int root, const struct unit *unit, struct sent *sent);

#endif
