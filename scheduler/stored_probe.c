#include "scheduler/stored_probe.h"

#include <string.h>
#include "lib/clock.h"

struct probe_listing {
	const char *key;
	bool is_there;
};

static bool probe_listed(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	struct probe_listing *listing = arg;
	(void)st;
	(void)err;
	listing->is_there = listing->is_there || strcmp(key, listing->key) == 0;
	return true;
}

/* What was put is there, in one piece, and is listed. */
static bool probe_is_there(struct store *store, const char *prefix, const char *key, const char *text,
			   struct error *err)
{
	struct probe_listing listing = { .key = key };
	CLEANUP(free_p) char *back = NULL;
	size_t len;
	if (!store_get_text(store, key, 4096, &back, &len, err))
		return error_wrap(err, "what was just written there cannot be read");
	if (strcmp(back, text) != 0)
		return error_set(err, ERR_DAMAGED, "is there a cache in front of it?",
				 "%s/%s: what is read is not what was written", store->url, key);
	if (!store_list(store, prefix, probe_listed, &listing, err))
		return error_wrap(err, "what is there cannot be listed");
	return listing.is_there || error_set(err, ERR_DAMAGED, "is there a cache in front of it?",
					     "%s/%s: what was just written is not listed", store->url, key);
}

/* Nothing is replaced by a put that must not. A server that does not know that is no fault: keys are used once. */
static bool probe_conditional(struct store *store, const char *key, bool *is_kept, struct error *err)
{
	bool is_put = store_put_new(store, key, "another", strlen("another"), err);
	*is_kept = !is_put && err->kind == ERR_CONFLICT;
	return is_put || *is_kept || error_wrap(err, "a conditional put (If-None-Match) fails");
}

bool stored_probe(struct store *store, const char *prefix, struct buf *text, struct error *err)
{
	static const char said[] = "stoker doctor was here";
	CLEANUP(free_p) char *key = mem_printf("%s%lld", prefix, (long long)clock_boot_ms());
	bool is_kept = false;
	if (!store_put_new(store, key, said, sizeof said - 1, err))
		return error_wrap(err, "nothing can be written there");
	bool ok = probe_is_there(store, prefix, key, said, err) && probe_conditional(store, key, &is_kept, err);
	struct error left;
	if (!store_remove(store, key, ok ? err : &left) && ok)
		return error_wrap(err, "what is there cannot be removed");
	if (ok)
		buf_printf(text, "%s: objects are written, read, listed and removed%s", store->url,
			   is_kept ? ", and none is replaced"
				   : "; it does not know If-None-Match, a second line of defence behind keys that are "
				     "used once");
	return ok;
}
