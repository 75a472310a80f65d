/*
 * The next time of an expression. cron_match walks the local clock, month by month with
 * a mask of days, and knows of no zone; cron_next lays it over the offsets of the zone,
 * a view of a few days at a time.
 */
#include "lib/cron.h"

#include <time.h>

#define CRON_DAY_S 86400
/* No zone is further from another than 26 hours, so no clock is ever changed by more; and none was
 * changed twice within this (the least in tzdata since 1970 is almost seven days). */
#define CRON_REACH_S (2 * CRON_DAY_S)
#define CRON_CYCLE   (400 * 12) /* months after which dates and days of the week repeat */

/* ---- the local clock ---- */

static int cron_month_days(int64_t year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return days[month - 1] + (month == 2 && is_leap);
}

/* Bit n: day n of a month that has so many days and starts on this day of the week. */
static uint32_t cron_days(const struct cron *cron, int length, int weekday)
{
	uint64_t week = (uint64_t)cron->weekdays | (uint64_t)cron->weekdays << 7; /* bit n: n days after a Sunday */
	week = week >> weekday & 0x7f;                                            /* bit n: n days after the first */
	uint64_t by_weekday = (week | week << 7 | week << 14 | week << 21 | week << 28) << 1;
	uint64_t both = cron->is_either_day ? cron->days | by_weekday : cron->days & by_weekday;
	return (uint32_t)(both & ((2ULL << length) - 2));
}

/* The first matching minute of a day that is not before minute; -1: none. */
static int cron_minute(const struct cron *cron, int minute)
{
	int hour = minute / 60;
	uint64_t minutes = cron->minutes >> minute % 60;
	if (cron->hours >> hour & 1 && minutes)
		return minute + __builtin_ctzll(minutes);
	uint32_t hours = cron->hours >> hour >> 1;
	return hours ? (hour + 1 + __builtin_ctz(hours)) * 60 + __builtin_ctzll(cron->minutes) : -1;
}

int64_t cron_match(const struct cron *cron, int64_t from_s)
{
	int64_t second = (from_s % 60 + 60) % 60;
	time_t start_s = (time_t)(second ? from_s + 60 - second : from_s);
	struct tm tm;
	if (!gmtime_r(&start_s, &tm))
		return CRON_NEVER;

	int64_t year = tm.tm_year + 1900;
	int month = tm.tm_mon + 1;
	int first = tm.tm_mday;
	int weekday = (tm.tm_wday + 36 - first) % 7; /* of the first of the month */
	int64_t month_s = start_s - ((first - 1) * 24 + tm.tm_hour) * 3600 - tm.tm_min * 60;
	int minute = cron_minute(cron, tm.tm_hour * 60 + tm.tm_min);
	if (minute >= 0 && cron->months >> month & 1 &&
	    cron_days(cron, cron_month_days(year, month), weekday) >> first & 1)
		return month_s + (first - 1) * CRON_DAY_S + minute * 60;

	for (int i = 0; i <= CRON_CYCLE; i++) {
		int length = cron_month_days(year, month);
		uint32_t days = cron->months >> month & 1 ? cron_days(cron, length, weekday) >> first >> 1 : 0;
		if (days)
			return month_s + (first + __builtin_ctz(days)) * CRON_DAY_S + cron_minute(cron, 0) * 60;
		month_s += length * CRON_DAY_S;
		weekday = (weekday + length) % 7;
		first = 0;
		year += month == 12;
		month = month % 12 + 1;
	}
	return CRON_NEVER;
}

/* ---- laid over a zone ---- */

struct cron_walk {
	const struct cron *cron;
	int64_t after_s;
	int64_t passed_s; /* the local clock has shown everything before this */
	int64_t offset_s; /* so far */
	int64_t match_s;  /* the local time that was found last */
};

