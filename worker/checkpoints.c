#include "worker/checkpoints.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/beneath.h"
#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/store.h"
#include "lib/helper.h"
#include "worker/removals.h"
#include "worker/sent.h"
#include "worker/ship.h"
#include "worker/units.h"
#include "worker/watch.h"

#define BACKOFF_MS       500
#define BACKOFF_MAX_MS   60000
#define END_TRIES        3               /* for what still moves after the program has ended */
#define FLUSH_GIVE_UP_MS (5 * 60 * 1000) /* for a store that does not answer */

enum checkpoints_phase {
	PHASE_FREE,       /* the next thing may start */
	PHASE_SHIPPING,   /* the helper packs a unit */
	PHASE_COMMITTING, /* the runner was told and has to answer */
	PHASE_REMOVING,   /* the helper removes objects */
};

struct checkpoints {
	struct checkpoints_options options; /* its texts are not used: they are copied below */
	char *run_dir;
	struct ship_place place;
	char *dirs[WATCH_ROOTS]; /* by enum unit_root; with links resolved */
	struct units *units;
	struct watch *watch;
	struct event *timer;

	enum checkpoints_phase phase;
	struct helper *helper;
	struct unit *unit; /* shipping, committing */
	int64_t unit_changes;
	char id[48];
	int64_t seq; /* of the last try: a path in the store is never used twice */
	bool must_sweep;

	struct removals removals;

	int64_t step; /* newest reported, -1: none */
	struct marks marks;
	bool is_ended, ended_cleanly;
	int64_t ended_ms;
	bool is_flushing, is_idle_told;
	int64_t give_up_ms;
};

/* Everything is started from the timer, so that no callback runs inside a call of the runner. */
static void checkpoints_wake(struct checkpoints *c, int64_t in_ms)
{
	struct timeval in = clock_timeval(in_ms);
	event_add(c->timer, &in);
}

static int64_t checkpoints_backoff(int64_t *backoff_ms)
{
	*backoff_ms = *backoff_ms ? *backoff_ms * 2 : BACKOFF_MS;
	if (*backoff_ms > BACKOFF_MAX_MS)
		*backoff_ms = BACKOFF_MAX_MS;
	return clock_boot_ms() + *backoff_ms;
}

static void checkpoints_problem(struct checkpoints *c, const char *what, const struct error *err)
{
	c->options.on_problem(c->options.arg, what, err);
}

/* ---- removing objects ---- */

static bool removal_run(void *arg, struct buf *text, struct error *err)
{
	(void)text;
	return ship_remove_run(arg, err);
}

/* The one at work is always the front of the list. */
static void removal_finished(void *arg, const char *text, const struct error *err)
{
	struct checkpoints *c = arg;
	helper_free(STEAL(c->helper));
	c->phase = PHASE_FREE;
	checkpoints_wake(c, 0);
	struct removal *removal = &c->removals.items[0];
	if (!text && !removal->backoff_ms)
		checkpoints_problem(c, "cannot delete a checkpoint from the store", err);
	if (!text && !c->is_flushing) { /* when flushing: Redis remembers it, and asks the next attempt */
		removal->retry_ms = checkpoints_backoff(&removal->backoff_ms);
		return;
	}
	CLEANUP(free_p) char *id = mem_strdup(removal->id);
	bool is_told = text && removal->is_told;
	removals_pop(&c->removals);
	if (is_told)
		c->options.on_deleted(c->options.arg, id);
}

static void removal_start(struct checkpoints *c, const struct removal *removal)
{
	struct ship_remove remove = { .place = &c->place, .id = removal->id, .summary = removal->summary };
	struct helper_options options = {
		.name = "stoker-remove",
		.is_low = true,
		.run = removal_run,
		.run_arg = &remove,
		.done = removal_finished,
		.done_arg = c,
	};
	struct error err;
	c->phase = PHASE_REMOVING;
	c->helper = helper_start(c->options.base, &options, &err);
	if (!c->helper)
		removal_finished(c, NULL, &err);
}

/* ---- shipping ---- */

/* A program that was killed may have been writing until then: what closes its files is its death. Only what was
 * settled before counts. */
static enum ship_trust checkpoints_trust(const struct checkpoints *c, const struct unit *unit, int64_t *quiet_ms)
{
	int64_t until_ms = c->is_ended ? c->ended_ms : clock_boot_ms();
	bool is_clean = c->is_ended && c->ended_cleanly, is_early = units_settles_ms(c->units, unit) > until_ms;
	*quiet_ms = until_ms - unit->changed_ms;
	if (unit->is_announced)
		return SHIP_ANNOUNCED;
	if (is_early && !is_clean && units_lacks(c->units, unit))
		return SHIP_FEWER;
	if (!unit->was_written || is_clean)
		return SHIP_SETTLED;
	if (is_early)
		return SHIP_SUSPECT;
	return units_is_outlived(c->units, unit) ? SHIP_SETTLED : SHIP_QUIET;
}

