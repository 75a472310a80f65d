/* verify: reads every checkpoint that the store lists. */
#include "lib/buf.h"
#include "scheduler/stored.h"
#include "scheduler/walk.h"

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
	walk->bytes += is_gone ? 0 : unit->size;
	walk->problems += err && !is_gone;
	walk_line(walk, walk_unit_line(unit, is_gone ? "gone" : err ? "damaged" : "good", err ? err->message : ""));
	walk_verify_next(walk);
}

void walk_verify_next(struct walk *walk)
{
	while (walk->at < walk->units.count && !walk->units.all[walk->at].has_manifest) {
		const struct stored_unit *unit = &walk->units.all[walk->at++];
		walk_line(walk, walk_unit_line(unit, "loose", "it has no manifest: nobody uses it"));
	}
	if (walk->at == walk->units.count || http_stream_is_void(walk->call->reply)) {
		walk_end(walk, NULL);
		return;
	}
	CLEANUP(free_p) char *key = mem_printf("%smanifest.json", walk->units.all[walk->at].prefix);
	stored_ask(walk->scheduler->stored, STORED_CHECK, key, walk_on_verified, walk);
}

void api_verify(void *arg, const struct http_request *request, struct http_reply *reply)
{
	int64_t older_ms;
	struct api_call *call = walk_call(arg, request, reply, NULL, 0, &older_ms);
	if (call)
		walk_start(call, false, older_ms);
}
