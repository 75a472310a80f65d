/*
 * A sweep is submitted: its batch is made, then its jobs go in page after page, each with a key made of that of the
 * request. A request that was cut off and comes again with its key goes on where it was, and answers the same.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include "lib/buf.h"
#include "lib/digest.h"
#include "lib/fields.h"
#include "queue/spec.h"
#include "scheduler/api.h"

static void api_sweep_next(struct api_call *call);

/* ---- names ---- */

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

/* ---- the end ---- */

static void api_sweep_answer(struct api_call *call)
{
	json_t *ids = json_incref(call->body);
	api_answer(call, 201, json_pack("{s:o, s:s}", "ids", ids, "batch", call->sweep.batch));
}

/* What is in stays in: the same request goes on from there. */
static void api_sweep_refuse(struct api_call *call, size_t at, const struct error *err)
{
	struct error own = *err;
	error_wrap(&own, "job %zu of the sweep (%.100s)", at + 1, call->sweep.labels[at]);
	str_format(own.hint, sizeof own.hint, "%s%s%zu of %zu jobs of batch %s are in; with the same key it goes on",
		   err->hint, *err->hint ? "; " : "", json_array_size(call->body), call->sweep.count,
		   call->sweep.batch);
	api_refuse(call, &own);
}

/* ---- pages ---- */

static void api_on_sweep_page(void *arg, const struct bulk_answer *answers, size_t count, const struct error *err)
{
	struct api_call *call = arg;
	size_t at = json_array_size(call->body);
	if (err) {
		api_sweep_refuse(call, at, err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (!answers[i].id) {
			api_sweep_refuse(call, at + i, &answers[i].error);
			return;
		}
		json_array_append_new(call->body, json_string(answers[i].id));
	}
	api_sweep_next(call);
}

/* call->body: the ids so far; call->after: what the keys begin with. */
static void api_sweep_next(struct api_call *call)
{
	struct bulk_item items[JOBS_BULK_MAX];
	char keys[JOBS_BULK_MAX][64];
	size_t at = json_array_size(call->body), count = 0;
	while (count < JOBS_BULK_MAX && at + count < call->sweep.count) {
		const char *spec = call->sweep.specs[at + count];
		str_format(keys[count], sizeof keys[count], "sweep:%s:%zu", call->after, at + count);
		items[count] = (struct bulk_item){ spec, strlen(spec), keys[count] };
		count++;
	}
	if (count)
		jobs_bulk(call->scheduler->jobs, call->queue, call->actor, items, count, api_on_sweep_page, call);
	else
		api_sweep_answer(call);
}

static void api_on_sweep_batch(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	struct api_call *call = arg;
	if (!api_makes_queue(call, err, api_submit_sweep) && api_went_well(call, err))
		api_sweep_next(call);
}

void api_submit_sweep(struct api_call *call)
{
	const struct sweep *s = &call->sweep;
	CLEANUP(buf) struct buf json;
	buf_init(&json, 2 * SPEC_MAX_BYTES);
	buf_printf(&json, "{\"size\":%zu", s->count);
	following_write(&s->following, &json);
	buf_byte(&json, '}');
	if (!call->body)
		call->body = json_array();
	jobs_batch(call->scheduler->jobs, call->queue, s->batch, buf_text(&json), call->actor, api_on_sweep_batch,
		   call);
}