/* Whether there is any use in trying again what failed like this. */
static bool ship_can_retry(const struct checkpoints *c, const struct unit *unit, enum error_kind kind)
{
	if (kind == ERR_INPUT || kind == ERR_NOT_FOUND)
		return false;
	if (!c->is_ended)
		return true;
	if (kind == ERR_DAMAGED)
		return false;
	return kind != ERR_CONFLICT || unit->backoff_ms < (BACKOFF_MS << (END_TRIES - 1));
}

static void ship_failed(struct checkpoints *c, struct unit *unit, const struct error *err)
{
	char what[256];
	unit_describe(unit, what, sizeof what);
	bool is_news = unit->told != c->unit_changes && err->kind != ERR_NOT_FOUND;
	if (err->kind == ERR_SYSTEM || err->kind == ERR_INTERNAL) { /* the helper died: nobody knows how far it came */
		c->must_sweep = true;
		removals_push(&c->removals, c->id, NULL, false);
	}
	if (!ship_can_retry(c, unit, err->kind))
		unit_settle(unit, c->unit_changes);
	else if (unit->changes == c->unit_changes)
		unit->retry_ms = checkpoints_backoff(&unit->backoff_ms);
	/* In motion is no news while the program lives: it is what a save looks like. */
	if (is_news && (err->kind != ERR_CONFLICT || c->is_ended)) {
		unit->told = c->unit_changes;
		checkpoints_problem(c, what, err);
	}
}

/* What was read was the same before and after, and nobody had it open for writing. But it may have been opened before
 * and closed by its writer's death just before we looked; then the closing is among the events by now. */
static bool ship_still_stands(struct checkpoints *c, struct error *err)
{
	watch_drain(c->watch);
	if (c->unit->changes == c->unit_changes)
		return true;
	removals_push(&c->removals, c->id, NULL, false);
	(void)sent_forget(c->run_dir);
	return error_set(err, ERR_CONFLICT, "it is taken again when it is quiet", "it changed while it was shipped");
}

static void ship_done(void *arg, const char *text, const struct error *err)
{
	struct checkpoints *c = arg;
	struct error changed;
	helper_free(STEAL(c->helper));
	if (text && ship_still_stands(c, &changed)) {
		c->phase = PHASE_COMMITTING;
		c->options.on_shipped(c->options.arg, c->id, text);
		return;
	}
	struct unit *unit = STEAL(c->unit);
	unit->is_busy = false;
	c->phase = PHASE_FREE;
	ship_failed(c, unit, text ? &changed : err);
	checkpoints_wake(c, 0);
}

static bool ship_helper(void *arg, struct buf *text, struct error *err)
{
	return ship_run(arg, text, err);
}

static void ship_start(struct checkpoints *c, struct unit *unit)
{
	c->unit = unit;
	c->unit_changes = unit->changes;
	unit->is_busy = true;
	str_format(c->id, sizeof c->id, "%" PRId64 "-%" PRId64, c->place.attempt, ++c->seq);
	struct ship_request request = { .place = &c->place,
					.unit = unit,
					.root = c->dirs[unit->root],
					.run_dir = c->run_dir,
					.seq = c->seq,
					.seen = c->step,
					.cache = c->options.cache,
					.sweep = c->must_sweep };
	request.trust = checkpoints_trust(c, unit, &request.quiet_ms);
	struct helper_options options = {
		.name = "stoker-ship",
		.is_low = !c->is_ended,
		.run = ship_helper,
		.run_arg = &request,
		.done = ship_done,
		.done_arg = c,
	};
	struct error err;
	c->phase = PHASE_SHIPPING;
	c->must_sweep = false;
	c->helper = helper_start(c->options.base, &options, &err);
	if (!c->helper)
		ship_done(c, NULL, &err);
}

/* The files are still in the run's folders then, for whoever looks. */
static void checkpoints_give_up(struct checkpoints *c)
{
	char what[256];
	int64_t ignored;
	struct error err;
	const struct unit *unit = units_next(c->units, INT64_MAX, true, &ignored);
	if (!unit)
		return;
	unit_describe(unit, what, sizeof what);
	error_set(&err, ERR_UNAVAILABLE, NULL, "given up: the store did not take it in the time after the run's end");
	checkpoints_problem(c, what, &err);
}

