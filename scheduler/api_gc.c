/* gc: deletes what nobody needs of what the store lists, a job at a time. */
#include <inttypes.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/fields.h"
#include "lib/utf8.h"
#include "scheduler/api.h"
#include "scheduler/gc.h"
#include "scheduler/gc_lent.h"
#include "scheduler/stored.h"
#include "scheduler/walk.h"

enum { WALK_BEAT_S = 10, WALK_FULL_MS = 50, WALK_OLDER_MS = 86400000 };

static void walk_next(struct walk *walk);
static void walk_later(struct walk *walk, int64_t in_ms);
static void walk_chunk(struct walk *walk);

/* Takes the reference; NULL: there is no such job. */
static void walk_take(struct walk *walk, json_t *show, bool is_archived)
{
	json_decref(walk->show);
	json_decref(walk->records);
	walk->show = show;
	walk->records = show ? gc_records(show) : NULL;
	walk->is_archived = is_archived;
}

static void walk_free(struct walk *walk)
{
	event_free(walk->beat);
	event_free(walk->next);
	buf_done(&walk->listed);
	stored_units_done(&walk->units);
	walk_take(walk, NULL, false);
	json_decref(walk->lent);
	free(walk->gone);
	free(walk);
}

/* Takes the reference. */
void walk_line(const struct walk *walk, json_t *line)
{
	api_line(walk->call, line);
}

void walk_end(struct walk *walk, const struct error *err)
{
	json_t *sum = json_pack("{s:I, s:I, s:I}", "objects", (json_int_t)walk->objects, "bytes",
				(json_int_t)walk->bytes, "problems", (json_int_t)walk->problems);
	for (int kind = 0; kind < STORED_KINDS && !walk->is_gc; kind++)
		json_object_set_new(sum, stored_kind_names[kind], json_integer(walk->kinds[kind]));
	api_lines_end(walk->call, err, sum);
	walk_free(walk);
}

json_t *walk_unit_line(const struct stored_unit *unit, const char *action, const char *why)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s%}", "action", action, "job", unit->job, "key", unit->prefix,
			 "size", (json_int_t)unit->size, "modified_ms", (json_int_t)unit->modified_ms, "why", why,
			 utf8_valid_prefix(why, strlen(why)));
}

/* ---- gc ---- */

static void walk_say_picks(struct walk *walk, const char *action, const char *why)
{
	for (size_t i = 0; i < walk->pick_count; i++) {
		const struct walk_pick *pick = &walk->picks[i];
		walk_line(walk, walk_unit_line(pick->unit, action, why ? why : pick->verdict.why));
		if (why) {
			walk->problems++;
			continue;
		}
		walk->objects++;
		walk->bytes += pick->unit->size;
	}
}

static size_t walk_ids(const struct walk *walk, const char *ids[WALK_CHUNK])
{
	size_t count = 0;
	for (size_t i = 0; i < walk->pick_count && walk->show && !walk->is_archived; i++)
		if (*walk->picks[i].verdict.id)
			ids[count++] = walk->picks[i].verdict.id;
	return count;
}

static void walk_on_dropped(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	(void)text;
	(void)len;
	(void)err; /* the record says `deleting`: the next gc drops it */
	walk_say_picks(walk, "deleted", NULL);
	walk_chunk(walk);
}

static void walk_on_removed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	const char *ids[WALK_CHUNK];
	size_t count = walk_ids(walk, ids);
	(void)text;
	(void)len;
	if (err) {
		walk_say_picks(walk, "kept", err->message);
		walk_chunk(walk);
		return;
	}
	if (!count) {
		walk_on_dropped(walk, NULL, 0, NULL);
		return;
	}
	const json_t *job = json_object_get(walk->show, "job");
	struct attempt_ref ref = { .n = walk->picks[0].unit->n };
	str_copy(ref.queue, sizeof ref.queue, walk->queue);
	str_copy(ref.uid, sizeof ref.uid, fields_text(job, "uid"));
	str_copy(ref.token, sizeof ref.token, fields_text(job, "token"));
	jobs_drop(walk->scheduler->jobs, &ref, ids, count, walk_on_dropped, walk);
}

