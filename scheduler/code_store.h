/*
 * The code of jobs on its way into the store (queue/code.h). These are helper_run_fns, with a
 * struct code_request as their argument.
 */
#ifndef STOKER_SCHEDULER_CODE_STORE_H
#define STOKER_SCHEDULER_CODE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "lib/buf.h"
#include "lib/error.h"

struct code_request {
	const char *store; /* URL */
	const char *installation;
	const char *hash;  /* of the code */
	const char *block; /* hash of a block; NULL: it is about the manifest */
	const void *data;
	size_t len;
	bool is_short;    /* a summary is asked for */
	const char *file; /* one file is asked for, by its path; NULL: none */
};

/* Stores a block, if it is what its name says. */
bool code_store_block(void *request, struct buf *text, struct error *err);

/* Stores the manifest, once all that it names is there. text: the summary. ERR_CONFLICT: something is missing. */
bool code_store_manifest(void *request, struct buf *text, struct error *err);

/* text: the manifest, or {"code","size","files"}. ERR_NOT_FOUND: there is none. What is asked for is wanted: its
 * manifest becomes young again, so that nobody takes it for forgotten. */
bool code_store_get(void *request, struct buf *text, struct error *err);

/* text: {"path","text"} of one file, verified. ERR_INPUT: it is too large, or no UTF-8. */
bool code_store_file(void *request, struct buf *text, struct error *err);

/* What nobody needs, in a helper of its own. */
struct code_removal {
	const char *store; /* URL */
	const char *installation;
	const char *hashes; /* one a line */
	int64_t older_ms;   /* what has anything younger stays: it is being sent again, or was asked for */
	int64_t doomed_ms;  /* when they were (clock_boot_ms): they are not for ever */
};
/* removal: a struct code_removal. text: the hashes of those that are gone. */
bool code_store_remove(void *removal, struct buf *text, struct error *err);

#endif