static void checkpoints_tick(evutil_socket_t fd, short what, void *arg)
{
	struct checkpoints *c = arg;
	(void)fd;
	(void)what;
	watch_drain(c->watch);
	if (c->phase != PHASE_FREE)
		return; /* its end wakes us */
	int64_t now_ms = clock_boot_ms(), removal_ms, unit_ms = -1;
	const struct removal *removal = removals_next(&c->removals, now_ms, &removal_ms);
	if (removal) {
		removal_start(c, removal);
		return;
	}
	bool has_given_up = c->is_flushing && now_ms >= c->give_up_ms;
	if (has_given_up && !c->is_idle_told)
		checkpoints_give_up(c);
	struct unit *unit = has_given_up ? NULL : units_next(c->units, now_ms, c->is_ended, &unit_ms);
	if (unit) {
		ship_start(c, unit);
		return;
	}
	int64_t due_ms = removal_ms < 0 || (unit_ms >= 0 && unit_ms < removal_ms) ? unit_ms : removal_ms;
	if (due_ms >= 0) {
		checkpoints_wake(c, due_ms - now_ms);
	} else if (c->is_flushing && !c->is_idle_told) {
		c->is_idle_told = true;
		c->options.on_idle(c->options.arg);
	}
}

/* ---- what the watch tells ---- */

static bool checkpoints_wants(void *arg, int root, const char *path)
{
	const struct checkpoints *c = arg;
	return units_wants_folder(c->units, (enum unit_root)root, path);
}

static void checkpoints_changed(void *arg, int root, const char *path, bool is_folder, enum watch_change change)
{
	static const enum unit_change changes[] = {
		[WATCH_FOUND] = UNIT_FOUND,
		[WATCH_WRITTEN] = UNIT_WRITTEN,
		[WATCH_RENAMED] = UNIT_RENAMED,
		[WATCH_GONE] = UNIT_GONE,
	};
	struct checkpoints *c = arg;
	struct unit_event event = {
		.root = (enum unit_root)root,
		.path = path,
		.is_folder = is_folder,
		.change = changes[change],
		.now_ms = clock_boot_ms(),
		.step = c->step,
		.marks = c->marks,
	};
	units_event(c->units, &event);
}

static void checkpoints_settled(void *arg)
{
	checkpoints_wake(arg, 0);
}

/* ---- making and freeing ---- */

static bool checkpoints_open(struct checkpoints *c, struct error *err)
{
	const struct checkpoints_options *o = &c->options;
	if (!store_check_url(c->place.store, err) || !units_check_patterns(&o->spec->checkpoint.paths, err))
		return false;
	c->dirs[UNIT_IN_CHECKPOINTS] = realpath(o->checkpoint_dir, NULL);
	c->dirs[UNIT_IN_WORK] = realpath(o->work_dir, NULL);
	if (!c->dirs[UNIT_IN_CHECKPOINTS] || !c->dirs[UNIT_IN_WORK])
		return error_errno(err, ERR_SYSTEM, NULL, "cannot find %s or %s", o->checkpoint_dir, o->work_dir);
	bool has_patterns = o->spec->checkpoint.paths.count > 0;
	struct watch_options watch = {
		.base = o->base,
		.roots = { c->dirs[UNIT_IN_CHECKPOINTS], has_patterns ? c->dirs[UNIT_IN_WORK] : NULL },
		.wants = checkpoints_wants,
		.changed = checkpoints_changed,
		.settled = checkpoints_settled,
		.arg = c,
	};
	c->watch = watch_new(&watch, err);
	return c->watch != NULL;
}

struct checkpoints *checkpoints_new(const struct checkpoints_options *options, struct error *err)
{
	struct checkpoints *c = mem_alloc(sizeof *c);
	c->options = *options;
	c->place = (struct ship_place){
		.store = mem_strdup(options->store),
		.installation = mem_strdup(options->installation),
		.job = mem_strdup(options->job),
		.uid = mem_strdup(options->uid),
		.token = mem_strdup(options->token),
		.attempt = options->attempt,
	};
	c->run_dir = mem_strdup(options->run_dir);
	c->step = -1;
	c->marks = marks_of_spec(options->spec);
	c->must_sweep = true;
	c->units = units_new(&options->spec->checkpoint.paths);
	c->timer = event_new(options->base, -1, 0, checkpoints_tick, c);
	if (checkpoints_open(c, err))
		return c;
	checkpoints_free(c);
	return NULL;
}

