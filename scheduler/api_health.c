/* Is it alive, is it ready, what is it? */
#include "scheduler/api.h"

#include <string.h>
#include "scheduler/ticker.h"

void api_livez(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char alive[] = "{\"alive\":true}";
	(void)arg;
	(void)request;
	http_reply_json(reply, 200, alive, sizeof alive - 1);
}

/* The steps in which it gives way, the lightest first; each says what does not work then, and what does. */
enum health { HEALTH_OK, HEALTH_READ_ONLY, HEALTH_SILENT, HEALTH_AWAY };

static const struct health_row {
	const char *name, *means;
} health_rows[] = {
	[HEALTH_OK] = { "ok", "" },
	[HEALTH_READ_ONLY] = { "read-only",
			       "redis refuses writes: nothing new is taken, promoted or reaped; jobs can be "
			       "looked at, runs go on, and what a full redis lets end ends" },
	[HEALTH_SILENT] = { "silent", "redis does not answer: calls wait; runs go on and keep their leases" },
	[HEALTH_AWAY] = { "away",
			  "redis cannot be reached: only /livez, /readyz and doctor answer; runs go on and keep "
			  "their leases" },
};

/* A tick a second is the rule. */
enum { HEALTH_SILENT_MS = 3000 };

static enum health health_of(const struct scheduler *s, const struct ticker_state *tick)
{
	if (!scheduler_is_ready(s))
		return HEALTH_AWAY;
	if (tick->good_ms_ago < HEALTH_SILENT_MS && tick->good_ms_ago >= 0)
		return HEALTH_OK;
	return *tick->failure ? HEALTH_READ_ONLY : HEALTH_SILENT;
}

static void api_health_answer(struct scheduler *s, struct http_reply *reply, bool is_strict)
{
	struct ticker_state tick;
	ticker_look(s->ticker, &tick);
	enum health health = health_of(s, &tick);
	bool is_well = scheduler_is_ready(s) && (!is_strict || health == HEALTH_OK);
	json_auto_t *body =
		json_pack("{s:b, s:s, s:s, s:s, s:I, s:s}", "ready", is_well, "state", health_rows[health].name,
			  "means", health_rows[health].means, "redis", jobs_where(s->jobs), "ticked_ms_ago",
			  (json_int_t)tick.good_ms_ago, "error", health == HEALTH_OK ? "" : tick.failure);
	CLEANUP(free_p) char *text = json_dumps(body, JSON_COMPACT);
	http_reply_json(reply, is_well ? 200 : 503, text, strlen(text));
}

/* Everything works: Redis takes writes, and the ticks run. */
void api_health(void *arg, const struct http_request *request, struct http_reply *reply)
{
	(void)request;
	api_health_answer(arg, reply, true);
}

void api_readyz(void *arg, const struct http_request *request, struct http_reply *reply)
{
	if (http_request_query(request, "verbose")) {
		api_health_answer(arg, reply, false);
		return;
	}
	struct api_call *call = api_call_new(arg, request, reply);
	if (call)
		api_answer(call, 200, json_pack("{s:b}", "ready", true));
}

static void api_on_version(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	json_auto_t *info = api_parse(call, text, len, err);
	if (!info)
		return;
	json_t *library = json_object_get(info, "library");
	api_answer(call, 200,
		   json_pack("{s:s, s:O}", "version", STOKER_VERSION, "library", library ? library : json_null()));
}

void api_version(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_call_new(arg, request, reply);
	if (call)
		jobs_server_info(call->scheduler->jobs, api_on_version, call);
}
