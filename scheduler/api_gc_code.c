/*
 * gc of packed code, behind that of checkpoints: what no spec names in Redis, in any queue,
 * nor in the archive.
 *
 * A submit may name it at any moment, so it goes in steps (lua/code.lua): it is marked in
 * every queue; all that names code is read; what still has its mark everywhere is doomed,
 * so that submits refuse it; it is deleted; it is no longer doomed. Dying between any two
 * of them harms nothing: marks expire, and what is half deleted counts as not there.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/digest.h"
#include "lib/fields.h"
#include "scheduler/code_store.h"
#include "scheduler/gc_archived.h"
#include "scheduler/walk.h"

enum { CODE_CHUNK = JOBS_CONDEMN_MAX, CODE_CHUNK_OBJECTS = 2000 };

struct code_item {
	struct digest_hex hash;
	int64_t size, modified_ms; /* of all its objects; of the youngest */
	size_t objects;
	bool is_kept;
	bool is_doomed; /* by us, in one queue or more */
};

/* What is asked of each queue in turn. */
enum code_step { CODE_MARK, CODE_USES, CODE_ARCHIVED, CODE_DOOM, CODE_DONE };

struct walk_code {
	struct walk *walk;
	char run[17];            /* tells our marks from those of another gc */
	struct code_item *items; /* by hash */
	size_t count;
	enum code_step step;
	json_t *queues;
	size_t queue_at;
	char *cursor;    /* within a queue or its archive; "": at its beginning */
	size_t from, to; /* the items that are asked about */
};

static void code_go_on(struct walk_code *g);

static void code_end(struct walk_code *g, const struct error *err)
{
	struct walk *walk = g->walk;
	json_decref(g->queues);
	free(g->items);
	free(g->cursor);
	free(g);
	if (err)
		walk_end(walk, err);
	else
		walk_uploads(walk);
}

static void code_say(struct walk_code *g, const struct code_item *item, const char *action, const char *why)
{
	CLEANUP(free_p)
	char *key = mem_printf("%s/code/%s/", g->walk->scheduler->installation, item ? item->hash.text : "");
	walk_line(g->walk, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "action", action, "job", "code", "key", key,
				     "size", (json_int_t)(item ? item->size : 0), "modified_ms",
				     (json_int_t)(item ? item->modified_ms : clock_wall_ms()), "why", why));
	if (strcmp(action, "kept") == 0) {
		g->walk->problems++;
		return;
	}
	g->walk->objects++;
	g->walk->bytes += item ? item->size : 0;
}

/* ---- what is there ---- */

static int code_by_hash(const void *a, const void *b)
{
	return strcmp(((const struct code_item *)a)->hash.text, ((const struct code_item *)b)->hash.text);
}

/* "<size> <modified ms> <installation>/code/<hash>/<name>"; what is not named like ours is somebody else's. */
static bool code_read_line(const char *line, struct code_item *item)
{
	int at = 0;
	*item = (struct code_item){ .objects = 1 };
	if (sscanf(line, "%" SCNd64 " %" SCNd64 " %n", &item->size, &item->modified_ms, &at) != 2 || at == 0)
		return false;
	const char *folder = strstr(line + at, "/code/");
	const char *hash = folder ? folder + strlen("/code/") : "";
	size_t len = strcspn(hash, "/");
	if (len != sizeof item->hash.text - 1 || hash[len] != '/')
		return false;
	str_format(item->hash.text, sizeof item->hash.text, "%.*s", (int)len, hash);
	return digest_is_hex(item->hash.text);
}

/* The objects of each code together, without what is too young. */
static void code_gather(struct walk_code *g)
{
	size_t kept = 0;
	if (g->count)
		qsort(g->items, g->count, sizeof *g->items, code_by_hash);
	for (size_t i = 0, next; i < g->count; i = next) {
		struct code_item all = g->items[i];
		for (next = i + 1; next < g->count && code_by_hash(&all, &g->items[next]) == 0; next++) {
			const struct code_item *one = &g->items[next];
			all.size += one->size;
			all.objects++;
			all.modified_ms = one->modified_ms > all.modified_ms ? one->modified_ms : all.modified_ms;
		}
		if (clock_wall_ms() - all.modified_ms >= g->walk->older_ms)
			g->items[kept++] = all;
	}
	g->count = kept;
}

static void code_read(struct walk_code *g, const char *text)
{
	CLEANUP(free_p) char *copy = mem_strdup(text);
	char *rest = copy;
	size_t room = 0;
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n")) {
		struct code_item item;
		if (!code_read_line(line, &item))
			continue;
		if (g->count == room) {
			room = room * 2 + 64;
			g->items = mem_realloc(g->items, room * sizeof *g->items);
		}
		g->items[g->count++] = item;
	}
	code_gather(g);
}

/* ---- who names it ---- */

