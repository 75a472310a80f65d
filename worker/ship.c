#include "worker/ship.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "lib/beneath.h"
#include "lib/clock.h"
#include "lib/compress.h"
#include "lib/store.h"
#include "queue/saved.h"
#include "worker/names.h"
#include "worker/proof.h"
#include "worker/sample.h"
#include "worker/sent.h"

static char *ship_key(const struct ship_place *place, int64_t seq, const char *name)
{
	return mem_printf("%s/checkpoints/%s-%s/%s/%" PRId64 "/%s", place->installation, place->job, place->uid,
			  place->token, seq, name);
}

struct ship_sinks {
	struct store_put *put;
	struct cache_put *copy;    /* stays on this machine; NULL: there is none */
	struct compress *compress; /* NULL: it is stored as it is */
	int64_t size;
};

static bool ship_stored(void *arg, const void *data, size_t len, struct error *err)
{
	struct ship_sinks *sinks = arg;
	sinks->size += (int64_t)len;
	cache_write(sinks->copy, data, len);
	return store_write(sinks->put, data, len, err);
}

static bool ship_sink(void *arg, const void *data, size_t len, struct error *err)
{
	struct ship_sinks *sinks = arg;
	return sinks->compress ? compress_write(sinks->compress, data, len, err) : ship_stored(sinks, data, len, err);
}

/* The deepest folder that holds all files, or the only file. */
static char *ship_resume(const struct unit *unit, const struct format_verdict *verdict)
{
	CLEANUP(free_p) char *common = mem_strdup(unit->files[0]);
	if (verdict->beside[0]) { /* the folder that holds both */
		char *slash = strrchr(common, '/');
		*(slash ? slash : common) = '\0';
	}
	if (unit->file_count > 1)
		for (size_t i = 0; i < unit->file_count; i++) {
			size_t len = strlen(common);
			while (len > 0 && (strncmp(common, unit->files[i], len) != 0 || unit->files[i][len] != '/')) {
				while (len > 0 && common[--len] != '/')
					;
				common[len] = '\0';
			}
		}
	return mem_printf("%s%s%s", proof_member_root(unit), *common ? "/" : "", common);
}

static void ship_describe(const struct ship_request *request, const struct format_verdict *verdict, struct manifest *m)
{
	const struct unit *unit = request->unit;
	struct name_info name = name_parse(unit->files[0]);
	m->job = mem_strdup(request->place->job);
	m->uid = mem_strdup(request->place->uid);
	m->token = mem_strdup(request->place->token);
	m->attempt = request->place->attempt;
	m->seq = request->seq;
	const int64_t steps[] = { unit->said_step, verdict->step, name.step, unit->step };
	for (size_t i = 0; i < ARRAY_LEN(steps) && m->step < 0; i++)
		m->step = steps[i];
	m->epoch = verdict->epoch >= 0 ? verdict->epoch : name.epoch;
	m->marks = unit->marks;
	marks_offer(&m->marks, "loss", verdict->loss); /* what it says, where the program printed none */
	m->optimizer = unit->said_optimizer >= 0 ? unit->said_optimizer : verdict->optimizer;
	m->time_ms = clock_wall_ms();
	m->begun_boot_ms = clock_boot_ms();
	m->seen = request->seen;
	m->framework = mem_strdup(verdict->framework);
	m->resume = ship_resume(unit, verdict);
	m->own.key = ship_key(request->place, request->seq, "data.tar");
	m->own.seq = request->seq;
}

/* Both objects, the manifest last: what has no manifest is nothing. */
static bool ship_store(const struct ship_request *request, struct store *store, int root, struct proof *proof,
		       struct manifest *m, struct buf *text, struct error *err)
{
	struct ship_sinks sinks = { .size = 0 };
	CLEANUP(sent) struct sent *sent = sent_open(request->run_dir, m);
	if (!store_begin(store, m->own.key, &sinks.put, err))
		return false;
	const struct sampled sampled = sample_unit(root, request->unit, request->unit->sha256 ? NULL : sent);
	CLEANUP(cache_put) struct cache_put *copy = cache_begin(&request->cache, sampled.most);
	CLEANUP(compress) struct compress *compress = sampled.pays ? compress_new(ship_stored, &sinks) : NULL;
	sinks.copy = copy;
	sinks.compress = compress;
	const struct proof_pack pack = { .root = root, .sink = ship_sink, .sink_arg = &sinks, .sent = sent };
	if (!proof_pack(proof, request, &pack, &m->contents, err) || (compress && !compress_finish(compress, err))) {
		store_abort(sinks.put);
		return false;
	}
	if (!store_finish(sinks.put, &m->own.blocks, err))
		return false;
	m->own.size = sinks.size;
	m->own.is_compressed = compress != NULL;
	m->verified = proof_words(proof, request);
	CLEANUP(free_p) char *key = ship_key(request->place, request->seq, "manifest.json");
	CLEANUP(free_p) char *uri = mem_printf("%s/%s", store->url, key);
	CLEANUP(free_p) char *json = manifest_to_json(m);
	struct error why, ignored;
	if (!store_put_new(store, key, json, strlen(json), &why)) {
		if (why.kind != ERR_CONFLICT) /* else somebody's manifest stands beside it; the sweep tries again */
			(void)!store_remove(store, m->own.key, &ignored);
		*err = why;
		return false;
	}
	struct digest_hex hash = digest_of(json, strlen(json));
	cache_keep(STEAL(copy), blocks_hash(&m->own.blocks).text);
	cache_keep_text(&request->cache, hash.text, json, strlen(json));
	sent_keep(sent);
	CLEANUP(free_p) char *summary = manifest_summary_json(m, uri, hash.text);
	return buf_str(text, summary) || error_set(err, ERR_INTERNAL, NULL, "the summary is too long");
}

