/*
 * When a recurring job is due: cron expressions, and every N seconds. Nothing here
 * reads a clock or keeps state.
 *
 * An expression has five fields:
 *
 *	minute 0-59   hour 0-23   day-of-month 1-31   month 1-12   day-of-week 0-7
 *
 * A field is a list of parts, divided by commas: a star, a value, or a range "8-18";
 * after a star or a range "/N" takes every Nth of it. 0 and 7 are Sunday; JAN-DEC and
 * SUN-SAT stand for months and days of the week, in any case, in ranges too. A step
 * starts anew in each hour, day, month …: every 7th minute is 0, 7 … 56, and 0 again.
 * A range that ends before it starts (FRI-MON) is refused, with what to write instead;
 * only a week may end on Sunday (FRI-SUN). Macros: @hourly, @daily or @midnight,
 * @weekly, @monthly, @yearly or @annually.
 *
 * As in Vixie cron: when neither day-of-month nor day-of-week begins with a star, a
 * day matches by either; else it must match both, so that a star leaves it to the other.
 * What no date ever matches ("0 0 30 2 *") is refused.
 *
 * Where the local clock is changed:
 *
 * - A fixed time (neither minute nor hour has a star or a step) that is skipped in
 *   spring is due at the first instant after the gap. Several times in one gap, and one
 *   at its end, are due together: once. A gap of a day or more (Pacific/Apia had no 30
 *   December 2011) is a date that does not exist: nothing on it is made up for.
 * - A fixed time that comes twice in autumn is due once: the first time.
 * - Any other expression follows the clock as it is shown: it is due whenever the clock
 *   shows a time that matches. So every 15 minutes stays every 15 minutes through both
 *   changes. Every 15 minutes of the hour 2 alone is not due on a day without that hour,
 *   and comes twice as often on a day with two.
 *
 * It does not matter why the clock is changed (daylight saving, or a country that moves
 * to another offset for good), nor by how much, but for whole days. (Offsets with
 * seconds ended in 1972: a minute whose first second is skipped is a minute skipped.)
 */
#ifndef STOKER_LIB_CRON_H
#define STOKER_LIB_CRON_H

#include <stdbool.h>
#include <stdint.h>
#include "lib/error.h"
#include "lib/zone.h"

#define CRON_TEXT_MAX    256
#define CRON_TIME_MAX_MS 253402300799999 /* the last millisecond of the year 9999 */

struct cron {
	uint64_t minutes;   /* bit n: minute n matches */
	uint32_t hours;     /* bit n: hour n */
	uint32_t days;      /* bit n: day n of the month, from 1 */
	uint32_t months;    /* bit n: month n, from 1 */
	uint32_t weekdays;  /* bit n: n days after Sunday, to 6 */
	bool is_either_day; /* a day matches by days or by weekdays; else it must by both */
	bool is_fixed;      /* due once for each local time: see above */
};

/* "minute: expected 0 to 59, got 61 (character 1)", counted from 1. */
bool cron_parse(const char *text, struct cron *cron, struct error *err);

/* The first time later than after_ms (0 to CRON_TIME_MAX_MS) at which it is due: always a whole second.
 * Costs about the same however far away that is. Fails when zone_look does, or past CRON_TIME_MAX_MS. */
bool cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, int64_t *next_ms, struct error *err);

/* The first of anchor_ms, anchor_ms + every_ms, … that is later than after_ms. ERR_INPUT when every_ms is
 * not positive, or when that time does not fit. */
bool cron_every(int64_t anchor_ms, int64_t every_ms, int64_t after_ms, int64_t *next_ms, struct error *err);

/* For cron_next and the parser: the first minute of the local clock, as seconds from 1970 on it, that is
 * not before from_s and matches. CRON_NEVER when none does. */
#define CRON_NEVER (INT64_MAX / 2)
int64_t cron_match(const struct cron *cron, int64_t from_s);

#endif