static struct code_item *code_find(struct walk_code *g, const char *hash)
{
	struct code_item wanted;
	str_copy(wanted.hash.text, sizeof wanted.hash.text, hash);
	return g->count ? bsearch(&wanted, g->items, g->count, sizeof wanted, code_by_hash) : NULL;
}

static void code_keep(struct walk_code *g, const char *hash)
{
	struct code_item *item = code_find(g, hash);
	if (item)
		item->is_kept = true;
}

static void code_move_on(struct walk_code *g, const char *cursor)
{
	CLEANUP(free_p) char *old = g->cursor;
	g->cursor = mem_strdup(cursor);
	if (!*cursor)
		g->queue_at++;
	code_go_on(g);
}

/* NULL: the queue went, or never came into being, when there is no err. */
static bool code_answer(struct walk_code *g, const char *text, size_t len, const struct error *err, json_t **answer)
{
	struct error bad;
	*answer = err ? NULL : fields_parse(text, len);
	if ((err && err->kind == ERR_NOT_FOUND) || *answer)
		return true;
	if (!err)
		error_set(&bad, ERR_INTERNAL, NULL, "what is known of the code of jobs is no JSON");
	code_end(g, err ? err : &bad);
	return false;
}

static void code_on_uses(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	json_auto_t *answer = NULL;
	size_t i;
	const json_t *hash;
	if (!code_answer(g, text, len, err, &answer))
		return;
	json_array_foreach(json_object_get(answer, "code"), i, hash)
	{
		code_keep(g, json_is_string(hash) ? json_string_value(hash) : "");
	}
	code_move_on(g, fields_text(answer, "cursor"));
}

static void code_on_archived(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	json_auto_t *part = NULL;
	struct error bad;
	size_t i;
	const json_t *job;
	if (!code_answer(g, text, len, err, &part))
		return;
	if (!gc_archived_is_whole(part, &bad)) {
		code_end(g, &bad);
		return;
	}
	json_array_foreach(json_object_get(part, "jobs"), i, job)
	{
		CLEANUP(free_p) char *hashes = mem_strdup(fields_text(job, "code"));
		char *rest = hashes;
		for (char *hash = strsep(&rest, " "); hash; hash = strsep(&rest, " "))
			code_keep(g, hash);
	}
	code_move_on(g, fields_text(part, "cursor"));
}

/* ---- the steps that write ---- */

static void code_on_condemned(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	json_auto_t *those = NULL;
	if (!code_answer(g, text, len, err, &those))
		return;
	json_auto_t *known = json_object();
	size_t i;
	const json_t *hash;
	json_array_foreach(those, i, hash)
	{
		json_object_set_new(known, json_string_value(hash), json_true());
	}
	for (i = g->from; those && g->step != CODE_DONE && i < g->to; i++) {
		if (!json_object_get(known, g->items[i].hash.text))
			g->items[i].is_kept = true;
		else if (g->step == CODE_DOOM)
			g->items[i].is_doomed = true;
	}
	if (g->step == CODE_MARK && g->to < g->count) {
		g->from = g->to;
	} else {
		g->queue_at++;
		g->from = g->step == CODE_MARK ? 0 : g->from;
	}
	code_go_on(g);
}

/* Up to a hundred from `from` on. */
static void code_condemn(struct walk_code *g, const char *verb)
{
	const char *hashes[CODE_CHUNK];
	size_t count = 0, end = g->step == CODE_MARK ? g->count : g->to;
	size_t i = g->from;
	for (; i < end && count < CODE_CHUNK; i++)
		if (g->step == CODE_DONE ? g->items[i].is_doomed : !g->items[i].is_kept)
			hashes[count++] = g->items[i].hash.text;
	g->to = i;
	if (count)
		jobs_condemn(g->walk->scheduler->jobs, json_string_value(json_array_get(g->queues, g->queue_at)), verb,
			     g->run, hashes, count, code_on_condemned, g);
	else
		code_on_condemned(g, "[]", 2, NULL);
}

static void code_on_removed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	(void)len;
	for (size_t i = g->from; i < g->to; i++) {
		struct code_item *item = &g->items[i];
		if (item->is_kept)
			continue;
		if (err)
			code_say(g, item, "kept", err->message);
		else if (strstr(text, item->hash.text))
			code_say(g, item, "deleted", "no job names it");
	}
	g->step = CODE_DONE;
	g->queue_at = 0;
	code_go_on(g);
}

/* All queues have said yes to those that are not kept. */
static void code_remove(struct walk_code *g, int64_t doomed_ms)
{
	CLEANUP(buf) struct buf hashes;
	buf_init(&hashes, 1 << 20);
	for (size_t i = g->from; i < g->to; i++)
		if (!g->items[i].is_kept)
			buf_printf(&hashes, "%s\n", g->items[i].hash.text);
	struct code_removal removal = { .store = g->walk->scheduler->settings->store,
					.installation = g->walk->scheduler->installation,
					.hashes = buf_text(&hashes),
					.older_ms = g->walk->older_ms,
					.doomed_ms = doomed_ms };
	if (hashes.len)
		stored_run_in(g->walk->scheduler->stored, code_store_remove, &removal, code_on_removed, g);
	else
		code_on_removed(g, "", 0, NULL);
}

