#include "queue/jobs_internal.h"

#include <string.h>

/* ---- [word, …]: verdicts and numbers ---- */

struct jobs_verdict_row {
	const char *word;
	enum verdict verdict;
};

static const struct jobs_verdict_row jobs_verdicts[] = {
	{ "ok", VERDICT_OK },
	{ "cancel", VERDICT_CANCEL },
	{ "preempt", VERDICT_PREEMPT },
	{ "corrupted", VERDICT_CORRUPTED },
};

static bool jobs_read_verdict(const struct redisReply *reply, enum verdict *verdict)
{
	const char *word;
	if (!jobs_reply_text(reply, &word, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(jobs_verdicts); i++) {
		if (strcmp(jobs_verdicts[i].word, word) == 0) {
			*verdict = jobs_verdicts[i].verdict;
			return true;
		}
	}
	return false;
}

static void jobs_tell_verdict(struct jobs_call *call, const struct redisReply *word, const struct redisReply *reason,
			      const struct error *err)
{
	jobs_verdict_fn *fn = (jobs_verdict_fn *)call->fn;
	enum verdict verdict = VERDICT_OK;
	const char *text = "";
	struct error bad;
	if (!err && !jobs_read_verdict(word, &verdict)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	jobs_reply_text(reason, &text, NULL);
	fn(call->arg, verdict, err ? NULL : text, err);
}

static void jobs_decode_renew(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_verdict(call, jobs_reply_item(reply, 0), jobs_reply_item(reply, 1), err);
}

static void jobs_decode_adopt(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_verdict(call, jobs_reply_item(reply, 1), jobs_reply_item(reply, 2), err);
}

void jobs_renew(struct jobs *jobs, const struct attempt_ref *ref, const struct renewal *renewal, jobs_verdict_fn *fn,
		void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_renew", ref->queue, jobs_decode_renew, (jobs_any_fn *)fn, arg);
	jobs_arg_ref(call, ref);
	if (renewal->phase) {
		jobs_arg(call, "phase");
		jobs_arg(call, renewal->phase);
	}
	if (renewal->step >= 0) {
		jobs_arg(call, "step");
		jobs_arg_number(call, renewal->step);
	}
	if (renewal->total > 0) {
		jobs_arg(call, "total");
		jobs_arg_number(call, renewal->total);
		if (renewal->pace_ms >= 0 && renewal->pace_ms < 1e12) { /* not for a NaN */
			char pace[32];
			str_format(pace, sizeof pace, "%.3f", renewal->pace_ms);
			jobs_arg(call, "pace");
			jobs_arg(call, pace);
		}
	}
	if (renewal->resumed) {
		jobs_arg(call, "resumed");
		jobs_arg(call, renewal->resumed);
	}
	if (renewal->spent) {
		jobs_arg(call, "spent");
		jobs_arg(call, renewal->spent);
	}
	if (renewal->lineage) {
		jobs_arg(call, "lineage");
		jobs_arg(call, renewal->lineage);
	}
	jobs_send(call);
}

void jobs_adopt(struct jobs *jobs, const struct attempt_ref *ref, const struct adoption *adoption, jobs_verdict_fn *fn,
		void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_adopt", ref->queue, jobs_decode_adopt, (jobs_any_fn *)fn, arg);
	jobs_arg_ref(call, ref);
	jobs_arg(call, adoption->worker);
	if (adoption->attempt > 0) {
		jobs_arg_number(call, adoption->attempt);
		jobs_arg(call, adoption->installation);
		jobs_arg(call, adoption->resume ? adoption->resume : "");
		jobs_arg(call, adoption->spec_json);
		for (size_t i = 0; i < adoption->checkpoint_count; i++) {
			jobs_arg(call, adoption->checkpoints[i].id);
			jobs_arg(call, adoption->checkpoints[i].summary);
		}
	}
	jobs_send(call);
}

/* ---- logs and metrics: [ok or want, next] ---- */

static void jobs_decode_next(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_next_fn *fn = (jobs_next_fn *)call->fn;
	const char *word = "";
	int64_t next = 0;
	struct error bad;
	if (!err && (!jobs_reply_text(jobs_reply_item(reply, 0), &word, NULL) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &next) ||
		     (strcmp(word, "ok") != 0 && strcmp(word, "want") != 0))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	fn(call->arg, !err && strcmp(word, "ok") == 0, next, err);
}

void jobs_log(struct jobs *jobs, const struct attempt_ref *ref, const struct log_entry *entries, size_t count,
	      jobs_next_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_log", ref->queue, jobs_decode_next, (jobs_any_fn *)fn, arg);
	jobs_arg_ref(call, ref);
	for (size_t i = 0; i < count; i++) {
		jobs_arg_number(call, entries[i].first);
		jobs_arg_number(call, entries[i].time_ms);
		jobs_arg(call, entries[i].stream);
		jobs_arg_number(call, entries[i].lines);
		jobs_arg_bytes(call, entries[i].text, entries[i].len);
	}
	jobs_send(call);
}

void jobs_metric(struct jobs *jobs, const struct attempt_ref *ref, int64_t first, const char *const *points,
		 size_t count, jobs_next_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_metric", ref->queue, jobs_decode_next, (jobs_any_fn *)fn, arg);
	jobs_arg_ref(call, ref);
	jobs_arg_number(call, first);
	for (size_t i = 0; i < count; i++)
		jobs_arg(call, points[i]);
	jobs_send(call);
}

/* ---- checkpoints: lists of ids ---- */

/* skip: items in front that are not ids. */
static void jobs_tell_ids(struct jobs_call *call, const struct redisReply *reply, size_t skip, const struct error *err)
{
	jobs_ids_fn *fn = (jobs_ids_fn *)call->fn;
	struct error bad;
	size_t count = 0;
	const char **ids = NULL;
	if (!err && (reply->type != REDIS_REPLY_ARRAY || reply->elements < skip)) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (!err)
		ids = mem_alloc((reply->elements + 1) * sizeof *ids);
	for (size_t i = skip; !err && i < reply->elements; i++) {
		if (!jobs_reply_text(reply->element[i], &ids[count++], NULL)) {
			jobs_bad_shape(call, &bad);
			err = &bad;
		}
	}
	fn(call->arg, err ? NULL : ids, err ? 0 : count, err);
	free(ids);
}

static void jobs_decode_checkpoint(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_ids(call, reply, 1, err);
}

static void jobs_decode_reject(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_tell_ids(call, reply, 0, err);
}

void jobs_checkpoint(struct jobs *jobs, const struct attempt_ref *ref, const char *id, const char *summary_json,
		     jobs_ids_fn *to_delete, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_checkpoint", ref->queue, jobs_decode_checkpoint,
					       (jobs_any_fn *)to_delete, arg);
	jobs_arg_ref(call, ref);
	jobs_arg(call, id);
	jobs_arg(call, summary_json);
	jobs_send(call);
}

void jobs_reject(struct jobs *jobs, const struct attempt_ref *ref, const char *id, const char *reason,
		 jobs_ids_fn *next, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_reject", ref->queue, jobs_decode_reject, (jobs_any_fn *)next, arg);
	/* Errors name files and are cut to a length: a reason that is refused would be said again for ever. */
	json_auto_t *text = jobs_json_text(reason, strlen(reason));
	jobs_arg_ref(call, ref);
	jobs_arg(call, id);
	jobs_arg(call, json_string_value(text));
	jobs_send(call);
}

/* ---- the end of an attempt: a list of [ok, state] or [stale, reason] ---- */

static void jobs_decode_finish(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	const struct redisReply *first = jobs_reply_item(reply, 0);
	const char *word, *text;
	size_t len;
	struct error failed;
	if (err) {
		jobs_tell_text(call, NULL, 0, err);
	} else if (!jobs_reply_text(jobs_reply_item(first, 0), &word, NULL) ||
		   !jobs_reply_text(jobs_reply_item(first, 1), &text, &len)) {
		jobs_bad_shape(call, &failed);
		jobs_tell_text(call, NULL, 0, &failed);
	} else if (strcmp(word, "ok") == 0) {
		jobs_tell_text(call, text, len, NULL);
	} else {
		error_set(&failed, ERR_STALE, NULL, "%s", text);
		jobs_tell_text(call, NULL, 0, &failed);
	}
}

void jobs_finish(struct jobs *jobs, const struct attempt_ref *ref, const char *cause, const char *detail_json,
		 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call =
		jobs_call_new(jobs, "stoker_finish", ref->queue, jobs_decode_finish, (jobs_any_fn *)fn, arg);
	jobs_arg_ref(call, ref);
	jobs_arg(call, cause);
	jobs_arg(call, detail_json);
	jobs_send(call);
}
