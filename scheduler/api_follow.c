/* Following: one job, the events of one queue, or several of both in one stream. */
#include <string.h>
#include "lib/buf.h"
#include "lib/http_accept.h"
#include "queue/spec.h"
#include "scheduler/api.h"
#include "scheduler/follow.h"

/* Lines, unless only events will do. */
static void api_follow_format(const struct http_request *request, struct follow_options *options)
{
	const char *accept = http_request_header(request, "Accept");
	options->is_sse =
		http_accepts_type(accept, "text/event-stream") && !http_accepts_type(accept, "application/x-ndjson");
	options->last_id = options->is_sse ? http_request_header(request, "Last-Event-ID") : NULL;
}

static void api_follow_job(const struct http_request *request, struct follower_options *topic)
{
	topic->wants_logs = api_flag(request, "logs");
	topic->wants_metrics = api_flag(request, "metrics");
	topic->wants_history = api_flag(request, "events");
}

/* Takes the call. */
static void api_follow_start(struct api_call *call, const struct follow_options *options)
{
	follow_start(call->scheduler->follow, options, call->reply);
	api_forget(call);
}

void api_follow_queue(struct api_call *call, const struct http_request *request)
{
	struct follow_options options = { .count = 1 };
	api_follow_format(request, &options);
	str_copy(options.topics[0].topic.queue, sizeof options.topics[0].topic.queue, call->queue);
	options.topics[0].after = call->after;
	api_follow_start(call, &options);
}

void api_follow(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct api_call *call = api_job_call_new(arg, request, reply);
	struct follow_options options = { .count = 1 };
	if (!call)
		return;
	api_follow_format(request, &options);
	api_follow_job(request, &options.topics[0]);
	str_copy(options.topics[0].topic.queue, sizeof options.topics[0].topic.queue, call->queue);
	options.topics[0].topic.n = call->n;
	api_follow_start(call, &options);
}

/* ---- several in one ---- */

/* The topic that one word of the query names. */
static bool api_stream_topic(struct api_call *call, const char *word, bool is_job, struct follow_topic *topic,
			     struct error *err)
{
	if (is_job)
		return spec_split_id(word, topic->queue, &topic->n, err);
	return api_queue_or_default(call, word, err) && str_copy(topic->queue, sizeof topic->queue, call->queue);
}

static bool api_stream_topics(struct api_call *call, const struct http_request *request, const char *name,
			      struct follow_options *options, struct error *err)
{
	const char *text = http_request_query(request, name);
	CLEANUP(free_p) char *copy = mem_strdup(text ? text : "");
	char *rest = copy;
	for (char *word = strsep(&rest, ","); word; word = strsep(&rest, ",")) {
		if (!*word)
			continue;
		if (options->count == FOLLOW_TOPICS_MAX)
			return error_set(err, ERR_INPUT, "open another stream",
					 "%s: one stream has at most %d jobs and queues", name, FOLLOW_TOPICS_MAX);
		struct follower_options *topic = &options->topics[options->count++];
		bool is_job = strcmp(name, "jobs") == 0;
		topic->after = "";
		if (is_job)
			api_follow_job(request, topic);
		if (!api_stream_topic(call, word, is_job, &topic->topic, err))
			return false;
	}
	return true;
}

void api_stream(void *arg, const struct http_request *request, struct http_reply *reply)
{
	struct error err;
	struct api_call *call = api_call_new(arg, request, reply);
	struct follow_options options = { .is_sse = true, .last_id = http_request_header(request, "Last-Event-ID") };
	if (!call)
		return;
	if (!api_stream_topics(call, request, "jobs", &options, &err) ||
	    !api_stream_topics(call, request, "queues", &options, &err)) {
		api_refuse(call, &err);
	} else if (!options.count) {
		error_set(&err, ERR_INPUT, "for example jobs=default-1&logs=1",
			  "jobs: name a job, or a queue in queues");
		api_refuse(call, &err);
	} else {
		api_follow_start(call, &options);
	}
}