/* ---- what dead helpers left ---- */

struct ship_leftovers {
	const struct ship_place *place;
	struct store *store;
};

/* Keys of this attempt and of those before it: their helpers are dead, or may as well be. A newer one is at work. */
static bool ship_is_ours(const struct ship_place *place, const char *key)
{
	CLEANUP(free_p) char *prefix = mem_printf("%s/checkpoints/%s-%s/", place->installation, place->job, place->uid);
	size_t len = strlen(prefix);
	if (strncmp(key, prefix, len) != 0)
		return false;
	char *end;
	errno = 0;
	long long token = strtoll(key + len, &end, 10), own = strtoll(place->token, NULL, 10);
	return *end == '/' && errno == 0 && token <= own;
}

static bool ship_leftover(void *arg, const char *key, int64_t modified_ms)
{
	const struct ship_leftovers *leftovers = arg;
	(void)modified_ms; /* of any age: its writer is known to be dead */
	return ship_is_ours(leftovers->place, key);
}

/* Data whose manifest was never written. */
static bool ship_orphan(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	const struct ship_leftovers *leftovers = arg;
	(void)st;
	const char *name = strrchr(key, '/');
	if (!name || strcmp(name, "/data.tar") != 0 || !ship_is_ours(leftovers->place, key))
		return true;
	CLEANUP(free_p) char *manifest = mem_printf("%.*s/manifest.json", (int)(name - key), key);
	struct store_stat found;
	struct error missing;
	if (store_stat(leftovers->store, manifest, &found, &missing))
		return true;
	return missing.kind != ERR_NOT_FOUND || store_remove(leftovers->store, key, err);
}

/* Best effort: what cannot be removed now is met again by the next one. */
static void ship_sweep(const struct ship_place *place, struct store *store)
{
	CLEANUP(free_p) char *prefix = mem_printf("%s/checkpoints/%s-%s/", place->installation, place->job, place->uid);
	struct ship_leftovers leftovers = { .place = place, .store = store };
	struct error ignored;
	(void)!store_sweep(store, prefix, ship_leftover, &leftovers, &ignored);
	(void)!store_list(store, prefix, ship_orphan, &leftovers, &ignored);
}

bool ship_run(const struct ship_request *request, struct buf *text, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(close_fd) int root = beneath_root(request->root);
	if (root < 0)
		return error_errno(err, ERR_NOT_FOUND, NULL, "cannot open %s", request->root);
	CLEANUP(proof) struct proof proof;
	if (!proof_take(&proof, request, root, err) || !store_open(request->place->store, &store, err))
		return false;
	if (request->sweep)
		ship_sweep(request->place, store);
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	ship_describe(request, &proof.verdict, &m);
	return ship_store(request, store, root, &proof, &m, text, err);
}

/* ---- removing ---- */

struct ship_search {
	struct store *store;
	int64_t attempt;
	int64_t seq;
	char *key; /* of the manifest that was found */
};

static bool ship_search_key(void *arg, const char *key, const struct store_stat *st, struct error *err)
{
	struct ship_search *search = arg;
	(void)st;
	char tail[64];
	size_t len = strlen(key);
	if (search->key || !str_format(tail, sizeof tail, "/%" PRId64 "/manifest.json", search->seq) ||
	    len < strlen(tail) || strcmp(key + len - strlen(tail), tail) != 0)
		return true;
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(manifest) struct manifest m;
	manifest_init(&m);
	struct error why;
	size_t size;
	if (!store_get_text(search->store, key, MANIFEST_MAX, &text, &size, &why)) {
		if (why.kind == ERR_NOT_FOUND || why.kind == ERR_DAMAGED)
			return true;
		*err = why;
		return false;
	}
	if (manifest_from_json(text, size, &m, &why) && m.attempt == search->attempt)
		search->key = mem_strdup(key);
	return true;
}

/* The manifest's key: by the summary, by our own numbering, or by looking into the manifests. */
static bool ship_find(const struct ship_remove *remove, struct store *store, char **key, struct error *err)
{
	int64_t attempt, seq;
	struct summary summary;
	if (remove->summary && summary_from_json(remove->summary, &summary, NULL)) {
		*key = saved_key_of_uri(store->url, summary.uri, err);
		summary_done(&summary);
		return *key != NULL;
	}
	if (!saved_split_id(remove->id, &attempt, &seq))
		return error_set(err, ERR_INPUT, NULL, "not a checkpoint id: %s", remove->id);
	if (attempt == remove->place->attempt) {
		*key = ship_key(remove->place, seq, "manifest.json");
		return true;
	}
	CLEANUP(free_p)
	char *prefix = mem_printf("%s/checkpoints/%s-%s/", remove->place->installation, remove->place->job,
				  remove->place->uid);
	struct ship_search search = { .store = store, .attempt = attempt, .seq = seq };
	bool ok = store_list(store, prefix, ship_search_key, &search, err);
	*key = search.key;
	return ok;
}

bool ship_remove_run(const struct ship_remove *remove, struct error *err)
{
	CLEANUP(store) struct store *store = NULL;
	CLEANUP(free_p) char *key = NULL;
	if (!store_open(remove->place->store, &store, err) || !ship_find(remove, store, &key, err))
		return false;
	if (!key)
		return true;
	/* The manifest first: data without one is swept should we die in between. */
	const char *name = strrchr(key, '/');
	CLEANUP(free_p) char *data = mem_printf("%.*s/data.tar", (int)(name - key), key);
	return store_remove(store, key, err) && store_remove(store, data, err);
}
