/* Many submits in one call, each answered by itself. */
#include <string.h>
#include "queue/jobs_internal.h"
#include "queue/redis_error.h"

/* [ok, id] or [error, sentence]. */
static bool jobs_read_bulk_answer(const struct jobs_call *call, const struct redisReply *reply,
				  struct bulk_answer *answer)
{
	const char *verdict, *text;
	size_t len;
	if (!jobs_reply_text(jobs_reply_item(reply, 0), &verdict, NULL) ||
	    !jobs_reply_text(jobs_reply_item(reply, 1), &text, &len))
		return false;
	if (strcmp(verdict, "ok") == 0)
		answer->id = text;
	else
		redis_error_read(jobs_where(call->jobs), text, len, &answer->error);
	return true;
}

static void jobs_decode_bulk(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_bulk_fn *fn = (jobs_bulk_fn *)call->fn;
	struct error bad;
	size_t count = !err && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
	struct bulk_answer *answers = mem_alloc((count + 1) * sizeof *answers);
	bool ok = err || reply->type == REDIS_REPLY_ARRAY;
	for (size_t i = 0; i < count && ok; i++)
		ok = jobs_read_bulk_answer(call, reply->element[i], &answers[i]);
	if (!ok) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, err ? NULL : answers, err ? 0 : count, err);
	free(answers);
}

void jobs_bulk(struct jobs *jobs, const char *queue, const char *actor, const struct bulk_item *items, size_t count,
	       jobs_bulk_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_bulk", queue, jobs_decode_bulk, (jobs_any_fn *)fn, arg);
	jobs_arg(call, actor);
	for (size_t i = 0; i < count; i++) {
		jobs_arg_bytes(call, items[i].spec, items[i].len);
		jobs_arg(call, items[i].key);
	}
	jobs_send(call);
}
