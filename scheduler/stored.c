#include "scheduler/stored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/store.h"
#include "queue/saved.h"
#include "scheduler/store_check.h"
#include "scheduler/stored_probe.h"

enum {
	STORED_AT_ONCE = 8,
	STORED_TEXT_MAX = 256 * 1024 * 1024, /* a list of a million objects */
};

struct stored_asking {
	LIST_ENTRY(stored_asking) entry;
	struct stored *stored;
	enum stored_verb verb;
	char *subject;
	struct helper *helper;
	struct event *refusal; /* instead of a helper */
	struct error refused;
	stored_fn *fn;
	void *arg;
};

struct stored {
	struct event_base *base;
	const char *store;
	size_t count;
	LIST_HEAD(, stored_asking) askings;
};

/* ---- in the helper ---- */

static bool stored_manifest(struct store *store, const char *summary_json, struct buf *text, struct error *err)
{
	CLEANUP(summary) struct summary summary = { .uri = NULL };
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	if (!summary_from_json(summary_json, &summary, err) || !saved_manifest(store, &summary, &m, err))
		return false;
	CLEANUP(free_p) char *json = manifest_to_json(&m);
	return buf_str(text, json) || error_set(err, ERR_FULL, NULL, "the manifest is too large");
}

static bool stored_link(struct store *store, const char *uri, struct buf *text, struct error *err)
{
	CLEANUP(free_p) char *key = saved_key_of_uri(store->url, uri, err);
	CLEANUP(free_p) char *url = NULL;
	if (!key)
		return false;
	CLEANUP(free_p) char *data = mem_printf("%.*sdata.tar", (int)(strrchr(key, '/') + 1 - key), key);
	struct store_stat st;
	if (!store_stat(store, data, &st, err) || !store_link(store, data, STORED_LINK_S, &url, err))
		return false;
	return buf_printf(text, url ? "url %s" : "key %s", url ? url : data) ||
	       error_set(err, ERR_INTERNAL, NULL, "the link is too long");
}

static bool stored_remove(struct store *store, const char *keys, struct error *err)
{
	CLEANUP(free_p) char *copy = mem_strdup(keys);
	char *rest = copy;
	for (char *key = strsep(&rest, "\n"); key; key = strsep(&rest, "\n"))
		if (*key && !store_remove(store, key, err))
			return false;
	return true;
}

static bool stored_add_object(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	return buf_printf(arg, "%" PRId64 " %" PRId64 " %s\n", st->size, st->modified_ms, key) ||
	       error_set(err, ERR_FULL, NULL, "there are too many objects to list them at once");
}

static bool stored_add_upload(void *arg, const char *key, int64_t begun_ms)
{
	(void)!buf_printf(arg, "- %" PRId64 " %s\n", begun_ms, key); /* what does not fit is met again */
	return false;
}