void checkpoints_free(struct checkpoints *c)
{
	if (!c)
		return;
	helper_free(c->helper);
	watch_free(c->watch);
	units_free(c->units);
	if (c->timer)
		event_free(c->timer);
	removals_done(&c->removals);
	char *texts[] = { c->place.store, c->place.installation,
			  c->place.job,   c->place.uid,
			  c->place.token, c->dirs[0],
			  c->dirs[1],     c->run_dir };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	free(c);
}

/* ---- what the runner tells ---- */

void checkpoints_announce(struct checkpoints *c, const char *path, int64_t step, int optimizer, const char *sha256)
{
	struct error err;
	CLEANUP(free_p)
	char *joined = path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", c->dirs[UNIT_IN_WORK], path);
	CLEANUP(free_p) char *real = realpath(joined, NULL);
	if (!real) {
		error_errno(&err, ERR_NOT_FOUND, NULL, "the program announced a checkpoint that cannot be found: %s",
			    path);
		checkpoints_problem(c, path, &err);
		return;
	}
	enum unit_root root = UNIT_IN_CHECKPOINTS;
	const char *below = beneath_below(c->dirs[root], real);
	if (!below) {
		root = UNIT_IN_WORK;
		below = beneath_below(c->dirs[root], real);
	}
	struct stat st;
	if (!below || stat(real, &st) < 0) {
		error_set(&err, ERR_INPUT, "write it to STOKER_CHECKPOINT_DIR, or below the working folder",
			  "the program announced a checkpoint outside of its folders: %s", path);
		checkpoints_problem(c, path, &err);
		return;
	}
	watch_drain(c->watch); /* what happened to it before the announcement is part of what was announced */
	struct unit_event event = {
		.root = root,
		.path = below,
		.is_folder = S_ISDIR(st.st_mode),
		.change = UNIT_RENAMED,
		.now_ms = clock_boot_ms(),
		.step = c->step,
		.marks = c->marks,
	};
	struct unit *unit = units_announce(c->units, &event);
	unit->said_step = step;
	unit->said_optimizer = optimizer;
	unit->sha256 = mem_strdup(sha256);
	checkpoints_wake(c, 0);
}

void checkpoints_step(struct checkpoints *c, int64_t step, const struct marks *marks)
{
	if (c->is_ended)
		return; /* printed before the end, nobody knows how long before */
	c->step = step;
	if (marks)
		c->marks = *marks;
	watch_drain(c->watch); /* what was written until now came before this step */
	units_step(c->units, clock_boot_ms());
	if (c->phase == PHASE_FREE && units_any_pending(c->units))
		checkpoints_wake(c, 0);
}

void checkpoints_ended(struct checkpoints *c, bool cleanly)
{
	if (c->is_ended)
		return;
	watch_drain(c->watch);
	c->is_ended = true;
	c->ended_cleanly = cleanly;
	c->ended_ms = clock_boot_ms();
	checkpoints_wake(c, 0);
}

void checkpoints_flush(struct checkpoints *c)
{
	checkpoints_ended(c, false);
	c->is_flushing = true;
	c->give_up_ms = clock_boot_ms() + (c->options.give_up_ms ? c->options.give_up_ms : FLUSH_GIVE_UP_MS);
	checkpoints_wake(c, 0);
}

static struct unit *checkpoints_answered(struct checkpoints *c, const char *id)
{
	if (c->phase != PHASE_COMMITTING || strcmp(c->id, id) != 0)
		return NULL;
	struct unit *unit = STEAL(c->unit);
	unit->is_busy = false;
	c->phase = PHASE_FREE;
	checkpoints_wake(c, 0);
	return unit;
}

void checkpoints_committed(struct checkpoints *c, const char *id)
{
	struct unit *unit = checkpoints_answered(c, id);
	if (unit)
		units_committed(c->units, unit, c->unit_changes);
}

void checkpoints_refused(struct checkpoints *c, const char *id, bool again)
{
	struct unit *unit = checkpoints_answered(c, id);
	if (!unit)
		return;
	removals_push(&c->removals, id, NULL, false);
	/* What was sent before may be gone; if there was nothing, there is no use in trying again. */
	if (!sent_forget(c->run_dir) || !again)
		unit_settle(unit, c->unit_changes);
}

void checkpoints_delete(struct checkpoints *c, const char *id, const char *summary_json_or_null)
{
	/* Redis names it with every commit until it is dropped: the list keeps it once. */
	removals_push(&c->removals, id, summary_json_or_null, true);
	checkpoints_wake(c, 0);
}
