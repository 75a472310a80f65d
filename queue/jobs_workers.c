/* What operators ask of workers, and the result of a job: answers that are no document yet. */
#include <string.h>
#include "queue/jobs_internal.h"

/* {"worker": id, "state": the function's answer} */
static void jobs_decode_worker_state(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const char *state = "";
	size_t len = 0;
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
		return;
	}
	jobs_reply_text(reply, &state, &len);
	jobs_tell_json(call, json_pack("{s:O, s:o}", "worker", call->kept, "state", jobs_json_text(state, len)));
}

static void jobs_tell_worker(struct jobs *jobs, const char *function, const char *queue, const char *worker,
			     const char *const *words, size_t count, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, function, queue, jobs_decode_worker_state, (jobs_any_fn *)fn, arg);
	call->kept = jobs_json_text(worker, strlen(worker));
	jobs_arg(call, worker);
	for (size_t i = 0; i < count; i++)
		jobs_arg(call, words[i]);
	jobs_send(call);
}

void jobs_worker_drain(struct jobs *jobs, const char *queue, const char *worker, const char *reason, const char *actor,
		       jobs_text_fn *fn, void *arg)
{
	const char *const words[] = { reason, actor };
	jobs_tell_worker(jobs, "stoker_worker_drain", queue, worker, words, ARRAY_LEN(words), fn, arg);
}

void jobs_worker_resume(struct jobs *jobs, const char *queue, const char *worker, const char *actor, jobs_text_fn *fn,
			void *arg)
{
	jobs_tell_worker(jobs, "stoker_worker_resume", queue, worker, &actor, 1, fn, arg);
}

static void jobs_decode_result(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const char *text;
	size_t len;
	struct error none;
	if (!err && !jobs_reply_text(reply, &text, &len)) {
		error_set(&none, ERR_NOT_FOUND, NULL, "there is no result");
		err = &none;
	}
	jobs_tell_text(call, err ? NULL : text, err ? 0 : len, err);
}

void jobs_result(struct jobs *jobs, const char *queue, int64_t n, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_command_new(jobs, "GET", queue, jobs_decode_result, (jobs_any_fn *)fn, arg);
	jobs_arg(call, key_result(jobs->prefix, call->queue, n).s);
	jobs_send(call);
}
