/* The code of jobs: asked for by its hash, and sent a block at a time, so that no request is large. */
#include <string.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "queue/code.h"
#include "scheduler/api.h"
#include "scheduler/code_store.h"
#include "scheduler/stored.h"

static bool api_code_request(struct scheduler *s, const struct http_request *request, struct code_request *code,
			     struct error *err)
{
	*code = (struct code_request){ .store = s->settings->store,
				       .installation = s->installation,
				       .hash = request->segment,
				       .block = *request->part ? request->part : NULL,
				       .data = request->body,
				       .len = request->body_len };
	if (!s->stored)
		return error_set(err, ERR_NOT_FOUND, "start it with --store URL, the one of the workers",
				 "this scheduler has no store");
	if (!digest_is_hex(code->hash) || (code->block && !digest_is_hex(code->block)))
		return error_set(err, ERR_INPUT, NULL, "expected a SHA-256 as 64 hex digits");
	return true;
}

static void api_on_code(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (!api_went_well(call, err))
		return;
	http_reply_json(call->reply, 200, text, len);
	api_forget(call);
}

/*
 * Who is told that it is there names it in a spec next. gc may be about to delete it: it dooms it in every queue, and
 * deletes it if nothing of it is young. So it is made young first, then asked whether it is doomed, then looked at once
 * more: a gc that had begun is met by the second, one that has ended by the third, and a later one finds it young.
 */
static void api_code_look_again(struct api_call *call)
{
	const struct code_request code = { .store = call->scheduler->settings->store,
					   .installation = call->scheduler->installation,
					   .hash = call->key,
					   .is_short = true };
	stored_run_in(call->scheduler->stored, code_store_get, (void *)&code, api_on_code, call);
}

static void api_code_on_doomed(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	struct error doomed;
	(void)len;
	if (!err && strstr(text, call->key)) {
		error_set(&doomed, ERR_UNAVAILABLE, "submit again, in a minute",
			  "code %s is being deleted, since nobody needed it", call->key);
		err = &doomed;
	}
	if (err && err->kind != ERR_NOT_FOUND) /* there is no such queue yet, and no job in it */
		api_refuse(call, err);
	else
		api_code_look_again(call);
}

static void api_on_code_young(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	const char *hash = call->key;
	(void)text;
	(void)len;
	if (api_went_well(call, err))
		jobs_condemn(call->scheduler->jobs, "default", "ask", "-", &hash, 1, api_code_on_doomed, call);
}

static void api_code_with(struct scheduler *s, const struct http_request *request, struct http_reply *reply,
			  helper_run_fn *run)
{
	struct error err;
	struct code_request code;
	struct api_call *call = api_call_new(s, request, reply); /* the installation is known once there was a Redis */
	if (!call)
		return;
	if (!api_code_request(s, request, &code, &err)) {
		api_refuse(call, &err);
		return;
	}
	code.is_short = api_flag(request, "summary");
	code.file = http_request_query(request, "file");
	str_copy(call->key, sizeof call->key, code.hash);
	bool is_relied_on = run == code_store_manifest || (run == code_store_get && code.is_short);
	stored_run_in(s->stored, run, &code, is_relied_on ? api_on_code_young : api_on_code, call);
}

void api_code(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_code_with(arg, request, reply, http_request_query(request, "file") ? code_store_file : code_store_get);
}

void api_code_block(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_code_with(arg, request, reply, code_store_block);
}

void api_code_manifest(void *arg, const struct http_request *request, struct http_reply *reply)
{
	api_code_with(arg, request, reply, code_store_manifest);
}
