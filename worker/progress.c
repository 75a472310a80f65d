#include "worker/progress.h"

#include <math.h>
#include <stdlib.h>

enum { PROGRESS_GAP_FIRST_MS = 1000, PROGRESS_GAP_MOST_MS = 30000 };

static void progress_keep(struct progress *p, struct progress_report report)
{
	if (p->count == PROGRESS_KEPT && p->gap_ms < PROGRESS_GAP_MOST_MS) {
		p->gap_ms *= 2; /* every second one goes */
		for (size_t i = 0; i < PROGRESS_KEPT / 2; i++)
			p->kept[i] = p->kept[2 * i + 1];
		p->count = PROGRESS_KEPT / 2;
	} else if (p->count == PROGRESS_KEPT) {
		for (size_t i = 1; i < PROGRESS_KEPT; i++)
			p->kept[i - 1] = p->kept[i];
		p->count--;
	}
	p->kept[p->count++] = report;
}

void progress_note(struct progress *p, int64_t now_ms, int64_t step, int64_t total)
{
	if (total > 0)
		p->total = total;
	if (step < 0 || (p->count && step == p->last.step))
		return;
	if (!p->count || step < p->last.step || now_ms < p->last.at_ms) {
		p->count = 0;
		p->gap_ms = PROGRESS_GAP_FIRST_MS;
	}
	p->last = (struct progress_report){ now_ms, step };
	if (!p->count || now_ms - p->kept[p->count - 1].at_ms >= p->gap_ms)
		progress_keep(p, p->last);
}

static int progress_compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

double progress_pace(const struct progress *p)
{
	struct progress_report all[PROGRESS_KEPT + 1];
	double slopes[(PROGRESS_KEPT + 1) * PROGRESS_KEPT / 2];
	size_t count = p->count, used = 0;
	for (size_t i = 0; i < count; i++)
		all[i] = p->kept[i];
	if (count && all[count - 1].step < p->last.step)
		all[count++] = p->last;
	for (size_t i = 0; i < count; i++)
		for (size_t j = i + 1; j < count; j++)
			slopes[used++] = (double)(all[j].at_ms - all[i].at_ms) / (double)(all[j].step - all[i].step);
	if (!used)
		return NAN;
	qsort(slopes, used, sizeof *slopes, progress_compare);
	return used % 2 ? slopes[used / 2] : (slopes[used / 2 - 1] + slopes[used / 2]) / 2;
}
