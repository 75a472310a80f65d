#include "queue/jobs_internal.h"

#include <string.h>
#include "queue/redis_error.h"

/* [ok, state], [skipped, state] or [error, "CODE sentence"]. */
static bool jobs_read_each(const struct jobs_call *call, const struct redisReply *pair, struct jobs_each_answer *answer)
{
	const char *word, *text;
	size_t len;
	if (!jobs_reply_text(jobs_reply_item(pair, 0), &word, NULL) ||
	    !jobs_reply_text(jobs_reply_item(pair, 1), &text, &len))
		return false;
	answer->text = text;
	if (strcmp(word, "ok") == 0) {
		answer->outcome = EACH_DONE;
	} else if (strcmp(word, "skipped") == 0) {
		answer->outcome = EACH_SKIPPED;
	} else {
		answer->outcome = EACH_REFUSED;
		redis_error_read(redis_where(call->jobs->redis), text, len, &answer->err);
	}
	return true;
}

static void jobs_decode_each(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_each_fn *fn = (jobs_each_fn *)call->fn;
	struct error bad;
	size_t count = !err && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
	struct jobs_each_answer *answers = mem_alloc((count + 1) * sizeof *answers);
	bool is_good = !err && count == (size_t)json_integer_value(call->kept);
	for (size_t i = 0; i < count && is_good; i++)
		is_good = jobs_read_each(call, reply->element[i], &answers[i]);
	if (!err && !is_good) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, err ? NULL : answers, err ? 0 : count, err);
	free(answers);
}

void jobs_each(struct jobs *jobs, const struct jobs_each *each, jobs_each_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_each", each->queue, jobs_decode_each, (jobs_any_fn *)fn, arg);
	jobs_arg(call, each->action);
	jobs_arg(call, each->states);
	jobs_arg(call, each->actor);
	jobs_arg(call, each->extra);
	for (size_t i = 0; i < each->count; i++) {
		char text[48];
		if (each->all[i].attempt < 0)
			str_format(text, sizeof text, "%lld", (long long)each->all[i].n);
		else
			str_format(text, sizeof text, "%lld:%lld", (long long)each->all[i].n,
				   (long long)each->all[i].attempt);
		jobs_arg(call, text);
	}
	call->kept = json_integer((json_int_t)each->count);
	jobs_send(call);
}
