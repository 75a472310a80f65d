/*
 * What the API asks of the object store, each time in a helper process, since a store
 * may be slow: whether something verifies, what is there, a link to it. Up to a few at a
 * time.
 */
#ifndef STOKER_SCHEDULER_STORED_H
#define STOKER_SCHEDULER_STORED_H

#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include "lib/error.h"
#include "lib/helper.h"

struct stored;

/* store: a URL that was checked; must outlive it. */
struct stored *stored_new(struct event_base *base, const char *store);
void stored_free(struct stored *stored);

enum stored_verb {
	STORED_MANIFEST,         /* subject: a summary. text: the manifest, if it is the one that was committed */
	STORED_VERIFY,           /* subject: a summary. text: "" when all of it is as it was committed */
	STORED_CHECK,            /* subject: the key of a manifest. text: "" when its data are as it says */
	STORED_CHECK_TRANSCRIPT, /* subject: the prefix of a transcript, likewise (scheduler/store_check.h) */
	STORED_CHECK_ARCHIVED,   /* subject: the key of an object of the archive, likewise */
	STORED_LINK,   /* subject: the URI of a manifest. text: "url <URL>" of its data, or "key <key>" when this
			  kind of store has no links */
	STORED_REMOVE, /* subject: keys, one a line. text: "" */
	STORED_LIST, /* subject: a prefix. text: "<size> <modified ms> <key>", a line an object; "- <begun ms> <key>", a
			line an upload that was never finished */
	STORED_PROBE, /* subject: a prefix for objects of its own. text: how well it works (stored_probe.h) */
	STORED_ABORT, /* subject: keys of uploads that were never finished, one a line. text: "" */
};

enum { STORED_LINK_S = 900 };

/* text is NULL exactly when err is set. Once, not from inside. */
typedef void stored_fn(void *arg, const char *text, size_t len, const struct error *err);
void stored_ask(struct stored *stored, enum stored_verb verb, const char *subject, stored_fn *fn, void *arg);

/* Whatever else blocks: run in a helper, in which run_arg is as it is now, and where it may read what the caller has.
 */
void stored_run_in(struct stored *stored, helper_run_fn *run, void *run_arg, stored_fn *fn, void *arg);

#endif
