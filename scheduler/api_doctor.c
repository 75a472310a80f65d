/* What an installation risks: Redis, the store and the workers are asked, one after the other, and judged at once. */
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/fields.h"
#include "scheduler/api_gather.h"
#include "scheduler/doctor.h"
#include "scheduler/stored.h"

/* call->show is what Redis says of itself, call->spec what the store said, call->missing why it could not. */
static void api_doctor_end(struct api_call *call, const json_t *workers)
{
	const struct doctor_facts facts = { .info = call->show,
					    .store = call->scheduler->settings->store,
					    .store_says = call->spec,
					    .store_error = call->missing.kind ? &call->missing : NULL,
					    .workers = workers,
					    .now_ms = fields_int(call->show, "now_ms", 0) };
	api_answer(call, 200, doctor_judge(&facts));
}

static void api_doctor_on_workers(struct api_call *call, const struct gathered *all, size_t count)
{
	json_auto_t *workers = api_workers_of(all, count);
	api_doctor_end(call, workers);
}

static void api_doctor_workers(struct api_call *call)
{
	static const struct api_gather_options options = { 1, api_workers_ask, api_doctor_on_workers };
	api_gather(call, &options);
}

static void api_doctor_on_store(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	(void)len;
	if (err)
		call->missing = *err;
	else
		call->spec = mem_strdup(text);
	api_doctor_workers(call);
}

static bool api_doctor_is_away(const struct error *err)
{
	return err->kind == ERR_UNAVAILABLE || err->kind == ERR_UNKNOWN || err->kind == ERR_TIMEOUT;
}

static void api_doctor_on_info(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err && api_doctor_is_away(err)) {
		api_answer(call, 200, doctor_unreachable(jobs_where(call->scheduler->jobs)));
		return;
	}
	call->show = api_parse(call, text, len, err);
	if (!call->show)
		return;
	if (!call->scheduler->stored) {
		api_doctor_workers(call);
		return;
	}
	CLEANUP(free_p) char *prefix = mem_printf("%s/doctor/", call->scheduler->installation);
	stored_ask(call->scheduler->stored, STORED_PROBE, prefix, api_doctor_on_store, call);
}

/* Asked most when Redis is away: that is a finding then, and no error. */
void api_doctor(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct scheduler *s = arg;
	if (!scheduler_is_ready(s)) {
		json_auto_t *report = doctor_unreachable(jobs_where(s->jobs));
		CLEANUP(free_p) char *text = json_dumps(report, JSON_COMPACT);
		http_reply_json(reply, 200, text, strlen(text));
		return;
	}
	struct api_call *call = api_call_new(s, request, reply);
	if (call)
		jobs_server_info(s->jobs, api_doctor_on_info, call);
}
