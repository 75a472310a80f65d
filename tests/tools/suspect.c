/*
 * What the detector says of a series, for tests of real trainings: tests/trainer/.
 *
 *   suspect <series
 *
 * A line of it is `STEP VALUE`. The answer is `VERDICT ONSET REPORTS`: ok, nonfinite or spike by the rules that a spec
 * has by default, the step where that began (-1: none), and how many reports were read by then.
 */
#include <inttypes.h>
#include <stdio.h>

#include "queue/spec.h"
#include "worker/detect.h"

int main(void)
{
	static const char *const words[] = { "ok", "ok", "nonfinite", "spike" };
	static const char job[] = "{\"command\":\"a\"}";
	CLEANUP(spec) struct spec spec = { 0 };
	struct error err;
	struct detect d;
	int64_t step, reports = 0;
	double value;
	if (!spec_from_json(job, sizeof job - 1, &spec, &err))
		return 2;
	detect_init(&d, &(struct detect_rules){ .nonfinite = spec.recovery.nonfinite,
						.spike = spec.recovery.spike,
						.window = spec.recovery.spike_window,
						.reports = spec.recovery.spike_reports });
	while (d.verdict <= DETECT_DOUBT && scanf("%" SCNd64 " %lf", &step, &value) == 2) {
		reports++;
		detect_note(&d, step, value);
	}
	printf("%s %" PRId64 " %" PRId64 "\n", words[d.verdict], d.verdict > DETECT_DOUBT ? detect_onset(&d) : -1,
	       reports);
	detect_done(&d);
	return 0;
}
