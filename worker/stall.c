#include "worker/stall.h"

enum {
	STALL_TIMES = 6,           /* of the slowest recent step */
	STALL_LOOSE_TIMES = 10,    /* of that, for whoever does something else than steps */
	STALL_STEPS_LEAST = 3,     /* times between steps to be seen before they say anything: the first ones compile */
	STALL_SAME_WORD_MS = 1000, /* what is said so soon after a step belongs to it */
	STALL_WINDOW_MS = 10 * 60 * 1000,
	STALL_WINDOW_STEPS = 16,
};

void stall_heard(struct stall *stall, int64_t now_ms)
{
	stall->heard_ms = now_ms;
}

void stall_step(struct stall *stall, int64_t now_ms)
{
	struct stall_window *now = &stall->now;
	int64_t took_ms = now_ms - stall->step_ms;
	bool is_first = stall->step_ms == 0;
	stall->heard_ms = stall->step_ms = now_ms;
	if (is_first)
		now->since_ms = now_ms;
	if (is_first || took_ms < 0)
		return;
	now->count++;
	if (took_ms > now->slowest_ms)
		now->slowest_ms = took_ms;
	if (now->count < STALL_WINDOW_STEPS || now_ms - now->since_ms < STALL_WINDOW_MS)
		return;
	stall->before = *now;
	*now = (struct stall_window){ .since_ms = now_ms };
}

int64_t stall_slowest(const struct stall *stall)
{
	const struct stall_window *now = &stall->now, *before = &stall->before;
	if (now->count + before->count < STALL_STEPS_LEAST)
		return 0;
	int64_t slowest = now->slowest_ms > before->slowest_ms ? now->slowest_ms : before->slowest_ms;
	return slowest > 0 ? slowest : 1;
}

int64_t stall_limit(const struct stall *stall, const struct stall_bounds *bounds, bool computes)
{
	int64_t slowest = stall_slowest(stall);
	bool is_between = stall->heard_ms - stall->step_ms > STALL_SAME_WORD_MS;
	if (!slowest || slowest >= bounds->most_ms)
		return bounds->most_ms;
	int64_t limit = slowest * STALL_TIMES;
	if (limit < bounds->least_ms)
		limit = bounds->least_ms;
	if (computes || is_between)
		limit *= STALL_LOOSE_TIMES;
	return limit < bounds->most_ms ? limit : bounds->most_ms;
}