static bool stored_is_among(void *arg, const char *key, int64_t begun_ms)
{
	const char *keys = arg;
	size_t len = strlen(key);
	(void)begun_ms;
	for (const char *at = keys; *at; at += strcspn(at, "\n") + (at[strcspn(at, "\n")] == '\n'))
		if (strncmp(at, key, len) == 0 && (at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

static bool stored_abort(struct store *store, const char *keys, struct error *err)
{
	CLEANUP(free_p) char *copy = mem_strdup(keys);
	CLEANUP(free_p) char *prefix = mem_printf("%.*s/", (int)strcspn(keys, "/"), keys);
	return store_sweep(store, prefix, stored_is_among, copy, err);
}

static bool stored_run(void *arg, struct buf *text, struct error *err)
{
	const struct stored_asking *asking = arg;
	CLEANUP(store) struct store *store = NULL;
	if (!store_open(asking->stored->store, &store, err))
		return false;
	switch (asking->verb) {
	case STORED_MANIFEST:
		return stored_manifest(store, asking->subject, text, err);
	case STORED_LINK:
		return stored_link(store, asking->subject, text, err);
	case STORED_REMOVE:
		return stored_remove(store, asking->subject, err);
	case STORED_LIST:
		return store_list(store, asking->subject, stored_add_object, text, err) &&
		       store_leftovers(store, asking->subject, stored_add_upload, text, err);
	case STORED_ABORT:
		return stored_abort(store, asking->subject, err);
	case STORED_PROBE:
		return stored_probe(store, asking->subject, text, err);
	case STORED_VERIFY:
		return saved_verify(store, asking->subject, err);
	case STORED_CHECK:
		return saved_check(store, asking->subject, err);
	case STORED_CHECK_TRANSCRIPT:
		return store_check_transcript(store, asking->subject, err);
	case STORED_CHECK_ARCHIVED:
		return store_check_archived(store, asking->subject, err);
	default:
		return error_set(err, ERR_INTERNAL, NULL, "nothing is asked of the store");
	}
}

/* ---- in the scheduler ---- */

static void stored_asking_free(struct stored_asking *asking)
{
	LIST_REMOVE(asking, entry);
	asking->stored->count--;
	helper_free(asking->helper);
	if (asking->refusal)
		event_free(asking->refusal);
	free(asking->subject);
	free(asking);
}

static void stored_on_answer(void *arg, const char *text, const struct error *err)
{
	struct stored_asking *asking = arg;
	asking->fn(asking->arg, text, text ? strlen(text) : 0, err);
	stored_asking_free(asking);
}

static void stored_on_refusal(evutil_socket_t fd, short what, void *arg)
{
	struct stored_asking *asking = arg;
	(void)fd;
	(void)what;
	stored_on_answer(asking, NULL, &asking->refused);
}

static struct stored_asking *stored_asking_new(struct stored *stored, stored_fn *fn, void *arg)
{
	struct stored_asking *asking = mem_alloc(sizeof *asking);
	asking->stored = stored;
	asking->fn = fn;
	asking->arg = arg;
	LIST_INSERT_HEAD(&stored->askings, asking, entry);
	stored->count++;
	return asking;
}

static void stored_start(struct stored_asking *asking, bool is_low, helper_run_fn *run, void *run_arg)
{
	struct stored *stored = asking->stored;
	struct timeval now = { 0 };
	const struct helper_options options = { .name = "stoker-stored",
						.is_low = is_low,
						.run = run,
						.run_arg = run_arg,
						.done = stored_on_answer,
						.done_arg = asking,
						.max_text = STORED_TEXT_MAX };
	if (stored->count > STORED_AT_ONCE)
		error_set(&asking->refused, ERR_UNAVAILABLE, "try again", "the store is asked by %d others",
			  STORED_AT_ONCE);
	else
		asking->helper = helper_start(stored->base, &options, &asking->refused);
	if (asking->helper)
		return;
	asking->refusal = evtimer_new(stored->base, stored_on_refusal, asking);
	event_add(asking->refusal, &now);
}

void stored_ask(struct stored *stored, enum stored_verb verb, const char *subject, stored_fn *fn, void *arg)
{
	struct stored_asking *asking = stored_asking_new(stored, fn, arg);
	asking->verb = verb;
	asking->subject = mem_strdup(subject);
	bool is_low = verb == STORED_VERIFY || verb == STORED_CHECK || verb == STORED_CHECK_TRANSCRIPT ||
		      verb == STORED_CHECK_ARCHIVED;
	stored_start(asking, is_low, stored_run, asking);
}

void stored_run_in(struct stored *stored, helper_run_fn *run, void *run_arg, stored_fn *fn, void *arg)
{
	stored_start(stored_asking_new(stored, fn, arg), false, run, run_arg);
}

struct stored *stored_new(struct event_base *base, const char *store)
{
	struct stored *stored = mem_alloc(sizeof *stored);
	stored->base = base;
	stored->store = store;
	LIST_INIT(&stored->askings);
	return stored;
}

void stored_free(struct stored *stored)
{
	if (!stored)
		return;
	for (struct stored_asking *one = LIST_FIRST(&stored->askings), *next; one; one = next) {
		next = LIST_NEXT(one, entry);
		stored_asking_free(one);
	}
	free(stored);
}
