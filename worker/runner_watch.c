/* Whether the run has gone bad: the watched metric goes through the detector; a run that is bad is flagged in Redis at
 * once, so that nobody resumes from what it saved even if this runner dies now, and stopped. */
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include "lib/buf.h"
#include "worker/runner_internal.h"

enum watch_good { WATCH_UNKNOWN, WATCH_LOW, WATCH_HIGH };

/* Which way the watched metric is good: as a rule on the best checkpoint says, else by its name. */
static enum watch_good watch_good_of(const struct spec *spec)
{
	static const char *const low[] = { "loss", "error", "perplexity", "ppl", "nll" };
	const struct spec_best *rules[] = { &spec->recovery.best, &spec->checkpoint.keep_best };
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i]->metric && strcasecmp(rules[i]->metric, spec->metrics.watch) == 0)
			return rules[i]->mode == MODE_MAX ? WATCH_HIGH : WATCH_LOW;
	for (size_t i = 0; i < ARRAY_LEN(low); i++)
		if (strcasestr(spec->metrics.watch, low[i]))
			return WATCH_LOW;
	return WATCH_UNKNOWN;
}

/* A spike may be in the nature of the run: where there is no recovery, or none is left, it is let pass. */
static double watch_spike(struct runner *r, enum watch_good good)
{
	double spike = r->spec.recovery.spike;
	if (spike <= 0 || good == WATCH_UNKNOWN || !r->spec.recovery.enabled)
		return 0;
	if (r->record->corrupted < r->spec.recovery.max_attempts)
		return spike;
	runner_say(r, "spikes of %s are let pass: recovery.max_attempts is used up (%" PRId64 " of %" PRId64 ")",
		   r->spec.metrics.watch, r->record->corrupted, r->spec.recovery.max_attempts);
	return 0;
}

void runner_watch(struct runner *r)
{
	enum watch_good good = watch_good_of(&r->spec);
	struct detect_rules rules = { .nonfinite = r->spec.recovery.nonfinite,
				      .spike = watch_spike(r, good),
				      .window = r->spec.recovery.spike_window,
				      .reports = r->spec.recovery.spike_reports,
				      .is_high_good = good == WATCH_HIGH,
				      .resumed_at = r->resume_step };
	detect_init(&r->detect, &rules);
}

static const char *watch_step(int64_t step, char *text, size_t size)
{
	text[0] = '\0';
	if (step >= 0)
		str_format(text, size, "%" PRId64, step);
	return text;
}

static void watch_flagged(void *arg, const char *state, size_t len, const struct error *err)
{
	(void)arg;
	(void)state;
	(void)len;
	if (err) /* the final report says it again */
		log_failure(LOG_DEBUG, "redis was not told at once that a run is corrupted", err);
}

void runner_flag(struct runner *r, const char *why, int64_t onset, int64_t good)
{
	char onset_text[32], good_text[32];
	if (r->said_corrupted || r->state >= RUN_SHIPPING)
		return;
	r->said_corrupted = true;
	r->onset = onset;
	r->good = good;
	runner_ask_stop(r, STOP_CORRUPTED, why);
	if (!r->why[0])
		str_format(r->why, sizeof r->why, "%s",
			   why); /* it has ended meanwhile; its end is judged by this all the same */
	struct jobs_flag flag = { .n = r->record->ref.n,
				  .attempt = r->record->attempt,
				  .reason = r->why,
				  .onset = watch_step(onset, onset_text, sizeof onset_text),
				  .good = watch_step(good, good_text, sizeof good_text),
				  .token = r->record->ref.token };
	if (r->is_connected)
		jobs_corrupt(r->jobs, r->record->ref.queue, &flag, watch_flagged, r);
}

void runner_watch_point(struct runner *r, const struct metric_point *point)
{
	const struct metric_value *watched = NULL;
	char why[OUTCOME_ERROR_MAX];
	for (size_t i = 0; i < point->count; i++) {
		marks_note(&r->marks, point->values[i].name, point->values[i].value);
		if (strcasecmp(point->values[i].name, r->spec.metrics.watch) == 0)
			watched = &point->values[i];
	}
	if (!watched || r->said_corrupted)
		return;
	switch (detect_note(&r->detect, point->step >= 0 ? point->step : r->step, watched->value)) {
	case DETECT_GOOD:
		runner_release_commit(r);
		break;
	case DETECT_DOUBT:
		break;
	case DETECT_NONFINITE:
	case DETECT_SPIKE:
		detect_explain(&r->detect, watched->name, why, sizeof why);
		runner_flag(r, why, detect_onset(&r->detect), detect_last_good(&r->detect));
		break;
	}
}
