#include "scheduler/api.h"

#include <fnmatch.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/config.h"
#include "queue/spec.h"
#include "lib/fields.h"
#include "scheduler/ticker.h"

void api_forget(struct api_call *call)
{
	json_decref(call->body);
	json_decref(call->show);
	json_decref(call->page);
	free(call->spec);
	graph_done(&call->graph);
	sweep_done(&call->sweep);
	free(call);
}

void api_answer(struct api_call *call, int status, json_t *json)
{
	CLEANUP(free_p) char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	http_reply_json(call->reply, status, text ? text : "{}", text ? strlen(text) : 2);
	api_forget(call);
}

void api_refuse(struct api_call *call, const struct error *err)
{
	http_reply_error(call->reply, 0, err);
	api_forget(call);
}

bool api_went_well(struct api_call *call, const struct error *err)
{
	if (!err)
		return true;
	api_refuse(call, err);
	return false;
}

json_t *api_parse(struct api_call *call, const char *text, size_t len, const struct error *err)
{
	if (!api_went_well(call, err))
		return NULL;
	json_t *json = fields_parse(text, len);
	if (json)
		return json;
	struct error bad;
	error_set(&bad, ERR_INTERNAL, "is the function library of another version?",
		  "the function library answered no JSON");
	api_refuse(call, &bad);
	return NULL;
}

/* Who asks, for the history: what the client says about itself, as far as it is plain text. */
static void api_actor(struct api_call *call, const struct http_request *request)
{
	const char *actor = http_request_header(request, "X-Stoker-Actor");
	if (!actor || !*actor || !str_copy(call->actor, sizeof call->actor, actor))
		str_copy(call->actor, sizeof call->actor, request->is_local ? "http:local" : "http");
	for (char *c = call->actor; *c; c++)
		if (*c <= ' ' || *c > '~')
			*c = '_';
}

struct api_call *api_call_new(struct scheduler *s, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = mem_alloc(sizeof *call);
	call->scheduler = s;
	call->reply = reply;
	api_actor(call, request);
	if (scheduler_is_ready(s))
		return call;
	struct error err;
	error_set(&err, ERR_UNAVAILABLE, "it is tried again all the time; stoker doctor looks closer",
		  "redis cannot be reached at %s", jobs_where(s->jobs));
	api_refuse(call, &err);
	return NULL;
}

struct api_call *api_job_call_new(struct scheduler *s, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_call_new(s, request, reply);
	if (!call)
		return NULL;
	struct error err;
	if (spec_split_id(request->segment, call->queue, &call->n, &err) &&
	    str_copy(call->id, sizeof call->id, request->segment))
		return call;
	api_refuse(call, &err);
	return NULL;
}

void api_made(struct api_call *call, const char *id)
{
	struct error err;
	char queue[sizeof call->queue];
	int64_t n;
	if (spec_split_id(id, queue, &n, &err))
		ticker_saw(call->scheduler->ticker, queue, n);
}

bool api_body(struct api_call *call, const struct http_request *request, const char *const *keys, size_t key_count,
	      struct error *err)
{
	static const char hint[] = "for example {\"reason\":\"wrong data\"}";
	json_error_t at;
	if (request->body_len == 0) {
		call->body = json_object();
		return true;
	}
	call->body = json_loadb(request->body, request->body_len, JSON_REJECT_DUPLICATES, &at);
	if (!call->body)
		return error_set(err, ERR_INPUT, hint, "the body is no JSON: line %d: %s", at.line, at.text);
	if (!json_is_object(call->body))
		return error_set(err, ERR_INPUT, hint, "the body must be one JSON object");
	const char *name;
	json_t *value;
	json_object_foreach(call->body, name, value)
	{
		bool is_known = false;
		for (size_t i = 0; i < key_count; i++)
			is_known = is_known || strcmp(name, keys[i]) == 0;
		if (!is_known)
			return error_set(err, ERR_INPUT, hint, "%s: unknown key", name);
	}
	return true;
}

bool api_has_tag(const json_t *job, const char *pattern)
{
	size_t len;
	for (const char *at = fields_text(job, "tags"); *at; at += len + (at[len] == ' ')) {
		len = strcspn(at, " ");
		CLEANUP(free_p) char *word = mem_printf("%.*s", (int)len, at);
		if (fnmatch(pattern, word, 0) == 0)
			return true;
	}
	return false;
}

bool api_limit(struct api_call *call, const struct http_request *request, int64_t otherwise, int64_t max,
	       struct error *err)
{
	const char *text = http_request_query(request, "limit");
	call->limit = otherwise;
	if (text && (!config_parse_int(text, &call->limit) || call->limit < 1 || call->limit > max))
		return error_set(err, ERR_INPUT, NULL, "limit: expected an integer from 1 to %lld, got \"%s\"",
				 (long long)max, text);
	return true;
}

bool api_after(struct api_call *call, const struct http_request *request, const char *name, struct error *err)
{
	/* A cursor of what is queued names a lane, and that may name a worker. */
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz:.,_-ABCDEFGHIJKLMNOPQRSTUVWXYZ@!";
	const char *text = http_request_query(request, name);
	if (text && (!str_copy(call->after, sizeof call->after, text) || strspn(text, letters) != strlen(text)))
		return error_set(err, ERR_INPUT, "give back what the last answer said", "%s: this is no id of an entry",
				 name);
	return true;
}

bool api_queue(struct api_call *call, const char *queue, struct error *err)
{
	if (queue && *queue && !spec_is_queue(queue))
		return error_set(err, ERR_INPUT, "small letters, digits and hyphens, at most 63",
				 "queue: \"%.80s\" is no name of a queue", queue);
	return str_copy(call->queue, sizeof call->queue, queue ? queue : "");
}

bool api_queue_or_default(struct api_call *call, const char *queue, struct error *err)
{
	return api_queue(call, queue && *queue ? queue : "default", err);
}

bool api_flag(const struct http_request *request, const char *name)
{
	const char *text = http_request_query(request, name);
	return text && (strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
}

bool api_body_text(const struct api_call *call, const char *name, const char **text, struct error *err)
{
	const json_t *value = json_object_get(call->body, name);
	*text = value ? json_string_value(value) : "";
	return *text || error_set(err, ERR_INPUT, NULL, "%s: expected a text", name);
}

void api_on_state(void *arg, const char *text, size_t len, const struct error *err)
{
	struct api_call *call = arg;
	if (api_went_well(call, err))
		api_answer(call, 200, json_pack("{s:s, s:s%}", "id", call->id, "state", text, len));
}