/* The next chunk is one that is deleted well before its mark expires. */
static void code_next_chunk(struct walk_code *g)
{
	size_t objects = 0;
	for (g->from = g->to; g->from < g->count && g->items[g->from].is_kept; g->from++)
		;
	for (g->to = g->from; g->to < g->count && g->to - g->from < CODE_CHUNK && objects < CODE_CHUNK_OBJECTS; g->to++)
		objects += g->items[g->to].is_kept ? 0 : g->items[g->to].objects;
	g->step = CODE_DOOM;
	g->queue_at = 0;
}

/* Is every queue that has something in the store among them? What is not listed is not asked. */
static bool code_knows_queues(const struct walk_code *g)
{
	const struct stored_units *units = &g->walk->units;
	json_auto_t *names = json_object();
	size_t i;
	const json_t *name;
	json_array_foreach(g->queues, i, name)
	{
		json_object_set_new(names, json_string_value(name), json_true());
	}
	for (i = 0; i < units->count; i++)
		if (!json_object_get(names, units->all[i].queue))
			return false;
	return json_object_size(names) > 0;
}

static void code_on_queues(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	json_auto_t *queues = NULL;
	if (!code_answer(g, text, len, err, &queues))
		return;
	json_decref(g->queues);
	g->queues = STEAL(queues);
	if (code_knows_queues(g)) {
		code_go_on(g);
		return;
	}
	code_say(g, NULL, "kept",
		 "Redis lists none of the queues, or not all of them, that have something in the store");
	code_end(g, NULL);
}

static void code_say_all(struct walk_code *g)
{
	for (size_t i = 0; i < g->count; i++)
		if (!g->items[i].is_kept)
			code_say(g, &g->items[i], "would delete", "no job names it");
	code_end(g, NULL);
}

/* Every queue has been asked. */
static void code_next_step(struct walk_code *g)
{
	g->queue_at = 0;
	if (g->step == CODE_MARK) {
		g->step = CODE_USES;
	} else if (g->step == CODE_USES) {
		g->step = CODE_ARCHIVED; /* behind Redis: a job is there before it leaves it */
	} else if (g->step == CODE_ARCHIVED && g->walk->is_dry_run) {
		code_say_all(g);
		return;
	} else if (g->step == CODE_DOOM) {
		code_remove(g, clock_boot_ms());
		return;
	} else { /* queues that were made meanwhile know of no mark: then nothing goes */
		g->to = g->step == CODE_ARCHIVED ? 0 : g->to;
		code_next_chunk(g);
		if (g->from == g->count)
			code_end(g, NULL);
		else
			jobs_queues(g->walk->scheduler->jobs, code_on_queues, g);
		return;
	}
	code_go_on(g);
}

static void code_go_on(struct walk_code *g)
{
	const char *queue = json_string_value(json_array_get(g->queues, g->queue_at));
	if (!queue)
		code_next_step(g);
	else if (g->step == CODE_MARK)
		code_condemn(g, "mark");
	else if (g->step == CODE_USES)
		jobs_code_uses(g->walk->scheduler->jobs, queue, g->cursor, code_on_uses, g);
	else if (g->step == CODE_ARCHIVED)
		archive_part_of_all(g->walk->scheduler->archive, queue, g->cursor, code_on_archived, g);
	else
		code_condemn(g, g->step == CODE_DOOM ? "doom" : "done");
}

static void code_on_listed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk_code *g = arg;
	(void)len;
	if (err) {
		code_end(g, err);
		return;
	}
	code_read(g, text);
	if (g->count && g->walk->has_doubt) {
		code_say(g, NULL, "kept", "Redis seems to have lost jobs, which may need it");
		g->count = 0;
	}
	if (g->count)
		jobs_queues(g->walk->scheduler->jobs, code_on_queues, g);
	else
		code_end(g, NULL);
}

void walk_code(struct walk *walk)
{
	uint64_t noise = 0;
	struct walk_code *g = mem_alloc(sizeof *g);
	*g = (struct walk_code){ .walk = walk, .cursor = mem_strdup("") };
	if (getrandom(&noise, sizeof noise, 0) != (ssize_t)sizeof noise)
		noise = (uint64_t)clock_wall_ms();
	str_format(g->run, sizeof g->run, "%016" PRIx64, noise);
	g->step = walk->is_dry_run ? CODE_USES : CODE_MARK;
	CLEANUP(free_p) char *prefix = mem_printf("%s/code/", walk->scheduler->installation);
	stored_ask(walk->scheduler->stored, STORED_LIST, prefix, code_on_listed, g);
}
