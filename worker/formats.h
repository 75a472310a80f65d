/*
 * What the bytes of a checkpoint prove: is it whole, which step is it, does it hold the
 * optimizer's state. Reads headers and directories, never the tensors, runs nothing that it
 * finds in them, and blocks: for the ship helper.
 *
 * One file a format (formats_*.c), each with one row of the tables in formats.c.
 */
#ifndef STOKER_WORKER_FORMATS_H
#define STOKER_WORKER_FORMATS_H

#include <stdbool.h>
#include <stdint.h>
#include "worker/checksums.h"

enum format_proof {                /* from worst to best */
		    FORMAT_TORN,   /* certainly not whole */
		    FORMAT_OPAQUE, /* the format says nothing: only its hash and its quiet speak for it */
		    FORMAT_SOUND,  /* everything that can be checked is right; a writer that fills in place could still
				      be at it */
		    FORMAT_WHOLE,  /* what is written last is there */
};

struct format_verdict {
	enum format_proof proof;
	char framework[24]; /* safetensors, torch, huggingface, …; files: none of them */
	int optimizer;      /* 1 yes, 0 no, -1 cannot be told */
	int64_t step;       /* as the content says; -1: it does not */
	int64_t epoch;
	double loss;     /* as the content says; NAN: it does not */
	char beside[48]; /* name of a file beside the folder that belongs to it; "": none */
	char words[160]; /* what was proved; of a torn one: why */
};

/* The file or folder `path` below root (lib/beneath.h). sums (or NULL) is told which CRCs its bytes must have. */
struct format_verdict format_check(int root, const char *path, struct checksums *sums);

/* Several files as one checkpoint: the weakest proof, and everything that any of them says. */
void format_join(struct format_verdict *all, const struct format_verdict *one);

struct format_verdict format_verdict_of(enum format_proof proof, const char *framework, const char *words);

#endif
