/*
 * A helper process for work that blocks: reading, hashing, uploading.
 * It is forked without an exec, runs one function, answers with a text or an
 * error through a pipe, and can be killed at any time. It dies with its parent.
 */
#ifndef STOKER_LIB_HELPER_H
#define STOKER_LIB_HELPER_H

#include <stdbool.h>
#include <event2/event.h>
#include "lib/buf.h"
#include "lib/error.h"

struct helper;

/* In the helper: fills text (which is empty and bounded), or err. */
typedef bool helper_run_fn(void *arg, struct buf *text, struct error *err);
/* In the parent, once, when the helper is dead and its answer read. text is NULL exactly when it failed; a helper
 * that died without an answer is an ERR_SYSTEM, one that crashed an ERR_INTERNAL. The helper may be freed in here. */
typedef void helper_done_fn(void *arg, const char *text, const struct error *err);

struct helper_options {
	const char *name; /* as ps shows it, up to 15 characters */
	bool is_low;      /* runs at the lowest priority, for processor and disk */
	size_t max_text;  /* of its answer, in bytes; 0: 32 KiB */
	int keep_fd;      /* a descriptor that it keeps; 0: none */
	helper_run_fn *run;
	void *run_arg; /* copied with the process: what the helper changes in it is lost */
	helper_done_fn *done;
	void *done_arg;
};

struct helper *helper_start(struct event_base *base, const struct helper_options *options,
			    struct error *err) MUST_CHECK;
/* For a helper that has one of its own: waits for its end. done is not called; text gets what it answered. */
bool helper_call(const struct helper_options *options, struct buf *text, struct error *err) MUST_CHECK;
/* Kills it, without calling done, and does not wait: its exit status stays with the system until the caller
 * ends. NULL is fine. */
void helper_free(struct helper *helper);

#endif
