/* Is it alive, is it ready, what is it? */
#include "scheduler/api.h"

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
