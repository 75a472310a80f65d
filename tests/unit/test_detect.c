/* worker/detect: what is a run gone bad, and what only looks like it. Series are made as trainings make them, with a
 * noise that is the same on every machine. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "lib/cleanup.h"
#include "worker/detect.h"

enum { LENGTH = 6000 };

static const struct detect_rules usual = { .nonfinite = 3, .spike = 10, .window = 100, .reports = 20 };

static inline void cleanup_detect(struct detect *d)
{
	detect_done(d);
}

/* ---- noise ---- */

static double uniform(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (double)(*seed >> 11) / 9007199254740992.0;
}

static double normal(uint64_t *seed)
{
	double radius = sqrt(-2 * log(1 - uniform(seed)));
	return radius * cos(6.283185307179586 * uniform(seed));
}

/* ---- healthy series ---- */

static double decay(int i, uint64_t *seed)
{
	return 3 + 7.8 * exp(-i / 400.) + 0.05 * normal(seed);
}

/* The rate rises for 200 steps, and the loss first goes up with it. */
static double warmup(int i, uint64_t *seed)
{
	double bump = i > 20 && i < 90 ? 4 * sin(3.14159 * (i - 20) / 70.) : 0;
	return 4.17 * exp(-fmax(i - 200, 0) / 900.) + bump + 0.02 * normal(seed);
}

static double rate_drops(int i, uint64_t *seed)
{
	double level = i < 2000 ? 1.1 : i < 4000 ? 0.4 : 0.15;
	return level * (1 + 0.1 * normal(seed)) + 2 * exp(-i / 150.);
}

static double small_batches(int i, uint64_t *seed)
{
	return (0.3 + 2 * exp(-i / 500.)) * exp(normal(seed));
}

static double heavy_tails(int i, uint64_t *seed)
{
	double value = 0.7 + exp(-i / 300.) + 0.1 * normal(seed);
	return uniform(seed) < 0.05 ? value * 30 : value;
}

static double plateau(int i, uint64_t *seed)
{
	return round((0.6931 + 0.00005 * normal(seed) + (i > 3000 ? 0.0004 : 0)) * 10000) / 10000;
}

static double constant(int i, uint64_t *seed)
{
	(void)seed;
	return i % 997 == 500 ? 0.2 : 0.1;
}

static double zero(int i, uint64_t *seed)
{
	(void)seed;
	return i > 1000 ? 0 : 1 - i / 1000.;
}

static double converged(int i, uint64_t *seed)
{
	return (2 * exp(-i / 200.) + 1e-6) * exp(0.8 * normal(seed)); /* from 2 to a millionth */
}

static double overfitted(int i, uint64_t *seed)
{
	return i < 3000 ? converged(i, seed) : 0.05 * exp(0.5 * normal(seed)); /* and new data after that */
}

static double warm_restarts(int i, uint64_t *seed)
{
	double phase = (i % 1500) / 1500., first = i < 1500 ? 2.3 : 0.5;
	return 0.02 + first * exp(-7 * phase) * (1 + 0.05 * normal(seed)) + 0.002 * fabs(normal(seed));
}

static double sorted_data(int i, uint64_t *seed)
{
	return (i / 300 % 2 ? 1.1 : 0.8) + 0.03 * normal(seed);
}

static double of_a_policy(int i, uint64_t *seed)
{
	return normal(seed) + 0.5 * sin(i / 200.);
}

static double rising(int i, uint64_t *seed)
{
	return 0.4 + 0.3 * i / LENGTH + 0.01 * normal(seed);
}

static double bumps(int i, uint64_t *seed)
{
	double value = 2 + 0.1 * normal(seed);
	return i > 500 && i % 400 < 19 ? value * 6 : value; /* that pass by themselves */
}

static double lone_nans(int i, uint64_t *seed)
{
	return i % 50 < 2 ? (i % 100 < 50 ? NAN : INFINITY)
			  : 2 + 0.1 * normal(seed); /* skipped steps of mixed precision */
}

typedef double series_fn(int i, uint64_t *seed);

static const struct healthy_row {
	const char *name;
	series_fn *fn;
} healthy[] = {
	{ "decay", decay },
	{ "warmup", warmup },
	{ "rate drops", rate_drops },
	{ "small batches", small_batches },
	{ "heavy tails", heavy_tails },
	{ "plateau", plateau },
	{ "constant", constant },
	{ "zero", zero },
	{ "converged", converged },
	{ "overfitted, then new data", overfitted },
	{ "warm restarts", warm_restarts },
	{ "sorted data", sorted_data },
	{ "of a policy", of_a_policy },
	{ "rising", rising },
	{ "bumps", bumps },
	{ "lone NaNs", lone_nans },
};

static void test_no_false_alarm(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(healthy); k++) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			uint64_t noise = seed;
			CLEANUP(detect) struct detect d;
			detect_init(&d, &usual);
			for (int i = 0; i < LENGTH; i++)
				if (detect_note(&d, i, healthy[k].fn(i, &noise)) > DETECT_DOUBT)
					fail_msg("%s, seed %d, step %d", healthy[k].name, (int)seed, i);
		}
	}
}