/* Whether it is due right when the offset becomes another: a fixed time lies in the gap that this leaves. */
static bool cron_change(struct cron_walk *walk, int64_t at_s, int64_t offset_s)
{
	int64_t old_s = at_s + walk->offset_s, new_s = at_s + offset_s;

	if (old_s > walk->passed_s)
		walk->passed_s = old_s;
	walk->offset_s = offset_s;
	return walk->cron->is_fixed && at_s > walk->after_s && new_s - old_s < CRON_DAY_S &&
	       cron_match(walk->cron, old_s) < new_s;
}

/* Looks in [from_s, until_s), where the offset stays the same. */
static bool cron_span(struct cron_walk *walk, int64_t from_s, int64_t until_s, int64_t *next_s)
{
	int64_t local_s = (from_s > walk->after_s ? from_s : walk->after_s + 1) + walk->offset_s;

	if (walk->cron->is_fixed && local_s < walk->passed_s)
		local_s = walk->passed_s;
	walk->match_s = cron_match(walk->cron, local_s);
	*next_s = walk->match_s - walk->offset_s;
	return *next_s < until_s;
}

static bool cron_view(struct cron_walk *walk, const struct zone_view *view, int64_t *next_s)
{
	for (size_t i = 0; i < view->count; i++) {
		const struct zone_span *span = &view->spans[i];
		int64_t until_s = i + 1 < view->count ? span[1].from_s : view->until_s;
		if (span->offset_s != walk->offset_s && cron_change(walk, span->from_s, span->offset_s)) {
			*next_s = span->from_s;
			return true;
		}
		if (cron_span(walk, span->from_s, until_s, next_s))
			return true;
	}
	return false;
}

bool cron_next(const struct cron *cron, const struct zone *zone, int64_t after_ms, int64_t *next_ms, struct error *err)
{
	if (after_ms < 0 || after_ms > CRON_TIME_MAX_MS)
		return error_set(err, ERR_INPUT, NULL, "schedule: expected a time from 1970 to 9999, got %lld ms",
				 (long long)after_ms);

	int64_t next_s, from_s = after_ms / 1000 - CRON_REACH_S; /* what the clock has shown up to now counts */
	struct cron_walk walk = { .cron = cron, .after_s = after_ms / 1000, .passed_s = INT64_MIN };
	struct zone_view view;
	for (bool is_first = true;; is_first = false) {
		if (!zone_look(zone, from_s, from_s + 2 * CRON_REACH_S, &view, err))
			return false;
		if (is_first)
			walk.offset_s = view.spans[0].offset_s;
		if (cron_view(&walk, &view, &next_s))
			break;
		if (walk.match_s > CRON_TIME_MAX_MS / 1000)
			return error_set(err, ERR_INPUT, NULL, "schedule: it is not due before the year 10000");
		/* Nothing matches before match_s. What lies well before it is not looked at: a change of the
		 * clock there is seen as one at the start of the next view, where it makes nothing due either. */
		from_s = walk.match_s - walk.offset_s - CRON_REACH_S;
		if (from_s < view.until_s)
			from_s = view.until_s;
	}
	if (next_s > CRON_TIME_MAX_MS / 1000)
		return error_set(err, ERR_INPUT, NULL, "schedule: it is not due before the year 10000");
	*next_ms = next_s * 1000;
	return true;
}

bool cron_every(int64_t anchor_ms, int64_t every_ms, int64_t after_ms, int64_t *next_ms, struct error *err)
{
	if (every_ms <= 0)
		return error_set(err, ERR_INPUT, NULL, "schedule: expected an interval of at least 1 ms, got %lld ms",
				 (long long)every_ms);
	if (after_ms < anchor_ms) {
		*next_ms = anchor_ms;
		return true;
	}
	/* unsigned, where the distance of any two fits */
	uint64_t passed = (uint64_t)after_ms - (uint64_t)anchor_ms;
	int64_t due_ms, left_ms = (int64_t)((uint64_t)every_ms - passed % (uint64_t)every_ms);
	if (__builtin_add_overflow(after_ms, left_ms, &due_ms))
		return error_set(err, ERR_INPUT, NULL, "schedule: every %lld ms passes the end of time",
				 (long long)every_ms);
	*next_ms = due_ms;
	return true;
}
