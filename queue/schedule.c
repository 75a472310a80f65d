#include "queue/schedule.h"

#include <string.h>

bool schedule_rule_read(const struct schedule_text *text, struct schedule_rule *rule, struct error *err)
{
	*rule = (struct schedule_rule){ .is_cron = text->cron && *text->cron,
					.every_ms = text->every_ms,
					.anchor_ms = text->anchor_ms };
	if (!rule->is_cron)
		return rule->every_ms > 0 ||
		       error_set(err, ERR_INPUT, NULL, "schedule: expected cron or every, got neither");
	if (!cron_parse(text->cron, &rule->cron, err))
		return error_wrap(err, "schedule.cron");
	return zone_find(text->zone && *text->zone ? text->zone : "UTC", &rule->zone, err) ||
	       error_wrap(err, "schedule.zone");
}

bool schedule_rule_next(const struct schedule_rule *rule, int64_t after_ms, int64_t *next_ms, struct error *err)
{
	return rule->is_cron ? cron_next(&rule->cron, &rule->zone, after_ms, next_ms, err)
			     : cron_every(rule->anchor_ms, rule->every_ms, after_ms, next_ms, err);
}

/* Are there at most `most` due times in (after_ms, now_ms]? */
static bool schedule_is_few(const struct schedule_rule *rule, int64_t after_ms, int64_t now_ms, int most, bool *is_few,
			    struct error *err)
{
	for (int count = 0; count <= most; count++) {
		if (!schedule_rule_next(rule, after_ms, &after_ms, err))
			return false;
		if (after_ms > now_ms) {
			*is_few = true;
			return true;
		}
	}
	*is_few = false;
	return true;
}

/* The oldest of the newest `most` due times in [first_ms, now_ms]: first_ms is one. Where there are more,
 * it is found by halving: a month of minutes is not walked through. Due times are whole seconds, for a cron
 * expression; those of every_ms are counted. */
static bool schedule_oldest(const struct schedule_rule *rule, int64_t first_ms, int64_t now_ms, int most,
			    int64_t *due_ms, struct error *err)
{
	int64_t many = first_ms - 1, few = now_ms;
	bool is_few;
	if (!rule->is_cron) {
		int64_t newest = first_ms + (now_ms - first_ms) / rule->every_ms * rule->every_ms;
		int64_t oldest = newest - (most - 1) * rule->every_ms;
		*due_ms = oldest > first_ms ? oldest : first_ms;
		return true;
	}
	*due_ms = first_ms;
	if (!schedule_is_few(rule, many, now_ms, most, &is_few, err))
		return false;
	if (is_few)
		return true;
	while (few - many > 1) {
		int64_t middle = many + (few - many) / 2;
		if (!schedule_is_few(rule, middle, now_ms, most, &is_few, err))
			return false;
		if (is_few)
			few = middle;
		else
			many = middle;
	}
	return schedule_rule_next(rule, few, due_ms, err);
}

bool schedule_plan(const struct schedule_rule *rule, const struct schedule_state *state, struct schedule_step *step,
		   struct error *err)
{
	bool is_all = strcmp(state->missed, "all") == 0;
	int64_t due_ms;
	*step = (struct schedule_step){ 0 };
	if (state->next_ms == 0)
		return schedule_rule_next(rule, state->from_ms, &step->next_ms, err);
	if (!schedule_oldest(rule, state->next_ms, state->now_ms, is_all ? SCHEDULE_CATCH_UP : 1, &due_ms, err))
		return false;
	bool is_late = state->now_ms - due_ms > SCHEDULE_LATE_MS;
	step->due_ms = is_late && strcmp(state->missed, "skip") == 0 ? 0 : due_ms;
	return schedule_rule_next(rule, due_ms, &step->next_ms, err);
}
