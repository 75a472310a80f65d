/*
 * Which due time of a schedule comes next, and what becomes of those that were missed:
 * decided here from its rule, the time, and what Redis says about it. Nothing here
 * reads a clock; stoker_fire (lua/fire.lua) does what was decided, once.
 */
#ifndef STOKER_QUEUE_SCHEDULE_H
#define STOKER_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/cron.h"
#include "lib/error.h"

enum {
	SCHEDULE_CATCH_UP = 100, /* missed due times that `missed: all` makes up for */
	SCHEDULE_LATE_MS = 60000 /* so late a due time is missed for `missed: skip` */
};

/* The rule as it stands in the hash of the schedule. */
struct schedule_text {
	const char *cron; /* "" or NULL: every_ms counts */
	const char *zone; /* "" or NULL: UTC */
	int64_t every_ms;
	int64_t anchor_ms; /* every_ms is counted from here */
};

struct schedule_rule {
	bool is_cron;
	struct cron cron;
	struct zone zone;
	int64_t every_ms;
	int64_t anchor_ms;
};

/* ERR_INPUT: nobody can make sense of it ("schedule.cron: minute: …", "schedule.zone: …"). */
bool schedule_rule_read(const struct schedule_text *text, struct schedule_rule *rule, struct error *err) MUST_CHECK;

bool schedule_rule_next(const struct schedule_rule *rule, int64_t after_ms, int64_t *next_ms,
			struct error *err) MUST_CHECK;

/* One whose time has come, at now_ms of Redis. */
struct schedule_state {
	const char *missed; /* "skip", "once", "all" */
	int64_t next_ms;    /* the due time that is next: not after now_ms; 0: to be planned, from from_ms on */
	int64_t from_ms;
	int64_t now_ms;
};

struct schedule_step {
	int64_t due_ms;  /* fire for this due time; 0: for none */
	int64_t next_ms; /* the one to wait for then; it may have passed, too */
};

bool schedule_plan(const struct schedule_rule *rule, const struct schedule_state *state, struct schedule_step *step,
		   struct error *err) MUST_CHECK;

#endif