/* ---- sick ones ---- */

/* Feeds a healthy series, then what `bad` says; answers how many reports of the bad ones it took. */
static int falls_ill(struct detect *d, series_fn *fn, int from, series_fn *bad)
{
	uint64_t noise = 5;
	for (int i = 0; i < from; i++)
		assert_true(detect_note(d, i, fn(i, &noise)) <= DETECT_DOUBT);
	for (int i = from; i < from + 500; i++)
		if (detect_note(d, i, bad(i - from, &noise)) > DETECT_DOUBT)
			return i - from + 1;
	return -1;
}

static double to_nan(int i, uint64_t *seed)
{
	(void)i;
	(void)seed;
	return NAN;
}

static double explodes(int i, uint64_t *seed)
{
	(void)seed;
	return i < 5 ? 10 * pow(10, i) : i % 2 ? INFINITY : NAN;
}

static double diverges(int i, uint64_t *seed)
{
	return 7 + 0.5 * normal(seed) + 0 * i;
}

static double creeps(int i, uint64_t *seed)
{
	return 3 + fmin(i, 40) * 0.2 + 0.02 * normal(seed);
}

static double overflows_now_and_then(int i, uint64_t *seed)
{
	(void)seed;
	return i % 3 ? 1e30 : INFINITY;
}

static void assert_found(series_fn *fn, series_fn *bad, enum detect_verdict verdict, int onset_least, int onset_most,
			 int reports)
{
	CLEANUP(detect) struct detect d;
	char text[400];
	detect_init(&d, &usual);
	int took = falls_ill(&d, fn, 3000, bad);
	detect_explain(&d, "loss", text, sizeof text);
	if (d.verdict != verdict || took > reports || detect_onset(&d) < 3000 + onset_least ||
	    detect_onset(&d) > 3000 + onset_most || detect_last_good(&d) != detect_onset(&d) - 1)
		fail_msg("verdict %d after %d, onset %d: %s", (int)d.verdict, took, (int)detect_onset(&d), text);
}

static void test_what_is_found(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(healthy); k++)
		if (healthy[k].fn != lone_nans && healthy[k].fn != heavy_tails)
			assert_found(healthy[k].fn, to_nan, DETECT_NONFINITE, -2, 0, 3);
	assert_found(decay, explodes, DETECT_NONFINITE, 0, 0, 8);
	assert_found(decay, diverges, DETECT_SPIKE, 0, 0, 20);
	assert_found(rate_drops, diverges, DETECT_SPIKE, 0, 0, 20);
	assert_found(small_batches, diverges, DETECT_SPIKE, -4, 0, 20);
	assert_found(converged, diverges, DETECT_SPIKE, 0, 0, 20);
	assert_found(decay, overflows_now_and_then, DETECT_SPIKE, 0, 0, 30);
	assert_found(decay, creeps, DETECT_SPIKE, 1, 12, 45); /* not where it crossed the limit, but where it began */
}

static void test_a_fall_of_what_should_be_high(void **state)
{
	(void)state;
	struct detect_rules rules = usual;
	rules.is_high_good = true;
	CLEANUP(detect) struct detect d;
	char text[400];
	uint64_t noise = 1;
	detect_init(&d, &rules);
	for (int i = 0; i < 1000; i++) /* as it rises from 0.1 to 0.9 */
		assert_int_equal(detect_note(&d, i, 0.9 - 0.8 * exp(-i / 100.) + 0.01 * normal(&noise)), DETECT_GOOD);
	for (int i = 1000; i < 1019; i++)
		assert_int_equal(detect_note(&d, i, 0.1), DETECT_DOUBT);
	assert_int_equal(detect_note(&d, 1019, 0.1), DETECT_SPIKE);
	assert_int_equal(detect_onset(&d), 1000);
	detect_explain(&d, "accuracy", text, sizeof text);
	assert_non_null(strstr(text, "accuracy was below 0.4"));
	assert_non_null(strstr(text, "down to 0.1"));
}

/* ---- the edges ---- */

static void test_the_doubt_ends(void **state)
{
	(void)state;
	CLEANUP(detect) struct detect d;
	detect_init(&d, &usual);
	assert_int_equal(detect_note(&d, 1, 1.0), DETECT_GOOD);
	assert_int_equal(detect_note(&d, 2, NAN), DETECT_DOUBT);
	assert_int_equal(detect_note(&d, 3, INFINITY), DETECT_DOUBT);
	assert_int_equal(detect_note(&d, 4, 1.0), DETECT_GOOD);
	assert_int_equal(detect_note(&d, 5, NAN), DETECT_DOUBT);
	assert_int_equal(detect_note(&d, 6, NAN), DETECT_DOUBT);
	assert_int_equal(detect_note(&d, 7, -INFINITY), DETECT_NONFINITE);
	assert_int_equal(detect_onset(&d), 5);
	assert_int_equal(detect_last_good(&d), 4);
}