/* The manifests first: data without one is met again should we die in between. */
static void walk_remove(struct walk *walk)
{
	CLEANUP(buf) struct buf keys;
	buf_init(&keys, 1 << 20);
	for (size_t i = 0; i < walk->pick_count; i++) {
		const struct stored_unit *unit = walk->picks[i].unit;
		for (const char *const *name = stored_unit_names(unit); *name; name++)
			buf_printf(&keys, "%s%s\n", unit->prefix, *name);
	}
	stored_ask(walk->scheduler->stored, STORED_REMOVE, buf_text(&keys), walk_on_removed, walk);
}

static void walk_on_discarded(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	(void)text;
	(void)len;
	if (!err) {
		walk_remove(walk);
		return;
	}
	if (err->kind != ERR_NOT_FOUND) /* else somebody has just done it; what is left the next gc finds */
		walk_say_picks(walk, "kept", err->message);
	walk_chunk(walk);
}

static void walk_judge(struct walk *walk, const struct stored_unit *unit)
{
	const struct gc_job job = {
		.show = walk->show,
		.records = walk->records,
		.lent = walk->lent,
		.newest = walk->newest,
		.lost = walk->lost,
	};
	struct gc_verdict verdict = gc_judge(unit, &job, clock_wall_ms(), walk->older_ms);
	if (verdict.why)
		walk->picks[walk->pick_count++] = (struct walk_pick){ unit, verdict };
	if (!verdict.doubt)
		return;
	walk->has_doubt = true;
	walk->problems++;
	walk_line(walk, walk_unit_line(unit, "kept", verdict.doubt));
}

/* Up to a hundred units of the job; then the next ones, or the next job. */
static void walk_chunk(struct walk *walk)
{
	const char *ids[WALK_CHUNK];
	walk->pick_count = 0;
	while (walk->at < walk->end && walk->pick_count < WALK_CHUNK)
		walk_judge(walk, &walk->units.all[walk->at++]);
	if (!walk->pick_count) {
		walk_later(walk, http_stream_is_full(walk->call->reply) ? WALK_FULL_MS : 0);
		return;
	}
	size_t count = walk_ids(walk, ids);
	if (walk->is_dry_run) {
		walk_say_picks(walk, "would delete", NULL);
		walk_chunk(walk);
	} else if (count) {
		jobs_discard(walk->scheduler->jobs, walk->queue, walk->picks[0].unit->n, walk->call->actor, ids, count,
			     walk_on_discarded, walk);
	} else {
		walk_remove(walk);
	}
}

/* ---- what is known of a job ---- */

static void walk_know(struct walk *walk, const char *text, size_t len, bool is_archived)
{
	walk_take(walk,
		  is_archived ? api_record_read(text, len, walk->units.all[walk->at].job) : fields_parse(text, len),
		  is_archived);
	if (walk->show) {
		walk_chunk(walk);
		return;
	}
	struct error err;
	error_set(&err, ERR_DAMAGED, NULL, "what is known of job %s is no JSON", walk->units.all[walk->at].job);
	walk_end(walk, &err);
}

static void walk_on_archived(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	if (err && err->kind != ERR_NOT_FOUND) {
		walk_end(walk, err);
	} else if (err) {
		walk->gone = mem_realloc(walk->gone, (walk->gone_count + 1) * sizeof *walk->gone);
		walk->gone[walk->gone_count++] = walk->at;
		walk_later(walk, 0);
	} else {
		walk_know(walk, text, len, true);
	}
}

