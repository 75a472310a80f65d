/*
 * What a Python pickle says about a checkpoint, read without running it: the opcodes are followed on a stack of
 * kinds, no object is made, nothing is imported or called. Training frameworks pickle dicts; their keys and
 * whole numbers are all that is looked for, in the outermost dict and the dicts directly in it.
 *
 * A pickle is what anybody may have written: the number of opcodes, the stack, the memo and the dicts are bounded, and
 * nothing is allocated by a number that stands in the file.
 */
#ifndef STOKER_WORKER_PICKLE_H
#define STOKER_WORKER_PICKLE_H

#include <stdbool.h>
#include <stdint.h>

enum pickle_state {
	PICKLE_READ,    /* to its STOP */
	PICKLE_TORN,    /* it ends before that */
	PICKLE_STRANGE, /* no pickle, one of a newer kind, or beyond the bounds: nothing can be told */
};

struct pickle_facts {
	enum pickle_state state;
	int64_t end;                     /* behind the STOP; only of PICKLE_READ, as the rest */
	int64_t step;                    /* -1: it does not say */
	int64_t epoch;                   /* the same */
	int64_t data_ranks, model_ranks; /* DeepSpeed's dp_world_size and mp_world_size; -1: it does not say */
	int optimizer;                   /* 1 its state is in it, 0 not, -1 cannot be told */
};

/* The pickle in the len bytes at `at`; what follows it is not looked at. */
struct pickle_facts pickle_scan(int fd, int64_t at, int64_t len);

#endif