static void test_without_a_good_report(void **state)
{
	(void)state;
	struct detect_rules rules = usual;
	rules.resumed_at = 700;
	CLEANUP(detect) struct detect d;
	detect_init(&d, &rules);
	for (int i = 1; i <= 3; i++)
		detect_note(&d, 700 + i, NAN);
	assert_int_equal(d.verdict, DETECT_NONFINITE);
	assert_int_equal(detect_onset(&d), 701);
	assert_int_equal(detect_last_good(&d), 700); /* so what it resumed from is not proved either */
}

/* A loss far above that of the training, a hundred reports in a row: of an evaluation. */
static void test_an_evaluation_is_no_spike(void **state)
{
	(void)state;
	for (int kind = 0; kind < 3; kind++) { /* at the step of the training, without steps, with steps of its own */
		CLEANUP(detect) struct detect d;
		uint64_t noise = 4;
		detect_init(&d, &usual);
		for (int i = 0; i < 4000; i++) {
			assert_true(detect_note(&d, i, converged(i, &noise)) <= DETECT_DOUBT);
			for (int k = 0; i % 500 == 499 && k < 100; k++)
				assert_true(detect_note(&d, kind == 0 ? i : kind == 1 ? -1 : k, 1.5) <= DETECT_DOUBT);
		}
		assert_int_equal(detect_note(&d, 4000, 1e-6), DETECT_GOOD); /* nothing is held back afterwards */
		assert_int_equal(d.has_steps, kind == 0);
	}
}

static void test_steps_that_say_nothing(void **state)
{
	static const int64_t unknown[] = { -1, -1, -1, -1 }, fall[] = { 90, 95, 1, 2 }, same[] = { 7, 7, 7, 7 };
	static const int64_t *const steps[] = { unknown, fall, same };
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
		CLEANUP(detect) struct detect d;
		char text[400];
		detect_init(&d, &usual);
		detect_note(&d, steps[k][0], 1);
		for (int i = 1; i <= 3; i++)
			detect_note(&d, steps[k][i], NAN);
		assert_int_equal(d.verdict, DETECT_NONFINITE);
		assert_int_equal(detect_onset(&d), steps[k] == same ? 7 : -1);
		assert_int_equal(detect_last_good(&d), steps[k] == same ? 7 : -1);
		detect_explain(&d, "loss", text, sizeof text);
		assert_int_equal(strstr(text, "since") != NULL, steps[k] == same);
	}
}

static void test_what_is_switched_off(void **state)
{
	(void)state;
	struct detect_rules rules = usual;
	rules.nonfinite = 0;
	CLEANUP(detect) struct detect any;
	detect_init(&any, &rules);
	assert_int_equal(falls_ill(&any, decay, 3000, to_nan), -1);
	assert_int_equal(any.verdict, DETECT_GOOD); /* nor is it in doubt */
	rules = usual;
	rules.spike = 0;
	CLEANUP(detect) struct detect high;
	detect_init(&high, &rules);
	assert_int_equal(falls_ill(&high, decay, 3000, diverges), -1);
	assert_int_equal(high.verdict, DETECT_GOOD);
}

/* The limit is what a plain reading of its definition gives, at every report. */
static void test_the_window_against_a_plain_one(void **state)
{
	(void)state;
	struct detect_rules rules = usual;
	rules.window = 17;
	rules.reports = 1000000;
	CLEANUP(detect) struct detect d;
	detect_init(&d, &rules);
	uint64_t noise = 3;
	for (int i = 0; i < 3000; i++) {
		double value = floor(20 * uniform(&noise)) - (i % 7 == 0 ? 30 : 0); /* with many equal ones */
		detect_note(&d, i, value);
		for (size_t k = 1; k < d.count; k++)
			assert_true(d.sorted[k - 1] <= d.sorted[k]);
		if (!d.has_limit)
			continue;
		assert_int_equal(d.count, 17);
		double away[17];
		for (size_t k = 0; k < 17; k++) {
			double one = fabs(d.recent[k].value - d.median);
			size_t at = k;
			for (; at > 0 && away[at - 1] > one; at--)
				away[at] = away[at - 1];
			away[at] = one;
		}
		double rise = fmax(fmax(14.826 * away[8], fabs(d.median) / 2), (d.worst_median - d.median) / 3);
		assert_true(fabs(d.limit - d.median - rise) < 1e-9);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_false_alarm),
		cmocka_unit_test(test_what_is_found),
		cmocka_unit_test(test_a_fall_of_what_should_be_high),
		cmocka_unit_test(test_the_doubt_ends),
		cmocka_unit_test(test_without_a_good_report),
		cmocka_unit_test(test_an_evaluation_is_no_spike),
		cmocka_unit_test(test_steps_that_say_nothing),
		cmocka_unit_test(test_what_is_switched_off),
		cmocka_unit_test(test_the_window_against_a_plain_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
