#include "scheduler/schedules.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "lib/buf.h"
#include "lib/log.h"
#include "queue/schedule.h"

/* One look at one queue. */
struct schedules_round {
	struct jobs *jobs;
	char queue[64];
	size_t pending; /* calls under way */
	int offset;     /* of the next page */
	int64_t now_ms; /* of Redis */
	int64_t next_ms;
	int64_t handled;
	struct error error; /* the first */
	jobs_tick_fn *fn;
	void *arg;
};

/* One schedule in it. */
struct schedules_one {
	struct schedules_round *round;
	char name[65];
	char revision[24];
	int64_t due_ms;
};

static void schedules_settle(struct schedules_round *round, const struct error *err)
{
	if (err && !round->error.kind)
		round->error = *err;
	if (--round->pending > 0)
		return;
	round->fn(round->arg, round->handled, round->next_ms, round->error.kind ? &round->error : NULL);
	free(round);
}

static void schedules_one_done(struct schedules_one *one, const struct error *err)
{
	struct schedules_round *round = one->round;
	free(one);
	schedules_settle(round, err);
}

/* ---- one that nobody can make sense of ---- */

static void schedules_on_refused(void *arg, const char *text, size_t len, const struct error *err)
{
	(void)text;
	(void)len;
	schedules_one_done(arg, err);
}

static void schedules_refuse(struct schedules_one *one, const struct error *err)
{
	log_warn("a schedule cannot be followed until it is changed", "queue=%s schedule=%s error=\"%s\"",
		 one->round->queue, one->name, err->message);
	jobs_schedule_refuse(one->round->jobs, one->round->queue, one->name, one->revision, err->message,
			     schedules_on_refused, one);
}

/* ---- one that is due ---- */

static void schedules_on_fired(void *arg, const char *what, const char *id, int64_t next_ms, const struct error *err)
{
	struct schedules_one *one = arg;
	struct schedules_round *round = one->round;
	if (err && err->kind == ERR_INPUT) {
		schedules_refuse(one, err);
		return;
	}
	if (!err) {
		log_debug("a schedule", "queue=%s schedule=%s due_ms=%" PRId64 " what=%s job=%s next_ms=%" PRId64,
			  round->queue, one->name, one->due_ms, what, id, next_ms);
		int64_t left_ms = next_ms > round->now_ms ? next_ms - round->now_ms : 0;
		if (next_ms > 0 && (round->next_ms < 0 || left_ms < round->next_ms))
			round->next_ms = left_ms;
		round->handled++;
	}
	schedules_one_done(one, err);
}

static bool schedules_decide(const struct schedule_due *due, int64_t now_ms, struct schedule_step *step,
			     struct error *err)
{
	const struct schedule_text text = {
		.cron = due->cron, .zone = due->zone, .every_ms = due->every_ms, .anchor_ms = due->anchor_ms
	};
	const struct schedule_state state = {
		.missed = due->missed, .next_ms = due->next_ms, .from_ms = due->from_ms, .now_ms = now_ms
	};
	struct schedule_rule rule;
	return schedule_rule_read(&text, &rule, err) && schedule_plan(&rule, &state, step, err);
}

static void schedules_look(struct schedules_round *round, const struct schedule_due *due)
{
	struct schedules_one *one = mem_alloc(sizeof *one);
	struct schedule_step step;
	struct error err;
	one->round = round;
	str_copy(one->name, sizeof one->name, due->name);
	str_copy(one->revision, sizeof one->revision, due->revision);
	round->pending++;
	if (!schedules_decide(due, round->now_ms, &step, &err)) {
		/* That this machine has no tzdata says nothing about the others. */
		if (err.kind == ERR_INPUT)
			schedules_refuse(one, &err);
		else
			schedules_one_done(one, &err);
		return;
	}
	one->due_ms = step.due_ms;
	const struct schedule_firing firing = { .name = one->name,
						.revision = one->revision,
						.expected_ms = due->next_ms,
						.due_ms = step.due_ms,
						.next_ms = step.next_ms };
	jobs_fire(round->jobs, round->queue, &firing, schedules_on_fired, one);
}

static void schedules_on_due(void *arg, int64_t now_ms, int64_t next_ms, const struct schedule_due *due, size_t count,
			     const struct error *err)
{
	struct schedules_round *round = arg;
	round->now_ms = now_ms;
	if (next_ms >= 0 && (round->next_ms < 0 || next_ms < round->next_ms))
		round->next_ms = next_ms;
	if (count == JOBS_DUE) {
		/* Asked before these are fired, which takes them out of the pages. What lies behind a page that moved
		 * up is found by the next round: it follows at once. */
		round->pending++;
		round->next_ms = 0;
		round->offset += JOBS_DUE;
		jobs_due(round->jobs, round->queue, round->offset, schedules_on_due, round);
	}
	for (size_t i = 0; i < count; i++)
		schedules_look(round, &due[i]);
	schedules_settle(round, err);
}

void schedules_fire(struct jobs *jobs, const char *queue, jobs_tick_fn *fn, void *arg)
{
	struct schedules_round *round = mem_alloc(sizeof *round);
	round->jobs = jobs;
	round->fn = fn;
	round->arg = arg;
	round->pending = 1;
	round->next_ms = -1;
	str_copy(round->queue, sizeof round->queue, queue);
	jobs_due(jobs, queue, 0, schedules_on_due, round);
}