static void walk_on_show(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	if (!err)
		walk_know(walk, text, len, false);
	else if (err->kind == ERR_NOT_FOUND)
		archive_read(walk->scheduler->archive, walk->queue, walk->units.all[walk->at].n, ARCHIVE_RECORD,
			     walk_on_archived, walk);
	else
		walk_end(walk, err);
}

static void walk_show(struct walk *walk)
{
	if (walk->lent) {
		jobs_show(walk->scheduler->jobs, walk->queue, walk->units.all[walk->at].n, walk_on_show, walk);
		return;
	}
	walk_take(walk, NULL, false);
	walk_chunk(walk);
}

/* What was lent of those that are gone by now, which nobody can lend any more, is known then. Where a loan moved from
 * one queue to another meanwhile, the list from before has it. */
static void walk_on_gone_lent(void *arg, const struct error *err)
{
	struct walk *walk = arg;
	walk->is_gone_known = true;
	if (err)
		walk_end(walk, err);
	else
		walk_next(walk);
}

static void walk_on_lent(void *arg, const struct error *err)
{
	struct walk *walk = arg;
	if (err)
		walk_end(walk, err);
	else
		walk_show(walk);
}

static void walk_on_stats(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	if (err && err->kind != ERR_NOT_FOUND) {
		walk_end(walk, err);
		return;
	}
	json_decref(walk->lent);
	walk->lent = NULL;
	if (err) {
		walk_show(walk);
		return;
	}
	json_auto_t *stats = fields_parse(text, len);
	walk->newest = fields_int(stats, "submitted", 0);
	walk->lost = fields_int(stats, "lost", 0);
	walk->lent = json_object();
	gc_lent_gather(walk->scheduler->jobs, NULL, walk->lent, walk_on_lent, walk);
}

/* ---- uploads that were never finished ---- */

static void walk_on_aborted(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	walk_end(arg, err);
}

void walk_uploads(struct walk *walk)
{
	CLEANUP(buf) struct buf keys;
	buf_init(&keys, 16 << 20);
	for (size_t i = 0; i < walk->units.upload_count; i++) {
		const struct stored_upload *upload = &walk->units.uploads[i];
		if (!gc_is_dead(upload, clock_wall_ms(), walk->older_ms))
			continue;
		const char *action = walk->is_dry_run ? "would delete" : "deleted";
		walk_line(walk, json_pack("{s:s, s:s, s:I, s:s}", "action", action, "key", upload->key, "modified_ms",
					  (json_int_t)upload->begun_ms, "why", "an upload that was never finished"));
		walk->objects++;
		buf_printf(&keys, "%s\n", upload->key);
	}
	if (!keys.len || walk->is_dry_run)
		walk_end(walk, NULL);
	else
		stored_ask(walk->scheduler->stored, STORED_ABORT, buf_text(&keys), walk_on_aborted, walk);
}

/* ---- the walk ---- */

/* The jobs that are gone. false: none is left. */
static bool walk_gone(struct walk *walk)
{
	if (walk->gone_at == walk->gone_count) {
		walk->gone_at = walk->gone_count = 0;
		walk->is_gone_known = false;
		return false;
	}
	if (walk->is_gone_known) {
		walk->at = walk->gone[walk->gone_at++];
		walk->end = stored_units_next(&walk->units, walk->at);
		walk_chunk(walk);
	} else {
		walk_take(walk, NULL, false);
		gc_lent_gather(walk->scheduler->jobs, walk->scheduler->archive, walk->lent, walk_on_gone_lent, walk);
	}
	return true;
}

static void walk_next(struct walk *walk)
{
	bool is_end = walk->next_job == walk->units.count;
	if ((is_end || strcmp(walk->units.all[walk->next_job].queue, walk->queue) != 0) && walk_gone(walk))
		return; /* before the next queue */
	if (is_end) {
		walk_code(walk);
		return;
	}
	walk->at = walk->next_job;
	walk->end = walk->next_job = stored_units_next(&walk->units, walk->at);
	const char *queue = walk->units.all[walk->at].queue;
	if (strcmp(queue, walk->queue) == 0) {
		walk_show(walk);
		return;
	}
	str_copy(walk->queue, sizeof walk->queue, queue);
	jobs_stats(walk->scheduler->jobs, walk->queue, walk_on_stats, walk);
}

