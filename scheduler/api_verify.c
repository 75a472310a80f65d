/* verify: reads every checkpoint, every transcript and every object of the archive that the store lists. */
#include "lib/buf.h"
#include "scheduler/stored.h"
#include "scheduler/walk.h"

/* How far it is, with each. */
static void walk_say_verified(struct walk *walk, const struct stored_unit *unit, const char *action, const char *why)
{
	json_t *line = walk_unit_line(unit, action, why);
	walk->read += unit->size;
	json_object_set_new(line, "read", json_integer(walk->read));
	json_object_set_new(line, "of", json_integer(walk->all));
	walk_line(walk, line);
}

static void walk_on_verified(void *arg, const char *text, size_t len, const struct error *err)
{
	struct walk *walk = arg;
	const struct stored_unit *unit = &walk->units.all[walk->at++];
	(void)text;
	(void)len;
	if (err && err->kind != ERR_DAMAGED && err->kind != ERR_NOT_FOUND) {
		walk_end(walk, err);
		return;
	}
	bool is_gone = err && err->kind == ERR_NOT_FOUND; /* deleted since it was listed */
	walk->objects++;
	walk->kinds[unit->kind]++;
	walk->bytes += is_gone ? 0 : unit->size;
	walk->problems += err && !is_gone;
	walk_say_verified(walk, unit, is_gone ? "gone" : err ? "damaged" : "good", err ? err->message : "");
	walk_verify_next(walk);
}

static bool walk_is_loose(const struct stored_unit *unit)
{
	return unit->kind != STORED_ARCHIVED && !unit->has_manifest;
}

void walk_verify_next(struct walk *walk)
{
	static const enum stored_verb verbs[STORED_KINDS] = { STORED_CHECK, STORED_CHECK_TRANSCRIPT,
							      STORED_CHECK_ARCHIVED };
	static const char *const firsts[STORED_KINDS] = { "manifest.json", "", "" };
	while (walk->at < walk->units.count && walk_is_loose(&walk->units.all[walk->at])) {
		const struct stored_unit *unit = &walk->units.all[walk->at++];
		walk_say_verified(walk, unit, "loose",
				  unit->kind == STORED_CHECKPOINT ? "it has no manifest: nobody uses it"
								  : "it has no transcript.json: nobody reads it");
	}
	if (walk->at == walk->units.count || http_stream_is_void(walk->call->reply)) {
		walk_end(walk, NULL);
		return;
	}
	const struct stored_unit *unit = &walk->units.all[walk->at];
	CLEANUP(free_p) char *subject = mem_printf("%s%s", unit->prefix, firsts[unit->kind]);
	stored_ask(walk->scheduler->stored, verbs[unit->kind], subject, walk_on_verified, walk);
}

void api_verify(void *arg, const struct http_request *request, struct http_reply *reply)
{
	int64_t older_ms;
	struct api_call *call = walk_call(arg, request, reply, NULL, 0, &older_ms);
	if (call)
		walk_start(call, false, older_ms);
}
