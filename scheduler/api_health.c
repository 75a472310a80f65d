/* Is it alive, is it ready, what is it, and is its Redis fit for the job? */
#include "scheduler/api.h"
#include "scheduler/doctor.h"

void api_livez(void *arg, const struct http_request *request, struct http_reply *reply)
{
	static const char alive[] = "{\"alive\":true}";
	(void)arg;
	(void)request;
	http_reply_json(reply, 200, alive, sizeof alive - 1);
}

void api_readyz(void *arg, const struct http_request *request, struct http_reply *reply)
{
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

static void api_on_doctor(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (err && (err->kind == ERR_UNAVAILABLE || err->kind == ERR_UNKNOWN || err->kind == ERR_TIMEOUT)) {
		api_answer(call, 200, doctor_unreachable(jobs_where(call->scheduler->jobs)));
		return;
	}
	json_auto_t *info = api_parse(call, text, len, err);
	if (info)
		api_answer(call, 200, doctor_judge(info));
}

/* Asked most when Redis is away: that is a finding then, and no error. */
void api_doctor(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct scheduler *s = arg;
	if (!scheduler_is_ready(s)) {
		json_auto_t *report = doctor_unreachable(jobs_where(s->jobs));
		char *text = json_dumps(report, JSON_COMPACT);
		http_reply_json(reply, 200, text, strlen(text));
		free(text);
		return;
	}
	struct api_call *call = api_call_new(s, request, reply);
	if (call)
		jobs_server_info(s->jobs, api_on_doctor, call);
}