static void walk_go_on(evutil_socket_t fd, short what, void *arg)
{
	struct walk *walk = arg;
	(void)fd;
	(void)what;
	if (walk->is_dry_run && http_stream_is_void(walk->call->reply))
		walk_end(walk, NULL); /* nobody listens any more */
	else
		walk_next(walk);
}

/* From the loop, and not before the client has taken what was said. */
static void walk_later(struct walk *walk, int64_t in_ms)
{
	const struct timeval in = { .tv_usec = (suseconds_t)(in_ms * 1000) };
	event_add(walk->next, &in);
}

static void walk_on_listed(void *arg, const char *text, size_t len, const struct error *err);

/* One after the other; false: there is none left. gc does not look at the archive. */
static bool walk_list(struct walk *walk)
{
	static const char *const folders[] = { "checkpoints", "runs", "archive" };
	if (walk->folder == ARRAY_LEN(folders) - walk->is_gc)
		return false;
	CLEANUP(free_p)
	char *prefix = mem_printf("%s/%s/", walk->scheduler->installation, folders[walk->folder++]);
	stored_ask(walk->scheduler->stored, STORED_LIST, prefix, walk_on_listed, walk);
	return true;
}

static void walk_on_listed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	if (err) {
		walk_end(walk, err);
		return;
	}
	buf_add(&walk->listed, text, len);
	if (walk_list(walk))
		return;
	stored_units_read(&walk->units, buf_text(&walk->listed));
	buf_done(&walk->listed);
	for (size_t i = 0; i < walk->units.count; i++)
		walk->all += walk->units.all[i].size;
	if (walk->is_gc)
		walk_next(walk);
	else
		walk_verify_next(walk);
}

static void walk_beat(evutil_socket_t fd, short what, void *arg)
{
	const struct walk *walk = arg;
	(void)fd;
	(void)what;
	http_stream_line(walk->call->reply, "", 0);
}

/* The list is made before Redis is asked: what is committed meanwhile is known then. */
void walk_start(struct api_call *call, bool is_gc, int64_t older_ms)
{
	static const struct http_stream_events events = { 0 };
	struct walk *walk = mem_alloc(sizeof *walk);
	walk->call = call;
	walk->scheduler = call->scheduler;
	walk->is_gc = is_gc;
	walk->is_dry_run = fields_is_true(call->body, "dry_run");
	walk->older_ms = older_ms;
	buf_init(&walk->listed, SIZE_MAX / 2); /* the answers themselves are bounded */
	const struct timeval beat = { .tv_sec = WALK_BEAT_S };
	http_stream_start(call->reply, &events);
	walk->beat = event_new(call->scheduler->base, -1, EV_PERSIST, walk_beat, walk);
	event_add(walk->beat, &beat);
	walk->next = evtimer_new(call->scheduler->base, walk_go_on, walk);
	walk_list(walk);
}

struct api_call *walk_call(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
			   const char *const *keys, size_t key_count, int64_t *older_ms)
{
	struct error err;
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return NULL;
	if (!s->stored)
		error_set(&err, ERR_NOT_FOUND, "start it with --store URL, the one of the workers",
			  "this scheduler has no store");
	else if (api_body(call, request, keys, key_count, &err) &&
		 api_body_int(call, "older_ms", WALK_OLDER_MS, older_ms, &err))
		return call;
	api_refuse(call, &err);
	return NULL;
}

void api_gc(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char *const keys[] = { "dry_run", "older_ms" };
	int64_t older_ms;
	struct api_call *call = walk_call(arg, request, reply, keys, ARRAY_LEN(keys), &older_ms);
	if (call)
		walk_start(call, true, older_ms);
}
