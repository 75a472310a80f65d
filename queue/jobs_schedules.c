/* Schedules: making and changing them, and what the schedulers do when one is due. */
#include "queue/jobs_internal.h"

#include <string.h>

/* ---- answers that are one text ---- */

void jobs_schedule(struct jobs *jobs, const char *queue, const char *spec_json, const char *actor, jobs_text_fn *fn,
		   void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_schedule", queue, fn, arg);
	jobs_arg(call, spec_json);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_unschedule(struct jobs *jobs, const char *queue, const char *name, const char *actor, jobs_text_fn *fn,
		     void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_unschedule", queue, fn, arg);
	jobs_arg(call, name);
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_schedule_pause(struct jobs *jobs, const char *queue, const char *name, bool is_pause, const char *actor,
			 jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_schedule_pause", queue, fn, arg);
	jobs_arg(call, name);
	jobs_arg(call, is_pause ? "pause" : "resume");
	jobs_arg(call, actor);
	jobs_send(call);
}

void jobs_schedule_refuse(struct jobs *jobs, const char *queue, const char *name, const char *revision,
			  const char *error, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_schedule_refuse", queue, fn, arg);
	jobs_arg(call, name);
	jobs_arg(call, revision);
	jobs_arg(call, error);
	jobs_send(call);
}

void jobs_schedule_show(struct jobs *jobs, const char *queue, const char *name, jobs_text_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_text_call(jobs, "stoker_schedule_show", queue, fn, arg);
	jobs_arg(call, name);
	jobs_send(call);
}

void jobs_schedules(struct jobs *jobs, const char *queue, jobs_text_fn *fn, void *arg)
{
	jobs_send(jobs_text_call(jobs, "stoker_schedules", queue, fn, arg));
}

/* ---- what is due: [now, next, [name, revision, cron, …]…] ---- */

static bool jobs_read_due(const struct redisReply *reply, struct schedule_due *due)
{
	const struct {
		const char **text;
		int64_t *number;
	} fields[] = {
		{ .text = &due->name },        { .text = &due->revision },  { .text = &due->cron },
		{ .number = &due->every_ms },  { .text = &due->zone },      { .text = &due->missed },
		{ .number = &due->anchor_ms }, { .number = &due->from_ms }, { .number = &due->next_ms },
	};
	*due = (struct schedule_due){ 0 };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct redisReply *field = jobs_reply_item(reply, i);
		const char *text;
		if (!jobs_reply_text(field, &text, NULL))
			return false;
		if (fields[i].text)
			*fields[i].text = text;
		else if (*text && !jobs_reply_number(field, fields[i].number))
			return false;
	}
	return true;
}

static void jobs_decode_due_list(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_due_fn *fn = (jobs_due_fn *)call->fn;
	int64_t now_ms = 0, next_ms = -1;
	struct error bad;
	if (!err && (!jobs_reply_number(jobs_reply_item(reply, 0), &now_ms) ||
		     !jobs_reply_number(jobs_reply_item(reply, 1), &next_ms))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (err) {
		fn(call->arg, 0, -1, NULL, 0, err);
		return;
	}
	size_t count = 0;
	struct schedule_due *due = mem_alloc(reply->elements * sizeof *due);
	for (size_t i = 2; i < reply->elements; i++) /* what a stranger has made of one is left alone */
		count += jobs_read_due(reply->element[i], &due[count]);
	fn(call->arg, now_ms, next_ms, due, count, NULL);
	free(due);
}

void jobs_due(struct jobs *jobs, const char *queue, int offset, jobs_due_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_due", queue, jobs_decode_due_list, (jobs_any_fn *)fn, arg);
	jobs_arg_number(call, offset);
	jobs_send(call);
}

/* ---- firing: [what, job id or "", next due time] ---- */

static void jobs_decode_fired(struct jobs_call *call, const struct redisReply *reply, const struct error *err)
{
	jobs_fired_fn *fn = (jobs_fired_fn *)call->fn;
	const char *what = "", *id = "";
	int64_t next_ms = 0;
	struct error bad;
	if (!err && (!jobs_reply_text(jobs_reply_item(reply, 0), &what, NULL) ||
		     !jobs_reply_text(jobs_reply_item(reply, 1), &id, NULL))) {
		jobs_bad_shape(call, &bad);
		err = &bad;
	}
	if (!err && !jobs_reply_number(jobs_reply_item(reply, 2), &next_ms))
		next_ms = 0; /* it is gone */
	fn(call->arg, what, id, next_ms, err);
}

void jobs_fire(struct jobs *jobs, const char *queue, const struct schedule_firing *firing, jobs_fired_fn *fn, void *arg)
{
	struct jobs_call *call = jobs_call_new(jobs, "stoker_fire", queue, jobs_decode_fired, (jobs_any_fn *)fn, arg);
	jobs_arg(call, firing->name);
	jobs_arg(call, firing->revision);
	jobs_arg_number(call, firing->expected_ms);
	jobs_arg_number(call, firing->due_ms);
	jobs_arg_number(call, firing->next_ms);
	jobs_send(call);
}
