/* A sweep is submitted. A request that was cut off and comes again with its key goes on where it was. */
#include <string.h>
#include <sys/random.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "scheduler/api.h"
#include "scheduler/sweeper.h"

/* Of the key of the request, or of chance; with the text, so that another sweep is another batch. */
void api_sweep_stem(struct api_call *call, const struct http_request *request, char stem[17])
{
	unsigned char random[16] = { 0 };
	CLEANUP(digest) struct digest *digest = digest_new();
	if (*call->key)
		digest_add(digest, call->key, strlen(call->key));
	else if (getrandom(random, sizeof random, 0) == (ssize_t)sizeof random)
		digest_add(digest, random, sizeof random);
	digest_add(digest, request->body, request->body_len);
	str_format(stem, 17, "%.16s", digest_take(digest).text);
}

static void api_on_swept(void *arg, json_t *ids, bool has_batch, const struct error *err)
{
	struct api_call *call = arg;
	if (!has_batch && api_makes_queue(call, err, api_submit_sweep))
		return;
	if (!api_went_well(call, err))
		return;
	http_reply_location(call->reply, API_JOBS "?queue=%s&batch=%s", call->queue, call->sweep.batch);
	api_answer(call, 201, json_pack("{s:O, s:s}", "ids", ids, "batch", call->sweep.batch));
}

void api_submit_sweep(struct api_call *call)
{
	const struct sweeper_options options = { .jobs = call->scheduler->jobs,
						 .queue = call->queue,
						 .sweep = &call->sweep,
						 .stem = call->after,
						 .actor = call->actor };
	sweeper_run(&options, api_on_swept, call);
}
